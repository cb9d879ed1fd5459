//! What a fuzzer feeds with bytes: all that reads what users, environments and servers write, and the C functions.
//! Only its builds have this module; fuzz/run makes and runs them.

mod calls;

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

pub use self::calls::calls;
use crate::client::endpoints::parse;
use crate::error::Error;
use crate::model::*;
use crate::options::{DefaultScheme, Options, Secret, TABLE};
use crate::threads::Threads;
use crate::transport::connect::Place;
use crate::transport::fragments::Fragments;
use crate::transport::grpc::answer::Messages;
use crate::transport::grpc::{self, decode::WatchNews, proto};
use crate::transport::json::Json;
use crate::transport::json::decode;
use crate::transport::json::watch::Reader;
use crate::wait::{Cancel, Deadline, Mailbox};

/// A list of servers, behind one byte that chooses the default scheme and two that are the default port. What
/// is accepted prints as something that means the same without these defaults.
pub fn endpoints(data: &[u8]) {
    let [scheme, high, low, list @ ..] = data else { return };
    let options = defaults(*scheme, u16::from_be_bytes([*high, *low]));
    match parse(&String::from_utf8_lossy(list), &options) {
        Ok(targets) => {
            let printed: Vec<String> = targets.iter().map(ToString::to_string).collect();
            assert_eq!(parse(&printed.join(" "), &Options::new()).expect("it is accepted again"), targets);
        }
        Err(error) => check(&error),
    }
}

/// `0` to `3` in ASCII are the four choices.
fn defaults(scheme: u8, port: u16) -> Options {
    use DefaultScheme::{Auto, Http, Https};
    let (default_scheme, ca_file) =
        [(Auto, ""), (Http, ""), (Https, ""), (Auto, "ca.pem")][scheme as usize % 4];
    Options { default_scheme, default_port: port.max(1), ca_file: ca_file.into(), ..Options::new() }
}

/// `NAME=VALUE` with the name of an option or a variable. An error names it and changes nothing, and what is
/// accepted is shown without the password.
pub fn options(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (name, value) = text.split_once('=').unwrap_or((&text, ""));
    let mut options = Options::new();
    let variable = TABLE.iter().find(|row| row.variable() == name);
    let set = match variable {
        Some(row) => options.set_row(row, name, value),
        None => options.set(name, value),
    };
    let Err(error) = set else { return check_secrecy(&options) };
    check(&error);
    let quoted = format!("{name:?}");
    assert!(error.fault().contains(&quoted[1..quoted.len() - 1]), "{error:?} does not name {name:?}");
    assert_eq!(options, Options::new());
}

/// One password looks like another.
fn check_secrecy(options: &Options) {
    let other = Options { password: Secret::new("another"), ..options.clone() };
    let there_is_one = !options.password.reveal().is_empty();
    assert!(!there_is_one || format!("{options:?}") == format!("{other:?}"));
}

/// What a server answers, behind a letter that says what was asked. A capital letter: with an HTTP status that
/// is none of success.
pub fn json_reply(data: &[u8]) {
    let [letter, body @ ..] = data else { return };
    match letter {
        b'v' => drop(decode::api_of(&String::from_utf8_lossy(body))),
        b'w' => watch(body),
        _ => answer(*letter, body),
    }
}

/// An answer is read by the kind of its request alone.
fn request(kind: u8) -> Request {
    match kind {
        b'a' => Request::Alarm { action: AlarmAction::Get, alarm: Alarm { member: 0, kind: AlarmKind::Any } },
        b'c' => Request::Compact { revision: 1, physical: false },
        b'd' => Request::Delete(DeleteRequest::default()),
        b'e' => Request::LeaseRevoke { id: 1 },
        b'g' => Request::LeaseGrant { id: 1, ttl: 1 },
        b'h' => Request::HashKv { revision: 0 },
        b'i' => Request::Leases,
        b'k' => Request::LeaseKeepAlive { id: 1 },
        b'l' => Request::LeaseTimeToLive { id: 1, keys: true },
        b'm' => Request::Members,
        b'p' => Request::Put(PutRequest::default()),
        b's' => Request::Status,
        b't' => Request::Txn(TxnRequest::default()),
        b'u' => Request::Authenticate { user: String::new(), password: Secret::default() },
        _ => Request::Range(RangeRequest::default()),
    }
}

