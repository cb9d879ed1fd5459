//! The C ABI: translates and decides nothing. Each function takes its arguments apart, calls the layer below
//! and turns the outcome into a C value and `errno`.
#![allow(non_camel_case_types)]

pub mod classic;
mod errno;
mod guard;
pub mod types;
