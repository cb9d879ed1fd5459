//! A watch through the gateway: one endless HTTP response with one JSON object a line, read by a thread.

use std::io::{BufRead, BufReader};
use std::thread::JoinHandle;

use ureq::Agent;

use super::codec::{self, WatchLine};
use super::interrupt::Interruptible;
use super::{Json, WatchStream, new_agent};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::model::{WatchRequest, WatchSink};
use crate::sys;
use crate::transport::Context;
use crate::wait::{Interrupted, Mailbox};

/// Opens a watch on a connection of its own, so that ending it disturbs nothing else.
pub fn open(json: &Json, request: &WatchRequest, sink: WatchSink, context: &Context) -> Result<WatchStream> {
    let api = json.api(context)?;
    let agent = new_agent(&json.place, json.connect_timeout);
    let body = codec::encode_watch(request).to_string().into_bytes();
    let path = format!("{api}/watch");
    let response = json.send_stream(&agent, &path, body.clone(), context)?;
    if response.status() != 200 {
        // A stream is read without a deadline. A refusal has an end: it is asked for again as one.
        let (status, answer) = json.exchange(&path, Some(body), context)?;
        return Err(json.parse(status, &answer).err().unwrap_or_else(|| super::bad_reply(status)));
    }
    let lines = BufReader::new(response.into_body().into_reader());
    let created = Mailbox::default();
    let reader = Reader { endpoint: json.name.clone(), created: created.clone(), sink };
    let thread = sys::spawn("etcd-watch", move || reader.run(lines)).map_err(|error| {
        Error::new(ErrorKind::NoResource, format!("no thread for a watch: {error}")).at(&json.name)
    })?;
    let guard = Guard { agent, thread: Some(thread) };
    let revision = match created.recv(context.deadline, &context.cancel) {
        Ok(created) => created?,
        Err(Interrupted::Canceled) => return Err(Error::closed()),
        Err(Interrupted::Timeout) => {
            let error = Error::new(ErrorKind::Timeout, "the watch was not confirmed in time");
            return Err(error.outcome_is(Outcome::Unknown).at(&json.name));
        }
    };
    Ok(WatchStream { revision, guard: Box::new(guard) })
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
        let left = context.deadline.remaining();
        let _interruptible = Interruptible::by(&context.cancel);
        let request = agent.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        let sent = request.config().timeout_send_request(left).timeout_recv_response(left).build().send(body);
        sent.map_err(|error| self.fault(error, context))
    }
}

/// Ends the watch: the connection is cut, which ends the thread.
struct Guard {
    agent: Agent,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.agent.clone().shutdown();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Reader {
    endpoint: String,
    /// Tells the opener, once, how it went.
    created: Mailbox<Result<i64>>,
    sink: WatchSink,
}

impl Reader {
    fn run(mut self, mut lines: impl BufRead) {
        let mut open = false;
        let mut line = Vec::new();
        loop {
            line.clear();
            let result = match lines.read_until(b'\n', &mut line) {
                Ok(0) => Err(self.lost("the server ended the watch")),
                Err(error) => Err(self.lost(&format!("connection lost: {error}"))),
                Ok(_) if line.trim_ascii().is_empty() => continue,
                Ok(_) => self.decode(&line),
            };
            match result {
                Ok(WatchLine::Created(batch)) => {
                    open = true;
                    self.created.push(Ok(batch.revision));
                }
                Ok(WatchLine::Changes(batch)) => {
                    if !(self.sink)(Ok(batch)) {
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
        codec::decode_watch(&value).map_err(|error| error.at(&self.endpoint))
    }

    fn lost(&self, fault: &str) -> Error {
        Error::new(ErrorKind::Unavailable, fault).os_error_is(libc::ECONNRESET).at(&self.endpoint)
    }
}
