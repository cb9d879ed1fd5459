//! What the proxy does to clients and servers, seen from both sides.

mod faults;
mod grpc;
mod http2;
mod lifetime;
mod peers;
mod swallowing;
