//! The floor: sockets without a client around them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::cell::{Caller, Candidate, Load, Threads, Work};
use crate::etcd::{Place, Socket};
use crate::http2::{Http2, Method};
use crate::proto::Message;
use crate::stats::{Clock, Round};

pub const CONN: &str = "raw/conn";
pub const PIPE: &str = "raw/pipe";

/// The methods, with their headers.
pub struct Methods {
    pub range: Method,
    pub put: Method,
    pub delete: Method,
    pub txn: Method,
    pub watch: Method,
}

impl Methods {
    pub fn new(secure: bool) -> Self {
        let method = |name| Method::new(&format!("/etcdserverpb.{name}"), secure);
        Methods {
            range: method("KV/Range"),
            put: method("KV/Put"),
            delete: method("KV/DeleteRange"),
            txn: method("KV/Txn"),
            watch: method("Watch/Watch"),
        }
    }

    /// The request of a thread's operation: of its first step, or of the second one that a lock has.
    fn request(&self, load: &Load, thread: usize, count: usize, second: bool) -> (&Method, Message) {
        let key = || load.key(thread, count).as_bytes();
        match load.work {
            Work::Get => (&self.range, Message::default().bytes(1, key())),
            Work::Put => (&self.put, put(key(), load.value.as_bytes())),
            Work::Lock if second => {
                (&self.delete, Message::default().bytes(1, load.place(thread).as_bytes()))
            }
            Work::Lock => (&self.txn, put_unless_there(load.place(thread).as_bytes(), load.lease)),
        }
    }
}

pub fn put(key: &[u8], value: &[u8]) -> Message {
    Message::default().bytes(1, key).bytes(2, value)
}

/// Puts a key if it is not there, and otherwise reads it.
fn put_unless_there(key: &[u8], lease: i64) -> Message {
    const CREATE: i64 = 1;
    let is_new = Message::default().number(2, CREATE).bytes(3, key).number(5, 0);
    let put = Message::default().message(2, put(key, b"").number(3, lease));
    let get = Message::default().message(1, Message::default().bytes(1, key));
    Message::default().message(1, is_new).message(2, put).message(3, get)
}

/// How many calls an operation is.
fn steps(work: Work) -> usize {
    if work == Work::Lock { 2 } else { 1 }
}

/// An answer that can't be one to a get has to be an error.
fn check(load: &Load, length: usize) -> Result<()> {
    if load.work == Work::Get && length <= load.value.len() {
        return Err(format!("{CONN}: an answer of {length} bytes").into());
    }
    Ok(())
}

pub fn connect(place: &Place) -> Result<Http2<Socket>> {
    Http2::open(place.connect()?)
}

/// One blocking socket for each thread.
pub fn conn(place: &Place, load: &Arc<Load>, threads: usize) -> Result<Threads<Conn>> {
    let caller = |thread| {
        let methods = Methods::new(place.secure());
        Ok(Conn { http2: connect(place)?, methods, load: load.clone(), thread })
    };
    Ok(Threads { name: CONN, callers: (0..threads).map(caller).collect::<Result<_>>()? })
}

/// A thread's socket.
pub struct Conn {
    http2: Http2<Socket>,
    methods: Methods,
    load: Arc<Load>,
    thread: usize,
}

impl Caller for Conn {
    fn call(&mut self, count: usize) -> Result<()> {
        for step in 0..steps(self.load.work) {
            let (method, message) = self.methods.request(&self.load, self.thread, count, step == 1);
            check(&self.load, self.http2.call(method, message.as_bytes())?)?;
        }
        Ok(())
    }
}

/// One socket and one thread, with as many operations under way as others have threads: what the server can do
/// when no client thread has to be woken.
pub struct Pipe {
    http2: Http2<Socket>,
    methods: Methods,
    load: Arc<Load>,
    slots: Vec<Slot>,
}

/// What would be a thread.
#[derive(Clone)]
struct Slot {
    stream: u32,
    step: usize,
    started: Instant,
    latencies: Vec<Duration>,
}

impl Pipe {
    pub fn new(place: &Place, load: &Arc<Load>, threads: usize) -> Result<Self> {
        let slot = Slot { stream: 0, step: 0, started: Instant::now(), latencies: Vec::new() };
        let methods = Methods::new(place.secure());
        Ok(Pipe { http2: connect(place)?, methods, load: load.clone(), slots: vec![slot; threads] })
    }

    /// Sends the next request of a slot.
    fn send(&mut self, number: usize) -> Result<()> {
        let slot = &mut self.slots[number];
        let count = slot.latencies.len();
        let (method, message) = self.methods.request(&self.load, number, count, slot.step == 1);
        slot.stream = self.http2.send(method, message.as_bytes())?;
        Ok(())
    }

    /// Takes an answer, and tells whose it was and whether that finished an operation.
    fn receive(&mut self) -> Result<(usize, bool)> {
        let reply = self.http2.reply()?;
        check(&self.load, reply.length)?;
        let number = self.slots.iter().position(|slot| slot.stream == reply.stream);
        let number = number.ok_or("an answer to nobody")?;
        let slot = &mut self.slots[number];
        slot.step = (slot.step + 1) % steps(self.load.work);
        if slot.step > 0 {
            return Ok((number, false));
        }
        let now = Instant::now();
        slot.latencies.push(now - slot.started);
        slot.started = now;
        Ok((number, true))
    }
}

impl Candidate for Pipe {
    fn name(&self) -> &'static str {
        PIPE
    }

    fn round(&mut self, time: Duration) -> Result<Round> {
        let (clock, start) = (Clock::start(), Instant::now());
        for number in 0..self.slots.len() {
            self.slots[number].started = Instant::now();
            self.send(number)?;
        }
        let mut busy = self.slots.len();
        while busy > 0 {
            let (number, done) = self.receive()?;
            if done && start.elapsed() >= time {
                busy -= 1;
            } else {
                self.send(number)?;
            }
        }
        Ok(clock.stop(self.slots.iter_mut().map(|slot| std::mem::take(&mut slot.latencies)).collect()))
    }
}
