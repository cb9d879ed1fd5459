//! The floor: sockets without a client around them.

use std::sync::Arc;

use crate::Result;
use crate::cell::{Caller, Load, Threads, Work};
use crate::etcd::{Place, Socket};
use crate::http2::{Http2, Method};
use crate::proto::Message;
use crate::slots::{Pipe, Slots};

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
pub fn pipe(place: &Place, load: &Arc<Load>, threads: usize) -> Result<Slots<Streams>> {
    let methods = Methods::new(place.secure());
    let streams = Streams { http2: connect(place)?, methods, load: load.clone(), slots: vec![0; threads] };
    Ok(Slots::new(PIPE, streams, threads))
}

/// The streams of a socket.
pub struct Streams {
    http2: Http2<Socket>,
    methods: Methods,
    load: Arc<Load>,
    /// The one of each slot.
    slots: Vec<u32>,
}

impl Pipe for Streams {
    fn steps(&self) -> usize {
        steps(self.load.work)
    }

    fn send(&mut self, slot: usize, count: usize, step: usize) -> Result<()> {
        let (method, message) = self.methods.request(&self.load, slot, count, step == 1);
        self.slots[slot] = self.http2.send(method, message.as_bytes())?;
        Ok(())
    }

    fn receive(&mut self) -> Result<usize> {
        let reply = self.http2.reply()?;
        check(&self.load, reply.length)?;
        let slot = self.slots.iter().position(|&stream| stream == reply.stream);
        slot.ok_or_else(|| "an answer to nobody".into())
    }
}
