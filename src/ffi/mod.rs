//! The C ABI: translates and decides nothing. Each function takes its arguments apart, calls the layer below
//! and turns the outcome into a C value.
#![allow(non_camel_case_types)]

pub mod classic;
pub mod client;
mod errno;
mod guard;
mod handle;
pub mod hold;
pub mod library;
pub mod options;
pub mod packed;
pub mod queue;
pub mod reply;
pub mod request;
pub mod status;
pub mod thread;
pub mod types;
