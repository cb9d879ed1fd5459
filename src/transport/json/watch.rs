//! A watch through the gateway: one endless HTTP response with one JSON object a line, read by a thread.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ureq::Agent;

use super::decode::{self, WatchLine};
use super::{Json, WatchStream, authorized, encode, new_agent};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::{Header, WatchRequest, WatchSink};
use crate::threads::Thread;
use crate::transport::Context;
use crate::transport::fragments::Fragments;
use crate::wait::{Interrupted, Mailbox};

/// Opens a watch on a connection of its own, so that ending it disturbs nothing else.
pub fn open(json: &Json, request: &WatchRequest, sink: WatchSink, context: &Context) -> Result<WatchStream> {
    let api = json.api(context)?;
    let agent = new_agent(&json.connect, json.connect_timeout);
    let whole = (!json.in_pieces.load(Ordering::Relaxed)).then(|| json.in_pieces.clone());
    let body = encode::watch(request, whole.is_none()).to_string().into_bytes();
    let path = format!("{api}/watch");
    let response = json.send_stream(&agent, &path, body.clone(), context)?;
    if response.status() != 200 {
        // A stream is read without a deadline. A refusal has an end: it is asked for again as one.
        let (status, answer) = json.exchange(&path, Some(body), REFUSAL, context)?;
        return Err(json.parse(status, &answer).err().unwrap_or_else(|| super::bad_reply(status)));
    }
    let lines = BufReader::new(response.into_body().into_reader());
    let created = Mailbox::default();
    let reader = Reader::new(&json.name, created.clone(), sink, whole);
    let cut = agent.clone();
    let thread = json.connect.threads.spawn("etcd-watch", move || cut.shutdown(), move || reader.run(lines));
    let guard = Guard { agent, thread: thread.map_err(|error| error.at(&json.name))? };
    let header = match created.recv(context.deadline, context.cancel) {
        Ok(created) => created.map_err(|error| perhaps_old_token(error, api, context))?,
        Err(Interrupted::Canceled) => return Err(Error::closed()),
        Err(Interrupted::Timeout) => {
            let error = Error::new(ErrorKind::Timeout, "the watch was not confirmed in time");
            return Err(error.outcome_is(Outcome::Unknown).at(&json.name));
        }
    };
    Ok(WatchStream { header, guard: Box::new(guard) })
}

/// How long the answer that refuses a watch may be. Should it be none after all, it has no end.
const REFUSAL: u64 = 1 << 20;

/// etcd 3.3 says the same of a token that is over as of something that is not permitted.
fn perhaps_old_token(error: Error, api: &str, context: &Context) -> Error {
    let both = api == "/v3beta" && context.token.is_some() && error.kind() == ErrorKind::PermissionDenied;
    if both { error.also("or invalid auth token") } else { error }
}

impl Json {
    /// Like an ordinary request, but only up to the headers of the answer: the body has no end.
    fn send_stream(
        &self,
        agent: &Agent,
        path: &str,
        body: Vec<u8>,
        context: &Context,
    ) -> Result<ureq::http::Response<ureq::Body>> {
        let _interruptible = self.interruptible(context);
        let request = authorized(agent.post(format!("{}{path}", self.base)), context);
        let connect = Some(self.time_to_connect(context));
        let sent = request.config().timeout_connect(connect).build().send(body);
        sent.map_err(|error| self.fault(error, context))
    }
}

/// Ends the watch: the connection is cut, which ends the thread.
struct Guard {
    agent: Agent,
    thread: Thread,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.agent.clone().shutdown();
        self.thread.join();
    }
}

/// How long a line may be before the server is asked to cut its answers: it would fill the memory.
const LONGEST: u64 = 16 << 20;

pub struct Reader {
    endpoint: String,
    /// Tells the opener, once, how it went.
    created: Mailbox<Result<Header>>,
    sink: WatchSink,
    fragments: Fragments,
    /// As long as its answers come whole: what makes this endpoint's watches ask for pieces from then on.
    whole: Option<Arc<AtomicBool>>,
}

impl Reader {
    pub fn new(
        endpoint: &str,
        created: Mailbox<Result<Header>>,
        sink: WatchSink,
        whole: Option<Arc<AtomicBool>>,
    ) -> Self {
        Reader { endpoint: endpoint.to_owned(), created, sink, fragments: Fragments::default(), whole }
    }

