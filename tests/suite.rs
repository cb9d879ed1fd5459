//! The tests that need more than the crate: servers, compilers, other languages. One binary, a module a topic.

mod callers;
mod cli;
mod contention;
mod documents;
mod faults;
mod header;
mod install;
mod programs;
mod support;
mod watching;
