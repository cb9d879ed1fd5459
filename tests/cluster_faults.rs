//! A cluster whose members are killed, stopped and restarted, whose leaders change and whose network fails in every
//! way, under writers, readers and watches. What these were told is judged by the history that etcd's own tool tells.

mod judge;
mod workload;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use etcd::Client;
use etcd::model::*;
use faultproxy::{After, Fault};

use self::judge::{judge, judge_watch};
use self::workload::{Common, Log, Over, TIMEOUT, Told, Worker, watch};
use crate::support::{Cluster, Dice, Historian, Jitter, Trouble, VERSIONS, Whom, client, eventually, long};

/// What a call may take beyond its timeout, on a machine without jitter.
const SLACK: Duration = Duration::from_millis(100);
/// How soon everybody's calls succeed again when there is no trouble any more.
const RECOVERY: Duration = Duration::from_secs(10);

const PUT: &str = "/etcdserverpb.KV/Put";
const TXN: &str = "/etcdserverpb.KV/Txn";
const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
const RANGE: &str = "/etcdserverpb.KV/Range";

const fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// All there is, apart from lost answers.
const TROUBLES: [Trouble; 20] = [
    Trouble::Kill(Whom::Leader),
    Trouble::Kill(Whom::Follower),
    Trouble::Kill(Whom::Serving),
    Trouble::Pause(Whom::Leader),
    Trouble::Pause(Whom::Follower),
    Trouble::Restart(Whom::Leader),
    Trouble::Restart(Whom::Serving),
    Trouble::KillTwo,
    Trouble::MoveLeader,
    Trouble::Cut,
    Trouble::ResetAll,
    Trouble::Network(Fault::Reset, ms(300)),
    Trouble::Network(Fault::Refuse, ms(500)),
    Trouble::Network(Fault::BlackHole, ms(1500)),
    Trouble::Network(Fault::HalfClose, ms(300)),
    Trouble::Network(Fault::Delay { to_server: ms(300), to_client: Duration::ZERO }, ms(800)),
    Trouble::Network(Fault::Delay { to_server: Duration::ZERO, to_client: ms(300) }, ms(800)),
    Trouble::Network(Fault::Slow { bytes: 40, every: ms(10) }, ms(800)),
    Trouble::Everywhere(Fault::Refuse, ms(1000)),
    Trouble::Everywhere(Fault::BlackHole, ms(500)),
];

fn lost_answers() -> impl Iterator<Item = Trouble> {
    let after = [After::Close, After::Reset, After::Silence, After::Continue];
    [PUT, TXN, DELETE, RANGE].into_iter().flat_map(move |path| after.map(|then| Trouble::Lose(path, then)))
}

/// So many times everything, each time in another order.
fn script(times: usize, dice: &mut Dice) -> Vec<Trouble> {
    let mut script = Vec::new();
    for _ in 0..times {
        let mut all: Vec<Trouble> = TROUBLES.into_iter().chain(lost_answers()).collect();
        dice.shuffle(&mut all);
        script.extend(all);
    }
    script
}

/// What came of a script.
struct Run {
    log: Log,
    watched: Vec<Vec<Event>>,
    history: Vec<Event>,
    /// How many troubles hit.
    hits: usize,
    jitter: Duration,
    took: Duration,
}

/// Who works on each of the three clients.
const WRITERS: usize = 2;
const WORKERS: usize = WRITERS + 1;

/// Lets threads work while there is trouble.
fn run(cluster: &mut Cluster, script: &[Trouble], dice: &mut Dice, repeat: Option<Repeat>) -> Run {
    let timeout = TIMEOUT.as_millis().to_string();
    let open = |first| client(&cluster.endpoints(first), &[("request_timeout_ms", &timeout)]);
    // Each begins with another member, so that all are in use.
    let clients: Vec<Client> = (0..3).map(open).collect();
    let (common, jitter, start) = (Common::default(), Jitter::measure(), Instant::now());
    let successes: Vec<AtomicUsize> = (0..3 * WORKERS).map(|_| AtomicUsize::default()).collect();
    std::thread::scope(|scope| {
        let _over = Over(&common);
        let workers: Vec<_> = (0..3 * WORKERS)
            .map(|name| {
                let (client, successes) = (clients[name / WORKERS].clone(), &successes[name]);
                let (dice, log) = (dice.fork(), Log::default());
                let worker = Worker { name, client, common: &common, successes, repeat, dice, log };
                let step = match name % WORKERS {
                    WRITERS => Worker::read,
                    _ => Worker::write,
                };
                scope.spawn(move || worker.work(step))
            })
            .collect();
        let watches: Vec<_> = clients.iter().map(|client| scope.spawn(|| watch(client, &common))).collect();
        let mut hits = 0;
        for &trouble in script {
            sleep(ms(dice.between(50, 300) as u64));
            hits += usize::from(cluster.strike(trouble, dice));
        }
        all_succeed_again(&successes);
        common.stop.store(true, Ordering::SeqCst);
        let mut log = Log::default();
        workers.into_iter().for_each(|worker| log.add(worker.join().expect("no panic")));
        let last = eventually(RECOVERY, "a last write", || cluster.direct.put("last", "", 0).ok());
        common.last.store(last, Ordering::SeqCst);
        eventually(RECOVERY, "all watches are up to date", || {
            watches.iter().all(|watch| watch.is_finished()).then_some(())
        });
        let watched = watches.into_iter().map(|watch| watch.join().expect("no panic"));
        let watched = watched.map(|watched| watched.expect("a watch goes on")).collect();
        let history = Historian::default().read(&cluster.members[0], last);
        Run { log, watched, history, hits, jitter: jitter.worst(), took: start.elapsed() }
    })
}

