//! What the tests have as well: servers, a cluster whose members and network fail on demand, its history, dice.

#[path = "../../tests/support/basics.rs"]
mod basics;
#[path = "../../tests/support/cluster.rs"]
mod cluster;
#[path = "../../tests/support/dice.rs"]
mod dice;
#[path = "../../tests/support/history.rs"]
mod history;
#[path = "../../tests/support/network.rs"]
mod network;
#[path = "../../tests/support/pki.rs"]
mod pki;
#[path = "../../tests/support/ports.rs"]
mod ports;
#[path = "../../tests/support/running.rs"]
mod running;
#[path = "../../tests/support/servers.rs"]
mod servers;
#[path = "../../tests/support/told.rs"]
mod told;

use std::path::PathBuf;
use std::sync::OnceLock;

pub use basics::*;
pub use cluster::{Cluster, Loss, Trouble, Whom};
pub use dice::Dice;
pub use history::Historian;
pub use network::{Host, leave_the_machines};
pub use pki::Pki;
pub use ports::free_port;
pub use running::{Running, spawn};
pub use servers::Etcd;
pub use told::Told;

/// Where `etcd` and `etcdctl` are.
pub static BINARIES: OnceLock<PathBuf> = OnceLock::new();

fn binaries(_: &str) -> Result<PathBuf, String> {
    BINARIES.get().cloned().ok_or_else(|| "no folder with etcd was given".into())
}

fn skip(reason: &str) {
    eprintln!("etcd-api-chaos: {reason}");
    std::process::exit(2);
}
