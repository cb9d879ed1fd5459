//! A cluster whose members are killed, stopped and restarted, whose leaders change and whose network fails in every
//! way, under writers, readers and watches. What these were told is judged by the history that etcd's own tool tells.

mod judge;
mod workload;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use etcd::model::*;
use faultproxy::{After, Fault};

use self::judge::{judge, judge_watch};
use self::workload::{Common, Job, Log, Over, TIMEOUT, Told, Worker, watch};
use crate::support::{
    Cluster, Dice, Historian, Jitter, Pki, Trouble, VERSIONS, Whom, eventually, long, my_turn,
};

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

/// Who works.
struct Work {
    /// On each of the three clients.
    jobs: [Job; 3],
    /// Whether each client watches all of it, too.
    watches: bool,
    /// What is said of writes, instead of the truth.
    repeat: Option<Repeat>,
}

const ALL: Work = Work { jobs: [Job::Write, Job::Write, Job::Read], watches: true, repeat: None };

/// Lets threads work while there is trouble.
fn run(cluster: &mut Cluster, work: &Work, script: &[Trouble], dice: &mut Dice) -> Run {
    let _turn = my_turn();
    let timeout = TIMEOUT.as_millis().to_string();
    // Each begins with another member, so that all are in use.
    let clients = [0, 1, 2].map(|first| cluster.client(first, &[("request_timeout_ms", &timeout)]));
    let (common, jitter, start) = (Common::default(), Jitter::measure(), Instant::now());
    let jobs: Vec<_> = clients.iter().flat_map(|client| work.jobs.map(|job| (client, job))).collect();
    let successes: Vec<AtomicUsize> = jobs.iter().map(|_| AtomicUsize::default()).collect();
    std::thread::scope(|scope| {
        let _over = Over(&common);
        let workers: Vec<_> = jobs
            .iter()
            .enumerate()
            .map(|(name, &(client, job))| {
                let (client, successes, repeat) = (client.clone(), &successes[name], work.repeat);
                let (dice, log) = (dice.fork(), Log::default());
                let worker = Worker { name, client, common: &common, successes, repeat, dice, log };
                scope.spawn(move || worker.work(job))
            })
            .collect();
        let watching = clients.iter().filter(|_| work.watches);
        let watches: Vec<_> = watching.map(|client| scope.spawn(|| watch(client, &common))).collect();
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
            self.history.len().saturating_sub(1 + done),
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
    let some = &faults[..faults.len().min(10)];
    assert!(faults.is_empty(), "{} faults, among them:\n{}", faults.len(), some.join("\n"));
}

/// It proves nothing unless there was trouble, and something was done all the same.
fn assert_enough(run: &Run, script: &[Trouble]) {
    assert!(run.hits >= script.len() * 3 / 4, "{} of {} troubles hit", run.hits, script.len());
    assert!(run.done() >= script.len() * 20, "{} writes", run.done());
}

fn survives(version: &str, times: usize, share: usize) {
    let Some(mut cluster) = Cluster::start(version) else { return };
    let mut dice = Dice::of(version);
    let mut script = script(times, &mut dice);
    script.truncate(script.len() / share);
    let run = run(&mut cluster, &ALL, &script, &mut dice);
    run.print(&format!("etcd {version}"));
    assert_none(&run.faults());
    assert_enough(&run, &script);
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
    let broken = Work { repeat: Some(Repeat::Harmless), ..ALL };
    let faults = run(&mut cluster, &broken, &script, &mut dice).faults();
    for fault in ["done twice", "told not done, and done"] {
        assert!(faults.iter().any(|found| found.starts_with(fault)), "{fault} in {faults:?}");
    }
}

/// Some answers are corrupt for a while, then none, and so on.
fn corrupt_answers(dice: &mut Dice) -> Vec<Trouble> {
    let corrupt = |_| {
        let (every, seed) = (dice.between(100, 3000), dice.below(1_000_000) as u64);
        Trouble::Network(Fault::Corrupt { every, seed }, ms(300))
    };
    (0..if long() { 400 } else { 15 }).map(corrupt).collect()
}

/// That bits were flipped must have been seen as often as there was trouble, or nearly.
fn assert_found_out(run: &Run, script: &[Trouble]) {
    let errors: usize = run.log.errors.values().sum();
    assert!(errors >= script.len() / 2, "{errors} errors");
}

/// TLS finds every flipped bit.
#[test]
fn the_same_with_tls_on_etcd_when_answers_are_corrupt() {
    let pki = Pki::new();
    let Some(mut cluster) = Cluster::start_secure(VERSIONS[1], &pki) else { return };
    let mut dice = Dice::of("corrupt answers, TLS");
    let script = corrupt_answers(&mut dice);
    let run = run(&mut cluster, &ALL, &script, &mut dice);
    run.print("corrupt answers, TLS");
    assert_none(&run.faults());
    assert_found_out(&run, &script);
    assert_enough(&run, &script);
}

/// Without TLS nobody can see a flipped bit in a value or a revision. No write is done twice for all that, or told
/// done and is not; every call ends in time, and all goes on when answers are right again.
#[test]
fn corrupt_answers_without_tls_make_no_client_write_twice_to_an_etcd_cluster() {
    let Some(mut cluster) = Cluster::start(VERSIONS[1]) else { return };
    let mut dice = Dice::of("corrupt answers");
    let script = corrupt_answers(&mut dice);
    let work = Work { jobs: [Job::Put, Job::Put, Job::Read], watches: false, repeat: None };
    let run = run(&mut cluster, &work, &script, &mut dice);
    run.print("corrupt answers");
    let safety = ["done twice", "told done, and not done", "nobody wrote", "a call took"];
    let mut faults = run.faults();
    faults.retain(|fault| safety.iter().any(|kind| fault.starts_with(kind)));
    assert_none(&faults);
    assert_found_out(&run, &script);
    assert_enough(&run, &script);
}
