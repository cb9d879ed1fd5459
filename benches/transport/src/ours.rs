//! This library: through its Rust side, through its C functions, and over JSON.

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use etcd::ffi::classic::{etcd_close, etcd_get, etcd_lock, etcd_open_str, etcd_set, etcd_unlock};
use etcd::ffi::types::{etcd_result, etcd_session};
use etcd::model::{Compare, KeyRange, Op, PutRequest, RangeRequest, TxnRequest};
use etcd::{Client, Options};

use crate::cell::{Caller, Load, Threads, Work};
use crate::etcd::Place;
use crate::{Failure, Result};

pub const RUST: &str = "this library, Rust";
pub const C: &str = "this library, C";
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

/// One session that all threads share.
pub fn c(place: &Place, load: &Arc<Load>, threads: usize) -> Result<Threads<CCaller>> {
    let session = Arc::new(Session::open(place)?);
    let value = CString::new(&*load.value)?;
    let caller =
        |thread| CCaller { session: session.clone(), load: load.clone(), value: value.clone(), thread };
    Ok(Threads { name: C, callers: (0..threads).map(caller).collect() })
}

/// C programs give TLS to a session by the environment. Called before there are other threads.
pub fn set_authority(ca: &Path) {
    // SAFETY: nobody else reads the environment yet.
    unsafe { std::env::set_var("ETCD_API_CA_FILE", ca) };
}

/// A session as C has it.
pub struct Session(pub etcd_session);

// SAFETY: any number of threads may use it at once.
unsafe impl Send for Session {}
// SAFETY: as above.
unsafe impl Sync for Session {}

impl Session {
    pub fn open(place: &Place) -> Result<Self> {
        let url = CString::new(place.url("http"))?;
        // SAFETY: a string that ends with NUL.
        let session = unsafe { etcd_open_str(url.as_ptr()) };
        if session.is_null() { Err(last_error("etcd_open_str")) } else { Ok(Session(session)) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody uses it any more.
        unsafe { etcd_close(self.0) }
    }
}

/// A thread that calls the C functions.
pub struct CCaller {
    session: Arc<Session>,
    load: Arc<Load>,
    value: CString,
    thread: usize,
}

impl Caller for CCaller {
    fn call(&mut self, count: usize) -> Result<()> {
        match self.load.work {
            Work::Get => self.get(&CString::new(self.load.key(self.thread, count))?),
            Work::Put => self.set(&CString::new(self.load.key(self.thread, count))?),
            Work::Lock => self.cycle(&CString::new(self.load.lock(self.thread))?),
        }
    }
}

impl CCaller {
    fn get(&self, key: &CStr) -> Result<()> {
        // SAFETY: an open session and a string that ends with NUL; what is returned is ours to free.
        unsafe {
            let value = etcd_get(self.session.0, key.as_ptr());
            if value.is_null() {
                return Err(last_error("etcd_get"));
            }
            libc::free(value.cast());
        }
        Ok(())
    }

    fn set(&self, key: &CStr) -> Result<()> {
        // SAFETY: an open session, and strings that end with NUL.
        let result = unsafe { etcd_set(self.session.0, key.as_ptr(), self.value.as_ptr(), ptr::null(), 0) };
        done("etcd_set", result)
    }

    /// With a lease that is granted and revoked each time.
    fn cycle(&self, name: &CStr) -> Result<()> {
        let mut index = ptr::null_mut();
        // SAFETY: an open session, strings that end with NUL, a place for the index, which is ours to free.
        unsafe {
            done("etcd_lock", etcd_lock(self.session.0, name.as_ptr(), 60, ptr::null(), &mut index))?;
            let result = etcd_unlock(self.session.0, name.as_ptr(), index);
            let result = done("etcd_unlock", result);
            libc::free(index.cast());
            result
        }
    }
}

/// What a C function says, as an error.
pub fn done(function: &str, result: etcd_result) -> Result<()> {
    if result == etcd_result::ETCD_OK { Ok(()) } else { Err(last_error(function)) }
}

fn last_error(function: &str) -> Failure {
    format!("{function}: {}", std::io::Error::last_os_error()).into()
}
