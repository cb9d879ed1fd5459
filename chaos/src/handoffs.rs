//! One lock, handed on among processes, while members and the network fail and processes stand still or die.

use std::thread::sleep;
use std::time::{Duration, Instant};

use faultproxy::{After, Fault};

use crate::judge::judge;
use crate::process::Process;
use crate::support::{Cluster, Dice, Historian, Loss, Trouble, Whom, eventually};
use crate::turns::{Turns, overlap};
use crate::{Size, Verdict};

const NAME: &str = "lock";
const TXN: &str = "/etcdserverpb.KV/Txn";
const KEEP: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
/// How much longer than the TTL nobody waits, but for those who were killed.
const STUCK: Duration = Duration::from_secs(15);

const fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Cluster(Trouble),
    /// A process of contenders stands still for longer than the TTL.
    Stop,
    /// One is killed, and another one started.
    Kill,
}

impl Blow {
    fn is_partition(self) -> bool {
        matches!(self, Blow::Cluster(Trouble::Partition(..)))
    }
}

const BLOWS: [Blow; 22] = [
    Blow::Stop,
    Blow::Kill,
    Blow::Cluster(Trouble::Kill(Whom::Leader)),
    Blow::Cluster(Trouble::Kill(Whom::Follower)),
    Blow::Cluster(Trouble::Kill(Whom::Serving)),
    Blow::Cluster(Trouble::Pause(Whom::Leader)),
    Blow::Cluster(Trouble::Pause(Whom::Serving)),
    Blow::Cluster(Trouble::Restart(Whom::Serving)),
    Blow::Cluster(Trouble::KillTwo),
    Blow::Cluster(Trouble::MoveLeader),
    Blow::Cluster(Trouble::Cut),
    Blow::Cluster(Trouble::ResetAll),
    Blow::Cluster(Trouble::Network(Fault::Reset, ms(300))),
    Blow::Cluster(Trouble::Network(Fault::Refuse, ms(800))),
    Blow::Cluster(Trouble::Network(Fault::BlackHole, ms(1500))),
    Blow::Cluster(Trouble::Network(Fault::HalfClose, ms(300))),
    Blow::Cluster(Trouble::Network(Fault::Delay { to_server: ms(300), to_client: Duration::ZERO }, ms(800))),
    Blow::Cluster(Trouble::Network(Fault::Delay { to_server: Duration::ZERO, to_client: ms(300) }, ms(800))),
    Blow::Cluster(Trouble::Everywhere(Fault::BlackHole, ms(700))),
    Blow::Cluster(Trouble::Lose(TXN, After::Close)),
    Blow::Cluster(Trouble::Lose(TXN, After::Continue)),
    Blow::Cluster(Trouble::Lose(KEEP, After::Continue)),
];

/// Those that need a network of the members' own.
const PARTITIONS: [Trouble; 7] = [
    // Clients that reach it go on asking one that takes itself for the leader.
    Trouble::Partition(Whom::Leader, Loss::All),
    Trouble::Partition(Whom::Leader, Loss::Sent),
    Trouble::Partition(Whom::Leader, Loss::Received),
    Trouble::Partition(Whom::Leader, Loss::Some),
    Trouble::Partition(Whom::Follower, Loss::All),
    Trouble::Partition(Whom::Follower, Loss::Sent),
    Trouble::Partition(Whom::Follower, Loss::Received),
];

fn all_blows(apart: bool) -> Vec<Blow> {
    let partitions: &[Trouble] = if apart { &PARTITIONS } else { &[] };
    BLOWS.into_iter().chain(partitions.iter().map(|&trouble| Blow::Cluster(trouble))).collect()
}

fn script(all: &[Blow], faults: usize, dice: &mut Dice) -> Vec<Blow> {
    let mut script = Vec::new();
    while script.len() < faults {
        let mut all = all.to_vec();
        dice.shuffle(&mut all);
        script.extend(all);
    }
    script.truncate(faults);
    script
}

/// How many faults hit.
#[derive(Default)]
struct Hits {
    all: usize,
    /// Those between members.
    partitions: usize,
}

struct Run<'a> {
    size: &'a Size,
    cluster: Cluster,
    processes: Vec<Process>,
    /// What processes that are gone have said.
    said: Vec<String>,
    dice: Dice,
    turns: Turns,
    /// When, since 1970.
    began: Duration,
}

