//! What happens that no caller is told otherwise. Nobody listens unless asked to; never a secret or a value.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use crate::sys::{self, PerProcess};
use crate::wait::lock;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something went wrong that nobody is told otherwise.
    Error = 1,
    /// Something went wrong and was made good.
    Warning = 2,
    /// Something that happens seldom.
    Info = 3,
    /// Everything else.
    Debug = 4,
}

/// Takes lines, on any thread.
pub type Listener = Box<dyn Fn(Level, &str) + Send + Sync>;

/// What is listened to, at least; 0: nothing, 255: the environment was not asked yet.
static LEVEL: AtomicU8 = AtomicU8::new(255);

/// The environment has asked for lines on stderr, and nobody took the log since.
static ON_STDERR: AtomicBool = AtomicBool::new(false);

/// A forked child must not wait for a lock that its parent held.
static LISTENER: PerProcess<Mutex<Option<Arc<Listener>>>> = PerProcess::new();

/// Lets `listener` have everything from a level on, instead of whoever had it before.
pub fn set(listener: Option<(Level, Listener)>) {
    let (level, listener) = match listener {
        Some((level, listener)) => (level as u8, Some(Arc::new(listener))),
        None => (0, None),
    };
    ON_STDERR.store(false, Ordering::SeqCst);
    let before = std::mem::replace(&mut *lock(LISTENER.get()), listener);
    LEVEL.store(level, Ordering::SeqCst);
    // It may call back: not under the lock.
    drop(before);
}

/// Says something, if somebody listens.
pub fn say(level: Level, line: fmt::Arguments) {
    let wanted = match LEVEL.load(Ordering::Relaxed) {
        255 => by_environment(),
        wanted => wanted,
    };
    if level as u8 > wanted {
        return;
    }
    let listener = lock(LISTENER.get()).clone();
    let line = line.to_string();
    match listener {
        Some(listener) => listener(level, &line),
        None if ON_STDERR.load(Ordering::SeqCst) => sys::write_error(&format!("etcd-api: {level:?}: {line}")),
        // The log was taken back this moment, or this is a child of the process that took it.
        None => {}
    }
}

fn by_environment() -> u8 {
    let level = match std::env::var("ETCD_LOG").as_deref() {
        Ok("error") => 1,
        Ok("warning") => 2,
        Ok("info") => 3,
        Ok("debug") => 4,
        _ => 0,
    };
    // Somebody may have set it meanwhile.
    if LEVEL.compare_exchange(255, level, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        ON_STDERR.store(level > 0, Ordering::SeqCst);
    }
    LEVEL.load(Ordering::SeqCst)
}

macro_rules! warning {
    ($($text:tt)*) => { $crate::log::say($crate::log::Level::Warning, format_args!($($text)*)) };
}

macro_rules! info {
    ($($text:tt)*) => { $crate::log::say($crate::log::Level::Info, format_args!($($text)*)) };
}

macro_rules! debug {
    ($($text:tt)*) => { $crate::log::say($crate::log::Level::Debug, format_args!($($text)*)) };
}

pub(crate) use {debug, info, warning};
