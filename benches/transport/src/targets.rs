//! What the library aims at, beside what was measured. All of it on plain connections, with values of 64 bytes.

use crate::c::CALLED;
use crate::cell::{Scene, Work};
use crate::measure::Measured;
use crate::ours::RUST;
use crate::peers::{CURRENT_THREAD, MULTI_THREAD};
use crate::raw::CONN;
use crate::stats::Round;
use crate::watch::Watched;

const THREADS: [usize; 4] = [1, 4, 16, 64];

/// How many times as fast as others it is at least, by threads.
const RATIOS: [(Work, &str, [f64; 4]); 6] = [
    (Work::Get, CONN, [0.92, 0.85, 1.2, 1.2]),
    (Work::Put, CONN, [0.90, 0.85, 1.1, 1.2]),
    (Work::Get, CURRENT_THREAD, [1.25, 1.25, 1.4, 1.3]),
    (Work::Get, MULTI_THREAD, [1.4, 1.7, 1.7, 1.3]),
    (Work::Put, CURRENT_THREAD, [1.2, 1.4, 1.4, 1.4]),
    (Work::Put, MULTI_THREAD, [1.35, 1.5, 1.6, 1.7]),
];

/// The same for taking and releasing a lock in C, with one thread.
const LOCK_RATIOS: [(&str, f64); 2] = [(CURRENT_THREAD, 1.2), (MULTI_THREAD, 1.5)];
/// The time that this takes, in times of a put, at most.
const LOCK_IN_PUTS: f64 = 2.2;
/// Client CPU of a get at most: in times of the bare socket's with one thread, in microseconds with more.
const GET_CPU_RATIO: f64 = 1.5;
const GET_CPU: [(usize, f64); 2] = [(16, 30.0), (64, 30.0)];
/// Client CPU of an event that is read again, in microseconds, at most.
const REPLAY_CPU: f64 = 0.25;
/// What the aims leave to chance.
const TOLERANCE: f64 = 0.05;

/// Prints those aims that something was measured for.
pub fn print(measured: &[Measured], watched: &[Watched]) {
    let aims = Aims { measured, watched }.all();
    if aims.is_empty() {
        return;
    }
    println!("\n### What the library aims at\n\n| what | aim | measured | |\n|---|---|---|---|");
    for Aim { what, least, aim, value } in aims {
        let (sign, missing) = if least { ("≥", aim - value) } else { ("≤", value - aim) };
        let verdict = match missing / aim {
            missing if missing <= 0.0 => "met",
            missing if missing <= TOLERANCE => "met, within 5 %",
            _ => "**missed**",
        };
        println!("| {what} | {sign} {aim:.2} | {value:.2} | {verdict} |");
    }
}

struct Aim {
    what: String,
    /// Whether the measured value has to be at least this; otherwise at most.
    least: bool,
    aim: f64,
    value: f64,
}

struct Aims<'a> {
    measured: &'a [Measured],
    watched: &'a [Watched],
}

impl Aims<'_> {
    fn all(&self) -> Vec<Aim> {
        [self.ratios(), self.cpu(), self.locks(), self.watches()].into_iter().flatten().collect()
    }

    fn cell(&self, work: Work, threads: usize) -> Option<&Measured> {
        let wanted = |measured: &&Measured| {
            let cell = &measured.cell;
            (cell.scene, cell.work, cell.size, cell.threads) == (Scene::Plain, work, 64, threads)
        };
        self.measured.iter().find(wanted)
    }

    fn ratios(&self) -> Vec<Aim> {
        let mut aims = Vec::new();
        for (work, other, by_threads) in RATIOS {
            for (threads, aim) in THREADS.into_iter().zip(by_threads) {
                let Some(cell) = self.cell(work, threads) else { continue };
                let what = format!("{work}, threads: {threads}, times {other}");
                aims.push(Aim { what, least: true, aim, value: cell.ratio(RUST, other).median });
            }
        }
        aims
    }

    fn cpu(&self) -> Vec<Aim> {
        let cpu = |round: &Round| round.cpu;
        let mut aims = Vec::new();
        if let Some(cell) = self.cell(Work::Get, 1) {
            let what = format!("get, threads: 1, client CPU, times {CONN}");
            let value = cell.median(RUST, cpu) / cell.median(CONN, cpu);
            aims.push(Aim { what, least: false, aim: GET_CPU_RATIO, value });
        }
        for (threads, aim) in GET_CPU {
            let Some(cell) = self.cell(Work::Get, threads) else { continue };
            let what = format!("get, threads: {threads}, client CPU µs");
            aims.push(Aim { what, least: false, aim, value: cell.median(RUST, cpu) });
        }
        aims
    }

    fn locks(&self) -> Vec<Aim> {
        let Some(lock) = self.cell(Work::Lock, 1) else { return Vec::new() };
        let ratio = |(other, aim)| {
            let what = format!("lock and unlock, threads: 1, times {other}");
            Aim { what, least: true, aim, value: lock.ratio(CALLED, other).median }
        };
        let mut aims: Vec<Aim> = LOCK_RATIOS.into_iter().map(ratio).collect();
        if let Some(put) = self.cell(Work::Put, 1) {
            let p50 = |measured: &Measured| measured.median(CALLED, |round| round.p50);
            let what = "lock and unlock, threads: 1, p50 in times of a put's".to_owned();
            aims.push(Aim { what, least: false, aim: LOCK_IN_PUTS, value: p50(lock) / p50(put) });
        }
        aims
    }

    fn watches(&self) -> Vec<Aim> {
        let ours = self.watched.iter().find(|watched| watched.name == RUST);
        let aim = |watched: &Watched| Aim {
            what: "watch, replay, client CPU µs an event".to_owned(),
            least: false,
            aim: REPLAY_CPU,
            value: watched.replay_cpu(),
        };
        ours.map(aim).into_iter().collect()
    }
}