fn answer(letter: u8, body: &[u8]) {
    static JSON: LazyLock<Json> = LazyLock::new(|| {
        Json::new("here", Place::Unix("/dev/null".into()), None, Duration::ZERO, &Threads::default())
    });
    let status = if letter.is_ascii_uppercase() { 400 } else { 200 };
    match JSON.parse(status, body) {
        Ok(answer) => drop(decode::reply(&request(letter.to_ascii_lowercase()), &answer)),
        Err(error) => check(&error),
    }
}

/// The whole life of a watch. Whoever opened it hears of it in any case.
fn watch(lines: &[u8]) {
    let created = Mailbox::default();
    let sink: WatchSink = Box::new(|item| item.inspect_err(check).is_ok());
    Reader { endpoint: "here".into(), created: created.clone(), sink, fragments: Fragments::default() }
        .run(lines);
    let opened = created.recv(Deadline::NEVER, Cancel::NEVER).expect("nothing ends this wait early");
    drop(opened.inspect_err(check));
}

/// What a server answers by gRPC, behind a letter that says what was asked and a byte that says how many bytes come at
/// a time; 0 are all. Cut into messages, it is the same however it comes. An `x`: how a call ended.
pub fn grpc_reply(data: &[u8]) {
    let [letter, size, body @ ..] = data else { return };
    if *letter == b'x' {
        return trailers(body);
    }
    let (messages, error) = cut(body, *size as usize);
    error.iter().for_each(check);
    let (whole, at_once) = cut(body, 0);
    assert_eq!((&messages, error.map(|e| e.to_string())), (&whole, at_once.map(|e| e.to_string())));
    match letter {
        b'w' => news(messages),
        _ => messages.into_iter().for_each(|message| drop(grpc::decode::reply(&request(*letter), message))),
    }
}

/// The most that max_reply_bytes may be: whoever says so much takes none of it before it has come.
const LONGEST: usize = 1 << 31;

fn cut(body: &[u8], size: usize) -> (Vec<Bytes>, Option<Error>) {
    let mut messages = Messages::new(LONGEST);
    let mut whole = Vec::new();
    for piece in body.chunks(if size == 0 { body.len().max(1) } else { size }) {
        messages.push(Bytes::copy_from_slice(piece));
        loop {
            match messages.next() {
                Ok(Some(message)) => whole.push(message),
                Ok(None) => break,
                Err(error) => return (whole, Some(error)),
            }
        }
    }
    (whole, None)
}

/// A stream of watches. Fragments hold changes back, and lose none.
fn news(messages: Vec<Bytes>) {
    let (mut open, mut told, mut handed_on) = (HashMap::<i64, Fragments>::new(), 0, 0);
    let mut hand_on = |fragments: &mut Fragments, batch: WatchBatch, fragment| {
        handed_on += fragments.whole_revisions(batch, fragment).map_or(0, |batch| batch.events.len());
    };
    for message in messages {
        let Some(message) = grpc::decode::read::<proto::WatchResponse>(message) else { break };
        let number = message.watch_id;
        match grpc::decode::watch(message) {
            Some(WatchNews::Created(_)) => {}
            Some(WatchNews::Canceled(error)) => check(&error),
            Some(WatchNews::Changes { batch, fragment }) => {
                told += batch.events.len();
                hand_on(open.entry(number).or_default(), batch, fragment);
            }
            None => break,
        }
    }
    open.values_mut().for_each(|fragments| hand_on(fragments, WatchBatch::default(), false));
    assert_eq!(handed_on, told);
}

/// A line with the code, and the message, as far as HTTP/2 carries them.
fn trailers(body: &[u8]) {
    let (code, message) = body.split_at(body.iter().position(|byte| *byte == b'\n').unwrap_or(body.len()));
    let mut trailers = HeaderMap::new();
    for (name, value) in [("grpc-status", code), ("grpc-message", message.trim_ascii_start())] {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        trailers.insert(name, value);
    }
    if let Some(Err(error)) = grpc::status::of_trailers(&trailers) {
        check(&error);
    }
}

/// An error is one line.
fn check(error: &Error) {
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
}