fn all_succeed_again(successes: &[AtomicUsize]) {
    let now = || successes.iter().map(|count| count.load(Ordering::SeqCst));
    let before: Vec<usize> = now().collect();
    // What is under way may have begun before: only the second one counts.
    eventually(RECOVERY, "everybody's calls succeed again", || {
        now().zip(&before).all(|(now, before)| now >= before + 2).then_some(())
    });
}

impl Run {
    fn print(&self, what: &str) {
        let (log, done) = (&self.log, self.done());
        println!(
            "{what}: {} troubles hit in {:.1?}; {} calls; writes: {} done, {} pointless, {} refused, {} unknown, \
             and {} of these done; {} reads; {} changes; jitter {:?}; errors: {:?}",
            self.hits,
            self.took,
            log.calls,
            done,
            log.count(|told| told == Told::Nothing),
            log.count(|told| told == Told::Refused),
            log.count(|told| told == Told::Unknown),
            self.history.len() - 1 - done,
            log.reads.len(),
            self.history.len(),
            self.jitter,
            log.errors,
        );
    }

    fn done(&self) -> usize {
        self.log.count(|told| matches!(told, Told::Done(_)))
    }

    /// Everything that is wrong.
    fn faults(&self) -> Vec<String> {
        let mut faults = judge(&self.log, &self.history);
        let limit = TIMEOUT + SLACK + self.jitter;
        let late = self.log.slow.iter().filter(|(took, _)| *took > limit);
        faults.extend(late.map(|(took, what)| format!("a call took {took:?}: {what}")));
        faults.extend(self.watched.iter().filter_map(|watched| judge_watch(watched, &self.history)));
        faults
    }
}

fn assert_none(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{} faults, among them:\n{}",
        faults.len(),
        faults[..faults.len().min(10)].join("\n")
    );
}

fn survives(version: &str, times: usize, share: usize) {
    let Some(mut cluster) = Cluster::start(version) else { return };
    let mut dice = Dice::of(version);
    let mut script = script(times, &mut dice);
    script.truncate(script.len() / share);
    let run = run(&mut cluster, &script, &mut dice, None);
    run.print(&format!("etcd {version}"));
    assert_none(&run.faults());
    // It proves nothing unless there was trouble, and something was done all the same.
    assert!(run.hits >= script.len() * 3 / 4, "{} of {} troubles hit", run.hits, script.len());
    assert!(run.done() >= script.len() * 20, "{} writes", run.done());
}

#[test]
fn calls_and_watches_tell_the_truth_whatever_happens_to_an_etcd_cluster() {
    survives(VERSIONS[1], if long() { 40 } else { 1 }, 1);
    survives(VERSIONS[2], if long() { 10 } else { 1 }, if long() { 1 } else { 4 });
}

/// The broken twin: writes whose answers were lost are sent again.
#[test]
fn a_client_that_repeats_its_writes_to_an_etcd_cluster_is_found_out() {
    let Some(mut cluster) = Cluster::start(VERSIONS[1]) else { return };
    let mut dice = Dice::of("a broken client");
    let script: Vec<Trouble> =
        lost_answers().filter(|lost| !matches!(lost, Trouble::Lose(RANGE, _))).collect();
    let run = run(&mut cluster, &script, &mut dice, Some(Repeat::Harmless));
    let faults = run.faults();
    for fault in ["done twice", "told not done, and done"] {
        assert!(faults.iter().any(|found| found.starts_with(fault)), "{fault} in {faults:?}");
    }
}