    pub fn run(mut self, mut lines: impl BufRead) {
        let mut open = false;
        let mut line = Vec::new();
        loop {
            line.clear();
            let longest = if self.whole.is_some() { LONGEST } else { u64::MAX };
            let result = match lines.by_ref().take(longest).read_until(b'\n', &mut line) {
                Ok(0) => Err(self.lost("the server ended the watch")),
                Ok(length) if length as u64 == longest => {
                    let fault = format!("an answer has {longest} bytes or more");
                    Err(self.too_long(Error::new(ErrorKind::TooLarge, fault)))
                }
                Err(error) => Err(self.lost(&format!("connection lost: {error}"))),
                Ok(_) if line.trim_ascii().is_empty() => continue,
                Ok(_) => self.decode(&line),
            };
            match result {
                Ok(WatchLine::Created(header)) => {
                    open = true;
                    self.created.push(Ok(header));
                }
                Ok(WatchLine::Changes { batch, fragment }) => {
                    let whole = self.fragments.whole_revisions(batch, fragment);
                    if whole.is_some_and(|batch| !(self.sink)(Ok(batch))) {
                        return;
                    }
                }
                Err(error) if open => {
                    (self.sink)(Err(error));
                    return;
                }
                Err(error) => {
                    self.created.push(Err(error));
                    return;
                }
            }
        }
    }

    fn decode(&self, line: &[u8]) -> Result<WatchLine> {
        let value = serde_json::from_slice(line).map_err(|_| {
            let fault = "a watch answered without etcd's JSON";
            Error::new(ErrorKind::BadReply, fault).at(&self.endpoint)
        })?;
        decode::watch_line(&value).map_err(|error| match error.kind() {
            // The gateway of etcd 3.3 takes no answer of more than 4 MiB.
            ErrorKind::TooLarge => self.too_long(error),
            _ => error.at(&self.endpoint),
        })
    }

    /// From now on the answers of this server come in pieces: it is only asked for them then, since the time that etcd
    /// takes to cut them grows with the square of how many changes are in a piece (2 s for 11,000). A piece that is too
    /// long is not to be had any shorter.
    fn too_long(&self, error: Error) -> Error {
        let Some(in_pieces) = &self.whole else { return error.at(&self.endpoint) };
        in_pieces.store(true, Ordering::Relaxed);
        self.lost(&format!("{}: it is asked for in pieces from now on", error.fault()))
    }

    fn lost(&self, fault: &str) -> Error {
        Error::new(ErrorKind::Unavailable, fault).os_error_is(libc::ECONNRESET).at(&self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{Cancel, Deadline};

    const CREATED: &str = r#"{"result":{"header":{"revision":"3"},"created":true}}"#;
    const OVER_4_MIB: &str = r#"{"error":{"grpc_code":8,"message":"grpc: received message larger than max (4419827 vs. 4194304)"}}"#;

    /// How a watch ends that is told this.
    fn end(line: &str, whole: Option<Arc<AtomicBool>>) -> Error {
        let (created, ended) = (Mailbox::default(), Mailbox::default());
        let told = ended.clone();
        let sink: WatchSink = Box::new(move |item| {
            item.err().into_iter().for_each(|error| told.push(error));
            true
        });
        Reader::new("here", created.clone(), sink, whole).run(format!("{CREATED}\n{line}\n").as_bytes());
        let now = Deadline::after(std::time::Duration::ZERO);
        created.recv(now, Cancel::NEVER).expect("told").expect("confirmed");
        ended.recv(now, Cancel::NEVER).expect("told")
    }

    #[test]
    fn an_answer_that_is_too_long_is_asked_for_in_pieces_and_a_piece_that_is_is_told() {
        let long = "x".repeat(LONGEST as usize);
        for line in [OVER_4_MIB, &long] {
            let in_pieces = Arc::new(AtomicBool::new(false));
            let error = end(line, Some(in_pieces.clone()));
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}: it goes on");
            assert!(in_pieces.load(Ordering::Relaxed));
        }
        assert_eq!(end(OVER_4_MIB, None).kind(), ErrorKind::TooLarge);
        assert_eq!(end(&long, None).kind(), ErrorKind::BadReply, "read to its end");
    }
}
