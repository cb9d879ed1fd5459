//! The tests that need more than the crate: servers, compilers, other languages. One binary, a module a topic.

mod abi;
mod ambiguity;
mod callers;
mod cli;
mod cli_keys;
mod cli_locks;
mod closing;
mod cluster_faults;
mod contention;
mod deadlines;
mod documents;
mod examples;
mod faults;
mod fuzzing;
mod grpc;
mod hardening;
mod header;
mod identity;
mod install;
mod interop;
mod limits;
mod members;
mod names;
mod packed;
mod programs;
mod sanitized;
mod security;
#[allow(dead_code, reason = "shared with the conformance suite, which needs more of it")]
mod support;
mod tokens;
mod users_under_load;
mod watch_history;
mod watching;
