//! The completion queue: for programs that must not block. What is submitted comes out of it with its tag, its last word
//! exactly once, whatever happens. Library threads fill it, any thread may empty it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::Client;
use super::operation::{Answer, Operation};
use super::pushed::{News, PushedWatch, Reader, WatchMode};
use super::submit::Submitted;
use super::watch::size_of_batch;
use crate::error::{Error, ErrorKind, Result};
use crate::model::WatchRequest;
use crate::sys::Pipe;
use crate::wait::{Deadline, lock};

/// What came of something that was submitted.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The caller's word for it.
    pub tag: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// An operation has ended. The last word of its tag.
    Answer(Result<Answer>),
    /// A watch has something to tell.
    News(News),
    /// A watch has ended. The last word of its tag.
    End(Error),
}

impl Completion {
    /// Whether nothing comes after it with this tag.
    pub fn is_last(&self) -> bool {
        !matches!(self.what, What::News(_))
    }

    /// The bytes that count for the limit: those of changes alone.
    fn size(&self) -> usize {
        match &self.what {
            What::News(News::Changes(batch) | News::Resynced(batch)) => {
                size_of_batch(batch) + size_of_val(self)
            }
            _ => 0,
        }
    }
}

/// Why there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    /// Nothing came in time.
    Timeout,
    /// [`Queue::wake`] ended the wait.
    Woken,
    /// The queue was closed.
    Closed,
}

/// A completion queue. Clones are the same queue.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    max_bytes: usize,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    items: VecDeque<Completion>,
    /// Of the changes in it.
    bytes: usize,
    tags: HashMap<u64, Open, BuildHasherDefault<TagHasher>>,
    /// How many tags were taken into use.
    uses: u64,
    /// Watches that had no room.
    parked: Vec<u64>,
    /// Waits that are to be ended.
    wakes: usize,
    /// Threads that wait.
    waiters: usize,
    /// Made when somebody asks for it, and closed with the queue.
    pipe: Option<Pipe>,
    /// There is a byte in the pipe, unless the host has read it.
    signaled: bool,
    /// What a drain could not carry, for whoever asks for it by its tag.
    kept: HashMap<u64, Answer>,
    closed: bool,
}

/// Spreads the callers' numbers. They do not attack themselves.
#[derive(Default)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What a tag stands for.
#[derive(Default)]
struct Open {
    /// Which use of a tag it is: a tag may be used again before whoever submitted the last one has returned.
    this: u64,
    what: Option<Ender>,
    canceled: bool,
}

#[derive(Clone)]
enum Ender {
    Call(Submitted),
    Watch(PushedWatch),
}

impl Ender {
    fn cancel(&self) {
        match self {
            Ender::Call(call) => call.cancel(),
            Ender::Watch(watch) => watch.cancel(),
        }
    }
}

/// How many bytes of changes may wait unless the caller says otherwise.
pub const DEFAULT_MAX_BYTES: usize = 8 << 20;

impl Queue {
    /// An empty queue for so many bytes of changes; more let watches wait. Answers always fit.
    pub fn new(max_bytes: usize) -> Self {
        Queue(Arc::new(Shared { max_bytes, state: Mutex::default(), filled: Condvar::new() }))
    }

    /// Starts an operation. It does not block.
    ///
    /// # Errors
    /// `InvalidArgument` for a tag that is 0 or in use, `Closed`. Nothing was started then, and nothing comes.
    pub fn submit(&self, client: &Client, operation: &Operation, tag: u64, deadline: Deadline) -> Result<()> {
        if operation.reads_only()
            && let Some(answer) = client.run_at_once(operation)
        {
            return self.0.push_new(Completion { tag, what: What::Answer(answer) });
        }
        let this = self.0.open(tag)?;
        if let Some(answer) = client.run_at_once(operation) {
            self.0.push(Completion { tag, what: What::Answer(answer) });
            return Ok(());
        }
        let shared = self.0.clone();
        let told = move |answer| shared.push(Completion { tag, what: What::Answer(answer) });
        let submitted = client.start(operation, deadline, Box::new(told));
        self.0.opened(tag, this, Ender::Call(submitted));
        Ok(())
    }

    /// Starts a watch. It does not block.
    ///
    /// # Errors
    /// As [`Queue::submit`].
    pub fn watch(
        &self,
        client: &Client,
        request: WatchRequest,
        mode: WatchMode,
        tag: u64,
        confirm_by: Deadline,
    ) -> Result<()> {
        let this = self.0.open(tag)?;
        let reader = Arc::new(Tagged { queue: self.0.clone(), tag });
        let watch = client.push_watch(request, mode, confirm_by, reader);
        self.0.opened(tag, this, Ender::Watch(watch.clone()));
        // Its first changes may have found no room before it could be told that there is.
        watch.go_on();
        Ok(())
    }

