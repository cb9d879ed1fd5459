//! Random sequences of operations, done on the embedded store and on a real server: every reply and every change
//! that a watch sees must be the same. A failing sequence is shrunk.
//!
//! `ETCD_API_RANDOM_OPERATIONS` says how many operations, `ETCD_API_SEED` which.

mod operations;

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etcd::client::Watcher;
use etcd::model::*;
use etcd::wait::{Cancel, Deadline};
use etcd::{Client, Error, ErrorKind, Outcome};
use libtest_mimic::Failed;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::operations::{LONGEST, Real, Step};
use crate::differences::differs;
use crate::subject::{PATIENCE, Place};
use crate::support::{Etcd, client};

const NEVER: &Cancel = Cancel::NEVER;

/// How many operations `make test` does on each server.
const OPERATIONS: usize = 1500;

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

pub fn compare_with(place: Place) -> Result<(), Failed> {
    let Some(version) = place.version() else { return Ok(()) };
    let Some(etcd) = Etcd::start(version) else { return Ok(()) };
    let operations = number_from("ETCD_API_RANDOM_OPERATIONS", OPERATIONS as u64) as usize;
    let seed = number_from("ETCD_API_SEED", std::process::id().into());
    println!("{place}: {operations} random operations, ETCD_API_SEED={seed}");
    let (start, done) = (Instant::now(), AtomicUsize::new(0));
    let servers = place.endpoints(&etcd);
    run(operations, seed, |steps| {
        done.fetch_add(steps.len(), Ordering::Relaxed);
        let sides = Sides::new(&servers, place);
        sides.compare(steps, &sides.theirs)
    })?;
    println!("{place}: {} operations compared in {:?}", done.into_inner(), start.elapsed());
    Ok(())
}

/// The broken twins: a store that forgets one thing in its answers, and one that does in its watches, must be found
/// out, by a short sequence.
pub fn a_wrong_store_is_found_out() -> Result<(), Failed> {
    let forgets = |request: &Request| match request {
        Request::Delete(delete) => Request::Delete(DeleteRequest { prev_kv: false, ..delete.clone() }),
        other => other.clone(),
    };
    let wrong_answers = run(OPERATIONS, 1, |steps| {
        let sides = Sides::new("mem://", Place::Mem);
        sides.compare(steps, &|request: &Request| sides.theirs.call(&forgets(request)))
    });
    let wrong_watches = run(OPERATIONS, 1, |steps| {
        let forgets = |request: &WatchRequest| WatchRequest { no_delete: true, ..request.clone() };
        let patience = Duration::from_millis(1);
        let sides = Sides { patience, their_watch: forgets, ..Sides::new("mem://", Place::Mem) };
        sides.compare(steps, &sides.theirs)
    });
    for failed in [wrong_answers, wrong_watches] {
        let text = failed.expect_err("it is wrong").message().unwrap_or_default().to_owned();
        let steps = text.lines().filter(|line| line.starts_with("Call(") || line.starts_with("Watch("));
        assert!(steps.count() <= 2, "a put and a deletion, or a watch, show it: {text}");
    }
    Ok(())
}

/// Runs sequences until so many operations are done; the first difference is shrunk and told.
fn run(operations: usize, seed: u64, compare: impl Fn(&[Step]) -> Result<(), String>) -> Result<(), Failed> {
    let cases = (operations / (LONGEST / 2)).max(1) as u32;
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&operations::sequence(), |steps| compare(&steps).map_err(TestCaseError::fail));
    result.map_err(|error| match error {
        TestError::Fail(reason, steps) => {
            let lines: Vec<String> = steps.iter().map(operations::line).collect();
            Failed::from(format!("seed {seed}: {reason}\nafter\n{}", lines.join("\n")))
        }
        TestError::Abort(reason) => Failed::from(format!("seed {seed}: {reason}")),
    })
}

/// Somebody who answers requests.
trait Answer {
    fn answer(&self, request: &Request) -> Result<Reply, Error>;
}

impl Answer for Client {
    fn answer(&self, request: &Request) -> Result<Reply, Error> {
        self.call(request)
    }
}

impl<F: Fn(&Request) -> Result<Reply, Error>> Answer for F {
    fn answer(&self, request: &Request) -> Result<Reply, Error> {
        self(request)
    }
}

/// Two stores that know nothing yet of the sequence's keys.
struct Sides {
    ours: Client,
    theirs: Client,
    place: Place,
    compacted: Cell<bool>,
    /// How long what ours has seen may take to be seen by theirs.
    patience: Duration,
    /// How a watch of theirs is asked for.
    their_watch: fn(&WatchRequest) -> WatchRequest,
    /// What their revisions are more than ours.
    offset: i64,
    leases: i64,
}

