//! `etcd-api-chaos`: contenders for a lock of etcd in several processes, faults of all kinds, and a judge of what came of
//! it who believes nobody but etcd.
//!
//! | module | what it does |
//! |---|---|
//! | [`handoffs`] | one lock, handed on under faults |
//! | [`pauses`] | holders that stand still for too long |
//! | [`contend`], [`process`] | the processes that want the locks |
//! | [`judge`] | what the history says |
//! | [`turns`] | when all wait for one that was killed |
//! | [`support`] | servers, their faults, dice: the tests' own |

mod contend;
mod handoffs;
mod judge;
mod pauses;
mod process;
#[allow(dead_code, unused_imports, reason = "shared with the tests, which need more of it")]
mod support;
mod turns;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use support::{BINARIES, Dice, leave_the_machines};

/// Puts the locks of etcd-api through faults: members killed, stopped, restarted, cut off from each other; connections
/// cut, reset, swallowed, late; processes that stand still or die. Starts a cluster of its own. Fails if a write
/// overlapped, somebody was stuck, somebody did not know of a loss, or too little happened for that to mean anything.
///
/// Members are cut off from each other in a network of their own, in a namespace that is gone with this program. That
/// takes Linux, root, and iproute2; elsewhere this one kind of fault is left out.
///
/// With ETCD_API_SEED set, faults come in the order of that seed, which each run prints.
#[derive(Parser)]
#[command(name = "etcd-api-chaos", version)]
struct Command {
    #[command(flatten)]
    size: Size,
    #[command(subcommand)]
    part: Option<Part>,
}

/// How much.
#[derive(Args)]
pub struct Size {
    /// The folder with etcd and etcdctl
    #[arg(long, default_value = "/usr/bin")]
    etcd: PathBuf,
    /// How often the lock is handed on, at least
    #[arg(long, default_value_t = 2000)]
    handoffs: usize,
    /// Under how many faults
    #[arg(long, default_value_t = 25)]
    faults: usize,
    /// How many handoffs a second there must be
    #[arg(long, default_value_t = 10.0)]
    floor: f64,
    /// How many holders stand still
    #[arg(long, default_value_t = 40)]
    pauses: usize,
    /// In how many processes contenders are
    #[arg(long, default_value_t = 3)]
    processes: usize,
    /// How many contenders there are
    #[arg(long, default_value_t = 8)]
    contenders: usize,
    /// The TTL of the lock that is handed on, in seconds
    #[arg(long, default_value_t = 5)]
    ttl: i64,
}

/// What the processes are that it starts.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Contend { servers: String, name: String, ttl: i64, threads: usize },
    #[command(hide = true)]
    Pause { servers: String, name: String, ttl: i64 },
}

/// What is wrong.
#[derive(Default)]
pub struct Verdict(Vec<String>);

impl Verdict {
    fn must(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.0.push(fault());
        }
    }
}

fn main() -> ExitCode {
    let Command { size, part } = Command::parse();
    match part {
        Some(Part::Contend { servers, name, ttl, threads }) => {
            contend::contend(&servers, &name, ttl, threads);
            return ExitCode::SUCCESS;
        }
        Some(Part::Pause { servers, name, ttl }) => {
            contend::pause(&servers, &name, ttl);
            return ExitCode::SUCCESS;
        }
        None => {}
    }
    if !size.etcd.join("etcd").is_file() {
        let folder = size.etcd.display();
        eprintln!("etcd-api-chaos: there is no etcd in {folder}: name the folder that has it with --etcd");
        return ExitCode::from(2);
    }
    let apart = leave_the_machines();
    if let Err(reason) = &apart {
        println!("no faults between members: {reason}");
    }
    BINARIES.set(size.etcd.clone()).expect("set once");
    let mut faults = Vec::new();
    if size.handoffs > 0 {
        faults.extend(handoffs::run(&size, apart.is_ok(), Dice::of("chaos")).0);
    }
    if size.pauses > 0 {
        faults.extend(pauses::run(&size).0);
    }
    for fault in faults.iter().take(20) {
        println!("WRONG: {fault}");
    }
    println!("{} faults found", faults.len());
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