    /// Ends what the tag stands for; its last word still comes. Does nothing when it has ended.
    pub fn cancel(&self, tag: u64) {
        let mut state = lock(&self.0.state);
        let Some(open) = state.tags.get_mut(&tag) else { return };
        open.canceled = true;
        let what = open.what.clone();
        drop(state);
        what.iter().for_each(Ender::cancel);
    }

    /// Takes the next completion, if there is one.
    ///
    /// # Errors
    /// Why there is none.
    pub fn try_next(&self) -> std::result::Result<Completion, Nothing> {
        self.0.take(lock(&self.0.state)).unwrap_or(Err(Nothing::Timeout))
    }

    /// Waits for the next completion.
    ///
    /// # Errors
    /// Why there is none.
    pub fn next(&self, deadline: Deadline) -> std::result::Result<Completion, Nothing> {
        loop {
            let mut state = lock(&self.0.state);
            if state.closed || state.has_something() {
                return self.0.take(state).expect("there is something");
            }
            let left = deadline.remaining();
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Nothing::Timeout);
            }
            state.waiters += 1;
            let mut state = match left {
                None => self.0.filled.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
                Some(left) => {
                    let waited = self.0.filled.wait_timeout(state, left);
                    waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
                }
            };
            state.waiters -= 1;
        }
    }

    /// Takes completions, without waiting, as long as `take` wants them; one that it does not want stays the next one.
    /// What it wants kept can be had by its tag later.
    ///
    /// # Errors
    /// `Closed` or `Woken`; otherwise whether there are more.
    pub fn drain(&self, mut take: impl FnMut(&Completion) -> Taken) -> std::result::Result<bool, Nothing> {
        let mut state = lock(&self.0.state);
        if state.closed {
            return Err(Nothing::Closed);
        }
        if state.wakes > 0 {
            state.wakes -= 1;
            self.0.settle(state);
            return Err(Nothing::Woken);
        }
        let mut taken = Vec::new();
        while let Some(item) = state.items.front() {
            let how = take(item);
            if how == Taken::No {
                break;
            }
            let item = state.items.pop_front().expect("it is there");
            state.bytes -= item.size();
            match item.what {
                What::Answer(Ok(answer)) if how == Taken::Kept => drop(state.kept.insert(item.tag, answer)),
                // What frees memory need not hold up those who fill the queue.
                what => taken.push(what),
            }
        }
        let more = !state.items.is_empty();
        if more && let Some(pipe) = &state.pipe {
            // The host may have read the byte.
            pipe.fill_if_empty();
        }
        self.0.settle(state);
        Ok(more)
    }

    /// The answer of a tag that a drain could not carry.
    pub fn take_kept(&self, tag: u64) -> Option<Answer> {
        lock(&self.0.state).kept.remove(&tag)
    }

    /// Ends one wait, the next one if nobody waits.
    pub fn wake(&self) {
        let mut state = lock(&self.0.state);
        state.wakes += 1;
        self.0.signal(&mut state);
    }

    /// The read end of a pipe that can be read while there is something to take.
    ///
    /// # Errors
    /// `NoResource`.
    pub fn fd(&self) -> Result<RawFd> {
        // Under the lock, so that nothing comes unnoticed between its making and its first byte.
        let mut state = lock(&self.0.state);
        state.pipe().map(Pipe::read_end)
    }

    /// A copy of that for a host that closes what it is given.
    ///
    /// # Errors
    /// `NoResource`.
    pub fn dup_fd(&self) -> Result<RawFd> {
        let mut state = lock(&self.0.state);
        state.pipe()?.copy_of_read_end().map_err(|error| no_pipe(&error))
    }

    /// How many bytes of changes are waiting.
    pub fn bytes(&self) -> usize {
        lock(&self.0.state).bytes
    }

    /// How many completions are waiting.
    pub fn len(&self) -> usize {
        lock(&self.0.state).items.len()
    }

    /// Whether nothing is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tags have not had their last word.
    pub fn open_tags(&self) -> usize {
        lock(&self.0.state).tags.len()
    }

    /// Ends all that was submitted, all waits, and takes nothing more.
    pub fn close(&self) {
        let mut state = lock(&self.0.state);
        state.closed = true;
        let (tags, items) = (std::mem::take(&mut state.tags), std::mem::take(&mut state.items));
        let (kept, pipe) = (std::mem::take(&mut state.kept), state.pipe.take());
        drop(state);
        self.0.filled.notify_all();
        tags.into_values().filter_map(|open| open.what).for_each(|what| what.cancel());
        drop((items, kept, pipe));
    }
}

/// What becomes of a completion in a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It stays.
    No,
    /// It was taken.
    Yes,
    /// It was taken, but for its answer.
    Kept,
}