impl Sides {
    fn new(servers: &str, place: Place) -> Self {
        static SEQUENCE: AtomicI64 = AtomicI64::new(1);
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("sequence {sequence}/");
        let side =
            |servers: &str| client(servers, &[("namespace", &namespace), ("request_timeout_ms", "20000")]);
        let (ours, theirs) = (side("mem://"), side(servers));
        // A first write on each, so that nothing of the sequence can be compacted yet.
        let first = |client: &Client| client.put("first", "", 0).expect("a put");
        let offset = first(&theirs) - first(&ours);
        Sides {
            ours,
            theirs,
            place,
            compacted: Cell::new(false),
            patience: PATIENCE,
            their_watch: WatchRequest::clone,
            offset,
            leases: sequence * 16,
        }
    }

    fn compare(&self, steps: &[Step], theirs: &dyn Answer) -> Result<(), String> {
        let mut revision = 2;
        let mut watches = Vec::new();
        for step in steps {
            match step {
                Step::Call(request) => {
                    revision = self.compare_call(request, revision, theirs)?;
                }
                Step::Watch(request) => watches.push(self.watch(request, revision)?),
            }
            for watch in &mut watches {
                watch.catch_up(self)?;
            }
        }
        self.close(&mut watches, revision, theirs)?;
        (1..=operations::LEASES).for_each(|slot| drop(self.theirs.revoke(self.leases + slot)));
        Ok(())
    }

    /// Lets each watch see a last few changes: whatever one side saw before them, the other must have seen, too.
    fn close(&self, watches: &mut [Watch], mut revision: i64, theirs: &dyn Answer) -> Result<(), String> {
        let open: Vec<Vec<u8>> =
            watches.iter().filter(|watch| watch.sides.is_some()).map(|w| w.key.clone()).collect();
        for key in open {
            let put = Request::Put(PutRequest::new(&key[..], "the end"));
            let delete = Request::Delete(DeleteRequest::new(KeyRange::key(key)));
            // More than one, because a watch may wait for a revision to come.
            for request in [&put, &put, &put, &put, &delete] {
                revision = self.compare_call(request, revision, theirs)?;
            }
        }
        watches.iter_mut().try_for_each(|watch| watch.catch_up(self))
    }

    /// Tells our revision after it.
    fn compare_call(&self, request: &Request, revision: i64, theirs: &dyn Answer) -> Result<i64, String> {
        let keys_only = !differs(self.place, "keys-only-without-lease");
        let equals = !differs(self.place, "order-of-equals");
        let real = |offset| Real { newest: revision, offset, leases: self.leases, keys_only, equals };
        let ours = real(0).request(request);
        let our_answer = self.ours.call(&ours);
        self.compacted.set(self.compacted.get() || matches!(request, Request::Compact { .. }));
        let now = our_answer.as_ref().map_or(revision, |reply| reply.header.revision);
        let their_answer = theirs.answer(&real(self.offset).request(request));
        if self.may_find_another_fault(request, &our_answer, &their_answer) {
            return Ok(now);
        }
        let (our_text, their_text) = (self.text(our_answer, 0), self.text(their_answer, self.offset));
        if our_text != their_text {
            return Err(format!("{ours:?}\nours:   {our_text}\ntheirs: {their_text}"));
        }
        Ok(now)
    }

    /// Of several faults of a transaction, some servers tell another one.
    fn may_find_another_fault(
        &self,
        request: &Request,
        ours: &Result<Reply, Error>,
        theirs: &Result<Reply, Error>,
    ) -> bool {
        let refused = |answer: &Result<Reply, Error>| {
            answer.as_ref().is_err_and(|error| error.outcome() == Outcome::Refused)
        };
        let any = matches!(request, Request::Txn(_)) && differs(self.place, "which-fault-first");
        any && refused(ours) && refused(theirs)
    }

    /// What of an answer must be the same.
    fn text(&self, answer: Result<Reply, Error>, offset: i64) -> String {
        match answer {
            Err(error) => format!("{:?} {:?} {}", error.kind(), error.outcome(), error.fault()),
            Ok(mut reply) => {
                match &mut reply.body {
                    Body::Leases(ids) => {
                        ids.retain(|id| (1..=operations::LEASES).contains(&(id - self.leases)));
                        ids.sort();
                    }
                    // Seconds pass.
                    Body::LeaseTimeToLive(lease) => lease.ttl = lease.ttl.min(1),
                    body => operations::shift(body, -offset),
                }
                format!("revision {}: {:?}", reply.header.revision - offset, reply.body)
            }
        }
    }