impl Run<'_> {
    fn start_process(&mut self) {
        let count = self.cluster.proxies.len();
        let first = self.processes.len();
        let servers = (0..count).map(|at| self.cluster.proxies[(first + at) % count].servers());
        let servers = servers.collect::<Vec<_>>().join(",");
        let threads = self.size.contenders.div_ceil(self.size.processes).to_string();
        let arguments = ["contend", &servers, NAME, &self.size.ttl.to_string(), &threads].map(String::from);
        self.processes.push(Process::start(&arguments));
    }

    /// Tells whether it hit anything.
    fn strike(&mut self, blow: Blow) -> bool {
        match blow {
            Blow::Cluster(trouble) => self.cluster.strike(trouble, &mut self.dice),
            Blow::Stop => {
                let process = &self.processes[self.dice.below(self.processes.len())];
                process.signal(libc::SIGSTOP);
                sleep(Duration::from_secs(self.size.ttl as u64 + 2));
                process.signal(libc::SIGCONT);
                true
            }
            Blow::Kill => {
                let at = self.dice.below(self.processes.len());
                let killed = self.processes.remove(at);
                self.turns.killed(&killed);
                self.said.extend(killed.kill());
                self.start_process();
                true
            }
        }
    }

    fn handoffs(&self) -> usize {
        // Each makes two writes, nearly always.
        let written = self.cluster.direct.get(format!("{NAME}-resource")).ok().flatten();
        written.map_or(0, |kv| kv.version as usize / 2)
    }
}

/// `apart`: the members get a network of their own.
pub fn run(size: &Size, apart: bool, mut dice: Dice) -> Verdict {
    let script = script(&all_blows(apart), size.faults, &mut dice);
    let partitions = script.iter().filter(|blow| blow.is_partition()).count();
    let cluster = if apart { Cluster::start_apart("") } else { Cluster::start("") }.expect("etcd starts");
    let began = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let turns = Turns::watch(cluster.direct.clone(), NAME);
    let mut run = Run { size, cluster, processes: Vec::new(), said: Vec::new(), dice, turns, began };
    (0..size.processes).for_each(|_| run.start_process());
    let (start, mut hits) = (Instant::now(), Hits::default());
    for blow in script {
        sleep(ms(run.dice.between(100, 500) as u64));
        let hit = run.strike(blow);
        hits.all += usize::from(hit);
        hits.partitions += usize::from(hit && blow.is_partition());
        println!("{:8.1?} {blow:?}{}", start.elapsed(), if hit { "" } else { ": nothing was hit" });
    }
    // However many are missing: with the rate that is asked for.
    let limit = Duration::from_secs_f64(size.handoffs as f64 / size.floor);
    while run.handoffs() < size.handoffs && start.elapsed() < limit {
        sleep(ms(200));
    }
    let took = start.elapsed();
    let mut verdict = conclude(run, &hits, took);
    let hit = hits.partitions;
    verdict.must(hit * 2 >= partitions, || format!("only {hit} of {partitions} faults between members hit"));
    verdict
}

/// A wait that was told of.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Wait {
    time: Duration,
    /// When it was over, since 1970.
    until: Duration,
}

/// The longest wait that was told of, without the turns of those who were killed.
fn longest_wait(said: &[String], of_killed: &[(Duration, Duration)]) -> Wait {
    let wait = |line: &String| {
        let mut words = line.strip_prefix("held ").or(line.strip_prefix("failed "))?.split(' ');
        let mut next = || Some(ms(words.next()?.parse().ok()?));
        let (time, until) = (next()?, next()?);
        let not_counted = overlap(of_killed, (until.saturating_sub(time), until));
        Some(Wait { time: time.saturating_sub(not_counted), until })
    };
    said.iter().filter_map(wait).max().unwrap_or_default()
}

fn conclude(mut run: Run, hits: &Hits, took: Duration) -> Verdict {
    let (mut verdict, limit) = (Verdict::default(), Duration::from_secs(run.size.ttl as u64) + STUCK);
    for process in std::mem::take(&mut run.processes) {
        let (ended, said) = match process.end(limit) {
            Ok(said) => (true, said),
            Err(said) => (false, said),
        };
        run.said.extend(said);
        verdict.must(ended, || "a contender is stuck".into());
    }
    let last = eventually(limit, "a last write", || run.cluster.direct.put("last", "", 0).ok());
    let history = Historian::default().read(&run.cluster.members[0], last);
    let (faults, handoffs) = judge(&history, NAME);
    faults.into_iter().for_each(|fault| verdict.must(false, || fault));
    let failed = run.said.iter().filter(|line| line.starts_with("failed"));
    let of_killed = run.turns.end();
    let (longest, with_killed) = (longest_wait(&run.said, &of_killed), longest_wait(&run.said, &[]));
    let rate = handoffs as f64 / took.as_secs_f64();
    println!(
        "handoffs: {handoffs} in {took:.1?} ({rate:.1}/s) under {} faults, {} of them between members; \
         longest wait {:.1?}, until {:.1?}; with turns of killed ones {:.1?}, until {:.1?}; \
         {} waits failed; {} writes refused",
        hits.all,
        hits.partitions,
        longest.time,
        longest.until.saturating_sub(run.began),
        with_killed.time,
        with_killed.until.saturating_sub(run.began),
        failed.count(),
        run.said.iter().filter(|line| line.starts_with("refused")).count(),
    );
    verdict.must(longest.time <= limit, || format!("somebody waited for {:?}", longest.time));
    verdict.must(hits.all * 4 >= run.size.faults * 3, || format!("only {} faults hit", hits.all));
    verdict.must(handoffs >= run.size.handoffs, || format!("only {handoffs} handoffs"));
    verdict.must(rate >= run.size.floor, || format!("only {rate:.1} handoffs a second"));
    verdict
}
