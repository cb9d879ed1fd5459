//! How the figures are shown: tables in Markdown, a row for each candidate.

use crate::cell::{Cell, Work};
use crate::measure::Measured;
use crate::raw;
use crate::watch::Watched;

/// The head of a section's table, before its first cell is measured.
pub fn head(title: &str) {
    println!("\n### {title}\n");
    println!(
        "| threads | candidate | ops/s | p50 µs | of raw/conn (smallest to largest) | client CPU µs/op |"
    );
    println!("|---|---|---|---|---|---|");
}

/// The rows of a cell.
pub fn rows(measured: &Measured) {
    for (name, _) in &measured.rounds {
        let ratio = measured.ratio(name, raw::CONN);
        println!(
            "| {} | {name} | {:.0} | {:.0} | {:.2} ({:.2} to {:.2}) | {:.0} |",
            measured.cell.threads,
            measured.median(name, |round| round.rate),
            measured.median(name, |round| round.p50),
            ratio.median,
            ratio.min,
            ratio.max,
            measured.median(name, |round| round.cpu),
        );
    }
}

/// All there is to say of watches. Rates of a replay are mostly how often etcd looks for watches that are behind.
pub fn watches(all: &[Watched]) {
    println!("\n### watch, 64 B values, plain\n");
    println!(
        "| candidate | live events/s | CPU µs/event, with the writer's | replayed events/s | CPU µs/event |"
    );
    println!("|---|---|---|---|---|");
    for watched in all {
        print!("| {} | {:.0} | {:.2} |", watched.name, watched.live_rate(), watched.live_cpu());
        if watched.replays() {
            println!(" {:.0} | {:.2} |", watched.replay_rate(), watched.replay_cpu());
        } else {
            println!(" | |");
        }
    }
}

impl Cell {
    /// What all cells of a table have in common.
    pub fn title(&self) -> String {
        match self.work {
            Work::Lock => format!("lock, {}", self.scene),
            work => format!("{work}, {} values, {}", size(self.size), self.scene),
        }
    }
}

fn size(bytes: usize) -> String {
    if bytes < 1024 { format!("{bytes} B") } else { format!("{} KiB", bytes >> 10) }
}
