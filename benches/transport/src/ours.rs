//! This library: through its Rust side, and over JSON. (`c.rs` has its C side.)

use std::path::Path;
use std::sync::Arc;

use etcd::model::{Compare, KeyRange, Op, PutRequest, RangeRequest, TxnRequest};
use etcd::{Client, Options};

use crate::Result;
use crate::cell::{Caller, Load, Threads, Work};
use crate::etcd::Place;

pub const RUST: &str = "this library, Rust";
pub const JSON: &str = "this library, JSON";

/// A client of the server.
pub fn open(place: &Place, scheme: &str) -> Result<Client> {
    let mut options = Options::new();
    options.set("endpoints", &place.url(scheme))?;
    options.set("ca_file", &place.ca.to_string_lossy())?;
    Ok(Client::open(options)?)
}

/// One client that all threads share.
pub fn rust(place: &Place, load: &Arc<Load>, threads: usize) -> Result<Threads<Rust>> {
    shared(RUST, open(place, "http")?, load, threads)
}

/// The same through the server's JSON gateway.
pub fn json(place: &Place, load: &Arc<Load>, threads: usize) -> Result<Threads<Rust>> {
    shared(JSON, open(place, "json+http")?, load, threads)
}

fn shared(name: &'static str, client: Client, load: &Arc<Load>, threads: usize) -> Result<Threads<Rust>> {
    let caller = |thread| Rust { client: client.clone(), load: load.clone(), thread };
    Ok(Threads { name, callers: (0..threads).map(caller).collect() })
}

/// A thread that calls the Rust side.
pub struct Rust {
    client: Client,
    load: Arc<Load>,
    thread: usize,
}

impl Caller for Rust {
    fn call(&mut self, count: usize) -> Result<()> {
        let key = || self.load.key(self.thread, count);
        match self.load.work {
            Work::Get => drop(self.client.get(key())?.ok_or("no such key")?),
            Work::Put => drop(self.client.put(key(), &*self.load.value, 0)?),
            Work::Lock => self.cycle()?,
        }
        Ok(())
    }
}

impl Rust {
    /// What a lock with a lease of one's own comes to; the library's locks have a lease each.
    fn cycle(&self) -> Result<()> {
        let place = self.load.place(self.thread);
        let put = PutRequest { lease: self.load.lease, ..PutRequest::new(&*place, "") };
        let (_, taken) = self.client.txn(TxnRequest {
            compares: vec![Compare::create_revision(&*place, 0)],
            then: vec![Op::Put(put)],
            otherwise: vec![Op::Range(RangeRequest::new(KeyRange::key(&*place)))],
        })?;
        let deleted = self.client.delete(KeyRange::key(&*place))?;
        if taken.succeeded && deleted == 1 { Ok(()) } else { Err("somebody else has the lock".into()) }
    }
}

/// C programs give TLS to a session by the environment. Called before there are other threads.
pub fn set_authority(ca: &Path) {
    // SAFETY: nobody else reads the environment yet.
    unsafe { std::env::set_var("ETCD_API_CA_FILE", ca) };
}
