//! One stream of watches.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::SendStream;

use super::super::answer::{Answer, Said};
use super::super::decode::{self, WatchNews, WatchParts};
use super::super::{encode, status};
use super::Watch;
use crate::error::{Error, ErrorKind, Outcome};
use crate::model::WatchBatch;
use crate::options::Secret;
use crate::transport::fragments::Fragments;
use crate::wait::lock;

/// Watches that share a stream, and the token that it was opened with.
pub struct Watching {
    token: Option<Secret>,
    requests: SendStream<Bytes>,
    answers: Answer,
    parts: WatchParts,
    /// Asked for and not answered yet. The server answers in the order of the questions.
    creating: VecDeque<Watch>,
    /// By the number that the server has given them.
    open: HashMap<i64, Open>,
    /// Where to find one that is to end.
    numbers: HashMap<u64, i64>,
}

struct Open {
    watch: Watch,
    fragments: Fragments,
}

impl Watching {
    pub fn new(token: Option<Secret>, requests: SendStream<Bytes>, answers: Answer) -> Self {
        let (parts, creating, open, numbers) = Default::default();
        Watching { token, requests, answers, parts, creating, open, numbers }
    }

    /// Whether a watch for this user can join.
    pub fn is_for(&self, token: Option<&Secret>) -> bool {
        self.token.as_ref() == token
    }

    pub fn is_idle(&self) -> bool {
        self.creating.is_empty() && self.open.is_empty()
    }

    /// Asks for one more.
    pub fn create(&mut self, mut watch: Watch, request: Bytes) {
        watch.sent = Some(Instant::now());
        match self.requests.send_data(request, false) {
            Ok(()) => self.creating.push_back(watch),
            Err(error) => watch.fail(status::of_http2(error)),
        }
    }

    /// Since when the watch with this key waits here for the server's word, if it does.
    pub fn waits_since(&self, key: u64) -> Option<Instant> {
        self.creating.iter().find(|watch| watch.key == key).and_then(|watch| watch.sent)
    }

    /// Ends one, if it is here. One that is not answered yet is ended when it is.
    pub fn end(&mut self, key: u64) {
        if let Some(number) = self.numbers.remove(&key) {
            self.open.remove(&number);
            self.cancel(number);
        }
    }

    fn cancel(&mut self, number: i64) {
        // Should this fail, so does the stream.
        let _ = self.requests.send_data(encode::cancel_watch(number), false);
    }

    /// Hands on what has come; `Ready`: why the stream has ended.
    pub fn poll(&mut self, context: &mut Context) -> Poll<Error> {
        loop {
            let said = std::task::ready!(self.answers.poll_next(context));
            let taken = match said {
                Ok(Said::Message(message)) => self.take(message, true),
                Ok(Said::Part(part)) => self.take(part, false),
                Ok(Said::End) => {
                    let ended = Error::new(ErrorKind::Unavailable, "the server ended the watches");
                    return Poll::Ready(ended.os_error_is(libc::ECONNRESET).outcome_is(Outcome::Unknown));
                }
                Err(error) => return Poll::Ready(error),
            };
            if let Err(error) = taken {
                return Poll::Ready(error);
            }
        }
    }

    /// A message, or a part of one, of which more is to come.
    fn take(&mut self, part: Bytes, is_last: bool) -> Result<(), Error> {
        let odd = || status::bad_reply("a watch answered with something else than etcd's message");
        let message = self.parts.take(part, is_last).ok_or_else(odd)?;
        let (number, created) = (message.watch_id, message.created);
        match decode::watch(message).ok_or_else(odd)? {
            WatchNews::Created(header) => {
                let mut watch = self.creating.pop_front().ok_or_else(odd)?;
                if !watch.is_wanted() {
                    self.cancel(number);
                    return Ok(());
                }
                watch.opened(header);
                self.numbers.insert(watch.key, number);
                self.open.insert(number, Open { watch, fragments: Fragments::default() });
            }
            WatchNews::Canceled(error) if created => {
                self.creating.pop_front().ok_or_else(odd)?.fail(error);
            }
            WatchNews::Canceled(error) => {
                // One that is not here is one that we have ended ourselves.
                if let Some(mut open) = self.open.remove(&number) {
                    self.numbers.remove(&open.watch.key);
                    open.watch.fail(error);
                }
            }
            WatchNews::Changes(batch) => self.hand_on(number, batch, is_last),
        }
        Ok(())
    }

    fn hand_on(&mut self, number: i64, batch: WatchBatch, is_last: bool) {
        let Some(open) = self.open.get_mut(&number) else { return };
        let Some(batch) = open.fragments.whole_revisions(batch, !is_last) else { return };
        let mut sink = lock(&open.watch.sink);
        let goes_on = sink.as_mut().is_some_and(|sink| sink(Ok(batch)));
        if goes_on {
            return;
        }
        *sink = None;
        drop(sink);
        let key = open.watch.key;
        self.end(key);
    }

    /// All its watches end with this error.
    pub fn fail(mut self, error: &Error) {
        self.creating.iter_mut().for_each(|watch| watch.fail(error.clone()));
        self.open.values_mut().for_each(|open| open.watch.fail(error.clone()));
    }
}