fn no_pipe(error: &io::Error) -> Error {
    Error::new(ErrorKind::NoResource, format!("no pipe: {error}")).caused_by(error)
}

impl State {
    /// Whether something can be submitted with this tag.
    fn check(&self, tag: u64) -> Result<()> {
        if self.closed {
            return Err(Error::new(ErrorKind::Closed, "the queue was freed"));
        }
        if tag == 0 || self.tags.contains_key(&tag) {
            return Err(Error::invalid(format!("tag {tag} is 0 or in use")));
        }
        Ok(())
    }

    fn has_something(&self) -> bool {
        !self.items.is_empty() || self.wakes > 0
    }

    /// The pipe, with a byte in it if there is something.
    fn pipe(&mut self) -> Result<&Pipe> {
        if self.closed {
            return Err(Error::new(ErrorKind::Closed, "the queue was freed"));
        }
        if self.pipe.is_none() {
            let pipe = Pipe::new().map_err(|error| no_pipe(&error))?;
            self.signaled = self.has_something();
            if self.signaled {
                pipe.fill();
            }
            self.pipe = Some(pipe);
        }
        Ok(self.pipe.as_ref().expect("it was made"))
    }
}

impl Shared {
    /// Takes a tag into use, and tells which use it is.
    fn open(&self, tag: u64) -> Result<u64> {
        let mut state = lock(&self.state);
        state.check(tag)?;
        state.uses += 1;
        let this = state.uses;
        state.tags.insert(tag, Open { this, ..Open::default() });
        Ok(this)
    }

    /// The first and last word of a tag.
    fn push_new(&self, item: Completion) -> Result<()> {
        let mut state = lock(&self.state);
        state.check(item.tag)?;
        state.items.push_back(item);
        self.signal(&mut state);
        Ok(())
    }

    /// Keeps what ends it, unless it has ended already.
    fn opened(&self, tag: u64, this: u64, what: Ender) {
        let mut state = lock(&self.state);
        let canceled = match state.tags.get_mut(&tag).filter(|open| open.this == this) {
            Some(open) => {
                open.what = Some(what.clone());
                open.canceled
            }
            None => state.closed,
        };
        drop(state);
        if canceled {
            what.cancel();
        }
    }

    /// What comes next, if anything does.
    fn take(&self, mut state: MutexGuard<State>) -> Option<std::result::Result<Completion, Nothing>> {
        if state.closed {
            return Some(Err(Nothing::Closed));
        }
        let next = if state.wakes > 0 {
            state.wakes -= 1;
            Err(Nothing::Woken)
        } else {
            let item = state.items.pop_front()?;
            state.bytes -= item.size();
            Ok(item)
        };
        self.settle(state);
        Some(next)
    }

    fn push(&self, item: Completion) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        let gone = if item.is_last() { state.tags.remove(&item.tag) } else { None };
        state.bytes += item.size();
        state.items.push_back(item);
        self.signal(&mut state);
        drop(state);
        drop(gone);
    }

    /// Tells those who wait that there is something.
    fn signal(&self, state: &mut State) {
        if state.waiters > 0 {
            self.filled.notify_one();
        }
        if !state.signaled
            && let Some(pipe) = &state.pipe
        {
            pipe.fill();
            state.signaled = true;
        }
    }

    /// After something was taken: empties the pipe with the queue, and lets parked watches go on.
    fn settle(&self, mut state: MutexGuard<State>) {
        if state.signaled && !state.has_something() {
            state.signaled = false;
            if let Some(pipe) = &state.pipe {
                pipe.empty();
            }
        }
        if state.parked.is_empty() || state.bytes > self.max_bytes / 2 {
            return;
        }
        let parked = std::mem::take(&mut state.parked);
        let watches: Vec<Ender> =
            parked.iter().filter_map(|tag| state.tags.get(tag).and_then(|open| open.what.clone())).collect();
        drop(state);
        for watch in watches {
            if let Ender::Watch(watch) = watch {
                watch.go_on();
            }
        }
    }
}

/// A watch's way into the queue.
struct Tagged {
    queue: Arc<Shared>,
    tag: u64,
}

impl Reader for Tagged {
    fn take(&self, news: News) -> bool {
        let item = Completion { tag: self.tag, what: What::News(news) };
        if matches!(item.what, What::News(News::Changes(_))) {
            let mut state = lock(&self.queue.state);
            let full = state.bytes > 0 && state.bytes + item.size() > self.queue.max_bytes;
            if full {
                state.parked.push(self.tag);
                return false;
            }
        }
        self.queue.push(item);
        true
    }

    fn end(&self, error: Error) {
        self.queue.push(Completion { tag: self.tag, what: What::End(error) });
    }
}
