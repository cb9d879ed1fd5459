//! The library on a real etcd, beside bare sockets (the floor) and beside the crate etcd-client, in one process and
//! one run: `benches/README.md` says how, and how far to trust it.

mod c;
mod cell;
mod delay;
mod etcd;
mod http2;
mod locks;
mod measure;
mod options;
mod ours;
mod peers;
mod proto;
mod raw;
mod slots;
mod stats;
mod table;
mod targets;
mod watch;

use std::process::{Command, ExitCode};

use crate::cell::{Cell, Scene, Work};
use crate::etcd::Certificate;
use crate::measure::{Measured, measure};
use crate::options::Settings;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [argument, server] = &arguments[..]
        && argument == delay::ARGUMENT
    {
        return delay::run(server.parse()?);
    }
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{}", options::HELP);
        return Ok(());
    }
    let settings = Settings::parse(arguments)?;
    compare(&settings)
}

/// Makes all the tables that are wanted.
fn compare(settings: &Settings) -> Result<()> {
    etcd::remove_leftovers();
    let certificate = Certificate::new()?;
    ours::set_authority(&certificate.pem());
    println!("{}", about(settings));
    let (mut measured, mut watched) = (Vec::new(), Vec::new());
    for section in sections(settings) {
        measured.extend(show(section, &certificate, settings)?);
    }
    if settings.wants(&["plain", "64", "watch"]) {
        watched = watch::measure(&certificate, settings.rounds)?;
        table::watches(&watched);
    }
    let locks = settings.wants(&["plain", "locks"]) && !settings.quick;
    if locks {
        locks::measure(&certificate, settings.rounds.count)?;
    }
    if measured.is_empty() && watched.is_empty() && !locks {
        return Err(format!("no table is all of this\n\n{}", options::HELP).into());
    }
    targets::print(&measured, &watched);
    println!("\nload at the end {}", load());
    Ok(())
}

/// A table: the cells that differ by their threads alone.
type Section = (Scene, Work, usize);

fn sections(settings: &Settings) -> Vec<Section> {
    let mut sections: Vec<Section> = Work::ALL.map(|work| (Scene::Plain, work, 64)).into();
    if !settings.quick {
        for size in [4 << 10, 256 << 10] {
            sections.extend([Work::Get, Work::Put].map(|work| (Scene::Plain, work, size)));
        }
    }
    for scene in [Scene::Tls, Scene::Far] {
        sections.extend([Work::Get, Work::Put].map(|work| (scene, work, 64)));
    }
    let wanted =
        |(scene, work, size): &Section| settings.wants(&[scene.word(), &work.to_string(), &size.to_string()]);
    sections.into_iter().filter(wanted).collect()
}

fn show(section: Section, certificate: &Certificate, settings: &Settings) -> Result<Vec<Measured>> {
    let (scene, work, size) = section;
    let cells = settings.threads.iter().map(|&threads| Cell { scene, work, size, threads });
    let mut all = Vec::new();
    for cell in cells {
        if all.is_empty() {
            table::head(&cell.title());
        }
        let measured = measure(cell, certificate, settings.rounds)?;
        table::rows(&measured);
        all.push(measured);
    }
    Ok(all)
}

fn about(settings: &Settings) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let date = Command::new("date").arg("+%F").output().map(|output| output.stdout).unwrap_or_default();
    format!(
        "etcd {}, {}, {cores} cores, load {}, {} rounds x {} ms",
        etcd::VERSION,
        String::from_utf8_lossy(&date).trim(),
        load(),
        settings.rounds.count,
        settings.rounds.time.as_millis()
    )
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
