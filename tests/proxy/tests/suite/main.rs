//! What the proxy does to clients and servers, seen from both sides.

mod faults;
mod lifetime;
mod peers;
mod swallowing;
