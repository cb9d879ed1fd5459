//! The tests that need more than the crate: servers, compilers, other languages. One binary, a module a topic.

mod ambiguity;
mod callers;
mod cli;
mod cli_keys;
mod closing;
mod cluster_faults;
mod contention;
mod deadlines;
mod documents;
mod faults;
mod full;
mod fuzzing;
mod grpc;
mod header;
mod identity;
mod install;
mod limits;
mod members;
mod programs;
mod queued_watches;
mod security;
#[allow(dead_code, reason = "shared with the conformance suite, which needs more of it")]
mod support;
mod tokens;
mod users_under_load;
mod watch_history;
mod watching;
