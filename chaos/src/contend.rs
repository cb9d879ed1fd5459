//! The processes that want locks. What they say on standard output is read by the one that started them.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use etcd::Client;
use etcd::model::{Body, Compare, Op, PutRequest, Request, TxnRequest};
use etcd::recipes::lock::contender::{Contender, Ended, Wanted};
use etcd::wait::Deadline;

use crate::support::{Told, client};

pub fn want(client: &Client, name: &str, ttl: i64, value: &str) -> (Contender, Receiver<Option<Ended>>) {
    let (sender, told) = channel();
    let wanted = Wanted { name: name.into(), ttl, value: value.into(), until: Deadline::NEVER };
    (Contender::new(client, wanted, Arc::new(Told(sender))), told)
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    // Whoever started this is gone: so is the reason to go on.
    if writeln!(output, "{line}").and_then(|()| output.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes a key: only as long as `guard` holds, if there is one. Tells whether it was done, if that is known.
pub fn write(client: &Client, compares: Vec<Compare>, key: &str, value: String) -> Option<bool> {
    let then = vec![Op::Put(PutRequest::new(key, value))];
    let txn = TxnRequest { compares, then, otherwise: Vec::new() };
    match client.call(&Request::Txn(txn)).ok()?.body {
        Body::Txn(reply) => Some(reply.succeeded),
        _ => None,
    }
}

/// For how many milliseconds this process was stopped so far.
static STOOD: AtomicU64 = AtomicU64::new(0);

/// Notices when this process stands still, until it ends.
fn notice_stops() {
    let nap = Duration::from_millis(10);
    loop {
        let start = Instant::now();
        std::thread::sleep(nap);
        let late = start.elapsed().saturating_sub(nap);
        if late > Duration::from_secs(1) {
            STOOD.fetch_add(late.as_millis() as u64, Ordering::SeqCst);
        }
    }
}

/// Wants the lock again and again, in several threads, until its input ends.
pub fn contend(servers: &str, name: &str, ttl: i64, threads: usize) {
    let client = client(servers, &[("request_timeout_ms", "2000")]);
    let stop = AtomicBool::new(false);
    std::thread::spawn(notice_stops);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (client, stop) = (&client, &stop);
            scope.spawn(move || {
                let owner = format!("{}/{thread}", std::process::id());
                while !stop.load(Ordering::SeqCst) {
                    hold_once(client, name, ttl, &owner);
                }
            });
        }
        std::io::stdin().lock().lines().map_while(Result::ok).for_each(drop);
        stop.store(true, Ordering::SeqCst);
    });
}

fn hold_once(client: &Client, name: &str, ttl: i64, owner: &str) {
    let (start, stood) = (Instant::now(), STOOD.load(Ordering::SeqCst));
    // How long it has waited while it could, and when that was over.
    let waited = || {
        let stood = Duration::from_millis(STOOD.load(Ordering::SeqCst) - stood);
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_millis());
        format!("{} {now}", start.elapsed().saturating_sub(stood).as_millis())
    };
    let (contender, told) = want(client, name, ttl, owner);
    match told.recv() {
        Ok(None) => {}
        Ok(Some(how)) => {
            say(&format!("failed {} {how:?}", waited()));
            // Whatever it was: not at full speed.
            return std::thread::sleep(Duration::from_millis(20));
        }
        Err(_) => return,
    }
    say(&format!("held {} {}", waited(), contender.token()));
    let resource = format!("{name}-resource");
    for state in ["busy", "free"] {
        let done = write(client, contender.guard(), &resource, format!("{} {state}", contender.token()));
        if done == Some(false) {
            say(&format!("refused {}", contender.token()));
            break;
        }
    }
    let (sender, answer) = channel();
    contender.release(Box::new(move |result| drop(sender.send(result))));
    let _ = answer.recv();
}

/// Holds a lock once, and says what it knows after each pause. At a line of input it writes, as somebody does who has
/// looked before the pause whether it may: guarded, and without a guard.
pub fn pause(servers: &str, name: &str, ttl: i64) {
    let client = client(servers, &[("request_timeout_ms", "2000")]);
    let (contender, told) = want(&client, name, ttl, "to be paused");
    let first = told.recv();
    // Before it says so: from then on it may be stopped.
    let mut before = Instant::now();
    match first {
        Ok(None) => say(&format!("held {}", contender.token())),
        other => return say(&format!("failed {other:?}")),
    }
    loop {
        let now = Instant::now();
        if now - before > Duration::from_secs(1) {
            say(&format!("sure {}", contender.remaining().is_some()));
            break;
        }
        before = now;
        std::thread::sleep(Duration::from_millis(2));
    }
    say(&format!("told {:?}", told.recv()));
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    let token = contender.token();
    let fenced = write(&client, contender.guard(), &format!("{name}-resource"), format!("{token} late"));
    let control = write(&client, Vec::new(), &format!("{name}-control"), format!("{token} late"));
    say(&format!("late {fenced:?} {control:?}"));
}
