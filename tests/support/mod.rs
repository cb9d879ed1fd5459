//! What tests run on: real servers, compilers, other languages; and how they say that something is missing.

mod alone;
mod basics;
mod cluster;
mod dice;
mod history;
pub mod http2;
mod jitter;
mod line;
#[allow(dead_code, reason = "for chaos, which may leave the machine's network: it begins with one thread")]
mod network;
mod pki;
mod ports;
mod protocol;
mod running;
mod servers;
mod skip;
mod told;
mod tools;

#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use alone::{alone, alone_with, my_turn};
pub use basics::*;
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use cluster::{Cluster, Trouble, Whom};
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use dice::Dice;
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use history::{Historian, apply, select};
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use jitter::Jitter;
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use line::late_line;
pub use network::Host;
pub use pki::Pki;
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use ports::free_port;
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use protocol::{Protocol, Rpc};
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use running::{Running, spawn};
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use servers::{ALL_VERSIONS, Etcd, VERSIONS};
pub use skip::*;
#[allow(unused_imports, reason = "each test binary needs some of it")]
pub use told::Told;
pub use tools::*;

use std::path::Path;

/// The project's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
