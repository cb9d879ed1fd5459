//! Watches: changes as they are made, and the same history read again.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use etcd::Client;
use etcd::model::{KeyRange, WatchRequest};
use etcd::wait::{Cancel, Deadline};
use etcd_client::WatchOptions;
use tokio::runtime::Runtime;

use crate::etcd::{Certificate, Etcd, Place, Socket};
use crate::http2::Http2;
use crate::measure::Rounds;
use crate::proto::{self, Message};
use crate::raw::{self, Methods};
use crate::stats::{Clock, Flow, median};
use crate::{Result, c, ours, peers};

const TXNS: usize = 200;
const EVENTS_OF_TXN: usize = 100;
const EVENTS: usize = TXNS * EVENTS_OF_TXN;

/// The directory of the keys that change.
const FOLDER: &str = "bench/watch";

/// A patience that is over only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a watch takes to end, or to be about to begin.
const PAUSE: Duration = Duration::from_millis(20);

/// A candidate, or nobody.
trait Follower: Send {
    fn name(&self) -> &'static str;
    /// Sees as many changes as are made at a time, beginning with those of a revision, and says when it is ready
    /// for them.
    fn follow(&mut self, start: i64, ready: Sender<()>) -> Result<()>;
    /// Lets its watch end, so that it is in nobody's way.
    fn rest(&mut self) {
        std::thread::sleep(PAUSE);
    }
}

/// What was measured of a candidate.
pub struct Watched {
    pub name: &'static str,
    live: Vec<Flow>,
    replay: Vec<Flow>,
}

impl Watched {
    pub fn live_rate(&self) -> f64 {
        median(self.live.iter().map(|flow| flow.rate).collect())
    }

    pub fn live_cpu(&self) -> f64 {
        median(self.live.iter().map(|flow| flow.cpu).collect())
    }

    /// Nobody reads nothing again.
    pub fn replays(&self) -> bool {
        !self.replay.is_empty()
    }

    pub fn replay_rate(&self) -> f64 {
        median(self.replay.iter().map(|flow| flow.rate).collect())
    }

    pub fn replay_cpu(&self) -> f64 {
        median(self.replay.iter().map(|flow| flow.cpu).collect())
    }
}

pub fn measure(certificate: &Certificate, rounds: Rounds) -> Result<Vec<Watched>> {
    let etcd = Etcd::start(certificate, false)?;
    let admin = ours::open(etcd.place(), "json+http")?;
    let next_revision = || Ok::<_, crate::Failure>(admin.put("bench/newest", "", 0)? + 1);
    let mut writer = Writer::new(etcd.place())?;
    let mut followers = followers(etcd.place())?;
    let watched = followers.iter().map(|follower| Watched {
        name: follower.name(),
        live: Vec::new(),
        replay: Vec::new(),
    });
    let mut all: Vec<_> = watched.collect();
    // First what is read again: later history would be in its way.
    let start = next_revision()?;
    writer.write()?;
    for at in turns(followers.len() - 1, rounds) {
        // The first one is nobody.
        let at = at + 1;
        all[at].replay.push(replay(&mut *followers[at], start)?);
        followers[at].rest();
    }
    for at in turns(followers.len(), rounds) {
        all[at].live.push(live(&mut *followers[at], next_revision()?, &mut writer)?);
        followers[at].rest();
    }
    Ok(all)
}

/// Whose turn it is: in each round everybody's once, in an order that rotates.
fn turns(candidates: usize, rounds: Rounds) -> impl Iterator<Item = usize> {
    (0..rounds.count).flat_map(move |round| (0..candidates).map(move |turn| (round + turn) % candidates))
}

fn replay(follower: &mut dyn Follower, start: i64) -> Result<Flow> {
    let clock = Clock::start();
    follower.follow(start, channel().0)?;
    Ok(clock.stop_after(EVENTS))
}

fn live(follower: &mut dyn Follower, start: i64, writer: &mut Writer) -> Result<Flow> {
    std::thread::scope(|scope| {
        let (ready, is_ready) = channel();
        let thread = scope.spawn(|| follower.follow(start, ready));
        // When it fails before, that is told below.
        let _ = is_ready.recv();
        std::thread::sleep(PAUSE);
        let clock = Clock::start();
        writer.write()?;
        thread.join().expect("no panic")?;
        Ok(clock.stop_after(EVENTS))
    })
}

/// Makes the changes, over a bare socket.
struct Writer {
    http2: Http2<Socket>,
    methods: Methods,
    txn: Message,
}

