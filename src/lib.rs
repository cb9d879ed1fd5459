//! `libetcd`: keys, watches and fair locks of etcd, for every language with a C FFI. This is its Rust side.
//!
//! Layers, each using only those below it:
//!
//! | layer | what it is |
//! |---|---|
//! | [`ffi`] | the C ABI: translates, decides nothing |
//! | [`classic`] | what the eleven functions of 2013 mean on today's etcd |
//! | [`recipes`] | locks |
//! | [`client`] | endpoints, failover, retries, users, leases, watches that resume |
//! | [`transport`] | one trait; gRPC, the JSON gateway, the embedded store |
//! | [`store`] | the embedded store |
//! | [`model`], [`error`], [`options`], [`wait`] | the nouns, and waiting |

pub mod classic;
pub mod client;
pub mod error;
pub mod ffi;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod log;
pub mod model;
pub mod options;
pub mod recipes;
pub mod store;
mod sys;
mod threads;
pub mod transport;
pub mod wait;

pub use client::Client;
pub use error::{Error, ErrorKind, Outcome, Result};
pub use options::Options;
