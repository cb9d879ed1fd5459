//! Holders that stand still for longer than their TTL, and write when they go on. While they do, nothing reaches them: what
//! they know of their loss, they know by themselves. One key of each is guarded; another one, the control, is not.

use std::time::Duration;

use faultproxy::{Fault, Proxy};

use crate::contend::{want, write};
use crate::judge::{stale, writes};
use crate::process::Process;
use crate::support::{Cluster, Historian, client, eventually};
use crate::{Size, Verdict};

const TTL: i64 = 2;
const SOON: Duration = Duration::from_secs(10);

/// One holder's pause. What was wrong with it.
fn pause(server: &str, port: u16, name: &str) -> Result<(), String> {
    let proxy = Proxy::start(port);
    let direct = client(server, &[]);
    let arguments = ["pause", &proxy.servers(), name, &TTL.to_string()].map(String::from);
    let mut process = Process::start(&arguments);
    let said = |process: &Process, word: &str| {
        process.wait_for(word, SOON).ok_or_else(|| format!("{name}: never said {word:?}"))
    };
    said(&process, "held")?;
    process.signal(libc::SIGSTOP);
    let (next, told) = want(&direct, name, 30, "next");
    let acquired = matches!(told.recv_timeout(SOON), Ok(None));
    for key in ["resource", "control"] {
        let done = write(&direct, next.guard(), &format!("{name}-{key}"), format!("{} next", next.token()));
        if !acquired || done != Some(true) {
            return Err(format!("{name}: nobody followed"));
        }
    }
    proxy.set(Fault::BlackHole);
    let before = proxy.bytes().1;
    process.signal(libc::SIGCONT);
    let (sure, lost) = (said(&process, "sure")?, said(&process, "told")?);
    if sure != "false" || !lost.contains("Lost") || proxy.bytes().1 != before {
        return Err(format!("{name}: sure {sure}, told {lost}"));
    }
    proxy.set(Fault::Pass);
    proxy.cut();
    process.tell("go on");
    let late = said(&process, "late")?;
    // It may well be unknown to it whether it has written: the history knows.
    if late.starts_with("Some(true)") {
        return Err(format!("{name}: it wrote in spite of the guard"));
    }
    let (sender, answer) = std::sync::mpsc::channel();
    next.release(Box::new(move |result| drop(sender.send(result))));
    answer.recv_timeout(SOON).map(|_| ()).map_err(|_| format!("{name}: not released"))
}

pub fn run(size: &Size) -> Verdict {
    let cluster = Cluster::start("").expect("etcd starts");
    let mut verdict = Verdict::default();
    let names: Vec<String> = (0..size.pauses).map(|at| format!("paused{at}")).collect();
    for some in names.chunks(8) {
        let member = &cluster.members[cluster.leader()];
        let results: Vec<_> = std::thread::scope(|scope| {
            let start = |name: &String| {
                let name = name.clone();
                scope.spawn(move || pause(&member.servers(), member.port(), &name))
            };
            let started: Vec<_> = some.iter().map(start).collect();
            started.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        results.into_iter().filter_map(Result::err).for_each(|fault| verdict.must(false, || fault));
    }
    let last = eventually(SOON, "a last write", || cluster.direct.put("last", "", 0).ok());
    let history = Historian::default().read(&cluster.members[0], last);
    let count = |key: &str| -> usize {
        names.iter().map(|name| stale(&writes(&history, &format!("{name}-{key}")))).sum()
    };
    let (fenced, control) = (count("resource"), count("control"));
    println!(
        "pauses: {} holders; stale writes: {fenced} at the fenced resource, {control} at the control",
        names.len()
    );
    verdict.must(fenced == 0, || format!("{fenced} stale writes at the fenced resource"));
    verdict.must(control * 4 >= size.pauses * 3, || format!("only {control} pauses show at the control"));
    verdict
}