    fn watch(&self, request: &WatchRequest, revision: i64) -> Result<Watch, String> {
        let mut request = request.clone();
        if self.compacted.get() && differs(self.place, "deletion-lost-at-compaction") {
            request.start_revision = request.start_revision.max(0);
        }
        let (mut ours, mut first) = self.open_ours(&request, revision);
        if ours.is_ok() && first.is_none() && request.start_revision < 0 {
            // A server looks at the past some time later; with nothing to see there, that can't be waited for.
            request.start_revision = 0;
            (ours, first) = self.open_ours(&request, revision);
        }
        let their_request = operations::resolve_watch(&(self.their_watch)(&request), revision, self.offset);
        let mut theirs = self.theirs.watch(their_request);
        let opened = theirs.open(Deadline::after(PATIENCE), NEVER).map(|_| theirs);
        match (ours, opened) {
            (Ok(ours), Ok(theirs)) => Ok(Watch {
                key: request.range.start,
                sides: Some((ours, theirs)),
                first,
                pending: Vec::new(),
            }),
            (Err(ours), Err(theirs)) if same_end(&ours, &theirs, self.offset) => Ok(Watch::default()),
            (ours, theirs) => Err(format!("watch: ours {:?}, theirs {:?}", ours.err(), theirs.err())),
        }
    }

    /// Ours, or why it is refused, with what it says at once.
    fn open_ours(
        &self,
        request: &WatchRequest,
        revision: i64,
    ) -> (Result<Watcher, Error>, Option<Result<WatchBatch, Error>>) {
        let mut ours = self.ours.watch(operations::resolve_watch(request, revision, 0));
        if let Err(error) = ours.open(Deadline::after(PATIENCE), NEVER) {
            return (Err(error), None);
        }
        let first = look(&mut ours);
        (Ok(ours), first)
    }
}

/// Whether watches end alike.
fn same_end(ours: &Error, theirs: &Error, offset: i64) -> bool {
    let compacted = theirs.compact_revision().map(|revision| revision - offset);
    theirs.kind() == ours.kind() && compacted == ours.compact_revision()
}

/// What a watch says without waiting.
fn look(watcher: &mut Watcher) -> Option<Result<WatchBatch, Error>> {
    match watcher.next(Deadline::after(Duration::ZERO), NEVER) {
        Err(error) if error.kind() == ErrorKind::Timeout => None,
        said => Some(said),
    }
}

/// A watch on both sides.
#[derive(Default)]
struct Watch {
    /// One that it sees.
    key: Vec<u8>,
    /// Ours and theirs, until they have ended.
    sides: Option<(Watcher, Watcher)>,
    /// What ours said when it was opened.
    first: Option<Result<WatchBatch, Error>>,
    /// What theirs has told before ours did.
    pending: Vec<Event>,
}

impl Watch {
    /// Everything that ours has seen, theirs must see too.
    fn catch_up(&mut self, sides: &Sides) -> Result<(), String> {
        while let Some((ours, _)) = &mut self.sides {
            match self.first.take().or_else(|| look(ours)) {
                None => return Ok(()),
                Some(Ok(batch)) => batch.events.iter().try_for_each(|event| self.expect(event, sides))?,
                Some(Err(error)) => self.expect_end(&error, sides)?,
            }
        }
        Ok(())
    }

    fn expect(&mut self, ours: &Event, on: &Sides) -> Result<(), String> {
        while self.pending.is_empty() {
            let Some((_, theirs)) = &mut self.sides else { return Ok(()) };
            let next = theirs.next(Deadline::after(on.patience), NEVER);
            let batch = next.map_err(|error| format!("watch: ours saw {ours:?}, theirs {error:?}"))?;
            self.pending.extend(batch.events);
        }
        let mut theirs = self.pending.remove(0);
        operations::shift_event(&mut theirs, -on.offset);
        if theirs == *ours { Ok(()) } else { Err(format!("watch: ours saw {ours:?}, theirs {theirs:?}")) }
    }

    fn expect_end(&mut self, ours: &Error, on: &Sides) -> Result<(), String> {
        let Some((_, mut theirs)) = self.sides.take() else { return Ok(()) };
        let theirs = match theirs.next(Deadline::after(on.patience), NEVER) {
            Ok(batch) => return Err(format!("watch: ours ended with {ours:?}, theirs saw {batch:?}")),
            Err(end) => end,
        };
        if same_end(ours, &theirs, on.offset) {
            Ok(())
        } else {
            Err(format!("watch: ours ended with {ours:?}, theirs with {theirs:?}"))
        }
    }
}
