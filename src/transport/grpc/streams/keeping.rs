//! One stream of keep-alives.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::SendStream;

use super::super::answer::{Answer, Said};
use super::super::{decode, encode, status};
use super::KeepAlive;
use crate::error::{Error, ErrorKind, Outcome};
use crate::options::Secret;

/// Keep-alives that share a stream, and the token that it was opened with.
pub struct Keeping {
    token: Option<Secret>,
    requests: SendStream<Bytes>,
    answers: Answer,
    /// Those that wait, by their lease, in the order in which they were sent.
    waiting: HashMap<i64, VecDeque<KeepAlive>>,
}

impl Keeping {
    pub fn new(token: Option<Secret>, requests: SendStream<Bytes>, answers: Answer) -> Self {
        Keeping { token, requests, answers, waiting: HashMap::new() }
    }

    /// Whether a keep-alive for this user can join.
    pub fn is_for(&self, token: Option<&Secret>) -> bool {
        self.token.as_ref() == token
    }

    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn send(&mut self, mut keep: KeepAlive) {
        keep.sent = Some(Instant::now());
        match self.requests.send_data(encode::keep_alive(keep.id), false) {
            Ok(()) => self.waiting.entry(keep.id).or_default().push_back(keep),
            Err(error) => keep.end(Err(status::of_http2(error))),
        }
    }

    /// Since when the keep-alive with this key waits here, if it does.
    pub fn waits_since(&self, key: u64) -> Option<Instant> {
        self.waiting.values().flatten().find(|keep| keep.key == key).and_then(|keep| keep.sent)
    }

    /// Hands on what has come; `Ready`: why the stream has ended.
    pub fn poll(&mut self, context: &mut Context) -> Poll<Error> {
        loop {
            let said = std::task::ready!(self.answers.poll_next(context));
            let message = match said {
                Ok(Said::Message(message) | Said::Part(message)) => message,
                Ok(Said::End) => {
                    let ended = Error::new(ErrorKind::Unavailable, "the server ended the keep-alives");
                    return Poll::Ready(ended.os_error_is(libc::ECONNRESET).outcome_is(Outcome::Unknown));
                }
                Err(error) => return Poll::Ready(error),
            };
            let Some(reply) = decode::read(message).and_then(decode::lease) else {
                return Poll::Ready(status::bad_reply("a keep-alive was answered with something else"));
            };
            let crate::model::Body::Lease { id, .. } = reply.body else { continue };
            let Some(waiting) = self.waiting.get_mut(&id) else { continue };
            if let Some(mut first) = waiting.pop_front() {
                first.end(Ok(reply));
            }
            if waiting.is_empty() {
                self.waiting.remove(&id);
            }
        }
    }

    /// All that wait end with this error.
    pub fn fail(self, error: &Error) {
        for mut keep in self.waiting.into_values().flatten() {
            keep.end(Err(error.clone()));
        }
    }
}