impl Writer {
    fn new(place: &Place) -> Result<Self> {
        let mut txn = Message::default();
        for number in 0..EVENTS_OF_TXN {
            let put = raw::put(format!("{FOLDER}/{number:05}").as_bytes(), &[b'v'; 64]);
            txn = txn.message(2, Message::default().message(2, put));
        }
        Ok(Writer { http2: raw::connect(place)?, methods: Methods::new(false), txn })
    }

    fn write(&mut self) -> Result<()> {
        (0..TXNS).try_for_each(|_| self.http2.call(&self.methods.txn, self.txn.as_bytes()).map(drop))
    }
}

fn followers(place: &Place) -> Result<Vec<Box<dyn Follower>>> {
    let peer = |name| {
        let runtime = peers::runtime(name)?;
        let client = runtime.block_on(peers::connect(place))?;
        Ok::<_, crate::Failure>(Box::new(Peer { name, runtime, client }))
    };
    Ok(vec![
        Box::new(Nobody),
        Box::new(Raw(place.clone())),
        Box::new(Rust { name: ours::RUST, client: ours::open(place, "http")? }),
        Box::new(C(place.clone())),
        Box::new(Rust { name: ours::JSON, client: ours::open(place, "json+http")? }),
        peer(peers::CURRENT_THREAD)?,
        peer(peers::MULTI_THREAD)?,
    ])
}

/// What the writing costs alone.
struct Nobody;

impl Follower for Nobody {
    fn name(&self) -> &'static str {
        "nobody: the writer alone"
    }

    fn follow(&mut self, _start: i64, _ready: Sender<()>) -> Result<()> {
        Ok(())
    }
}

/// A bare socket that looks for the events' lengths only.
struct Raw(Place);

impl Follower for Raw {
    fn name(&self) -> &'static str {
        raw::CONN
    }

    fn follow(&mut self, start: i64, ready: Sender<()>) -> Result<()> {
        // The directory's end is the sign behind the slash.
        let (from, to) = (format!("{FOLDER}/"), format!("{FOLDER}0"));
        let create = Message::default().bytes(1, from.as_bytes()).bytes(2, to.as_bytes()).number(3, start);
        let mut http2 = raw::connect(&self.0)?;
        http2.subscribe(&Methods::new(false).watch, Message::default().message(1, create).as_bytes())?;
        let mut seen = 0;
        while seen < EVENTS {
            let reply = http2.reply()?;
            let _ = ready.send(());
            seen += proto::count(&reply.body, 11).ok_or("not what a watch says")?;
        }
        Ok(())
    }
}

/// This library's Rust side.
struct Rust {
    name: &'static str,
    client: Client,
}

impl Follower for Rust {
    fn name(&self) -> &'static str {
        self.name
    }

    fn follow(&mut self, start: i64, ready: Sender<()>) -> Result<()> {
        let patience = Deadline::after(PATIENCE);
        let mut watcher = self.client.watch(WatchRequest::new(KeyRange::prefix(format!("{FOLDER}/")), start));
        watcher.open(patience, Cancel::NEVER)?;
        let _ = ready.send(());
        let mut seen = 0;
        while seen < EVENTS {
            seen += watcher.next(patience, Cancel::NEVER)?.events.len();
        }
        Ok(())
    }
}

/// The C functions' plain watcher.
struct C(Place);

impl Follower for C {
    fn name(&self) -> &'static str {
        c::CALLED
    }

    fn follow(&mut self, start: i64, ready: Sender<()>) -> Result<()> {
        let began = || {
            let _ = ready.send(());
        };
        c::follow(&self.0, &format!("{FOLDER}/"), start, EVENTS, began)
    }
}

/// The crate etcd-client.
struct Peer {
    name: &'static str,
    runtime: Runtime,
    client: etcd_client::Client,
}

impl Follower for Peer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn follow(&mut self, start: i64, ready: Sender<()>) -> Result<()> {
        let mut client = self.client.watch_client();
        let task = async move {
            let options = WatchOptions::new().with_prefix().with_start_revision(start);
            let mut stream = client.watch(format!("{FOLDER}/"), Some(options)).await?;
            let mut seen = 0;
            while seen < EVENTS {
                let reply = stream.message().await?.ok_or("the watch ended")?;
                let _ = ready.send(());
                seen += reply.events().len();
            }
            Ok(())
        };
        self.runtime.block_on(async { tokio::spawn(tokio::time::timeout(PATIENCE, task)).await })??
    }

    /// Its runtime works only while it is waited for.
    fn rest(&mut self) {
        self.runtime.block_on(async { tokio::time::sleep(PAUSE).await });
    }
}
