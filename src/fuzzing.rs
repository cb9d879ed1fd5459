//! What a fuzzer feeds with bytes: all that reads what users, environments and servers write, and the C functions.
//! Only its builds have this module; fuzz/run makes and runs them.

mod calls;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
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
use crate::transport::grpc::answer::{Messages, Said};
use crate::transport::grpc::{self, decode::WatchNews, decode::WatchParts};
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
    Reader::new("here", created.clone(), sink, Some(Arc::default())).run(lines);
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
    let (messages, error) = cut(Messages::new(LONGEST), body, *size as usize);
    error.iter().for_each(check);
    let (whole, at_once) = cut(Messages::new(LONGEST), body, 0);
    assert_eq!((&messages, error.map(|e| e.to_string())), (&whole, at_once.map(|e| e.to_string())));
    match letter {
        b'w' => {
            let whole = news(messages);
            let (parts, error) = cut(Messages::in_parts(LONGEST, PART), body, *size as usize);
            // Of what is not etcd's, parts may tell more: what the rest of the message takes back.
            if let (Some(whole), Some(in_parts), None) = (whole, news(parts), error) {
                let mut told = in_parts.iter();
                assert!(whole.iter().all(|event| told.any(|other| other == event)), "lost in parts");
            }
        }
        _ => {
            messages
                .into_iter()
                .for_each(|(message, _)| drop(grpc::decode::reply(&request(*letter), message)));
        }
    }
}

/// The most that max_reply_bytes may be: whoever says so much takes none of it before it has come.
const LONGEST: usize = 1 << 31;
/// From which length on answers to watches come in parts here.
const PART: usize = 8;

/// What comes out when so many bytes come in at a time: messages and parts, with which of them is the last of a
/// message, and why nothing more does.
fn cut(mut messages: Messages, body: &[u8], size: usize) -> (Vec<(Bytes, bool)>, Option<Error>) {
    let mut found = Vec::new();
    for piece in body.chunks(if size == 0 { body.len().max(1) } else { size }) {
        messages.push(Bytes::copy_from_slice(piece));
        loop {
            match messages.next() {
                Ok(Some(Said::Message(bytes))) => found.push((bytes, true)),
                Ok(Some(Said::Part(bytes))) => found.push((bytes, false)),
                Ok(Some(Said::End) | None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// A stream of watches. Parts hold changes back, and lose none. What it tells, if all of it can be read.
fn news(messages: Vec<(Bytes, bool)>) -> Option<Vec<Event>> {
    let (mut parts, mut told) = (WatchParts::default(), Vec::new());
    let (mut open, mut handed_on) = (HashMap::<i64, Fragments>::new(), 0);
    let mut hand_on = |fragments: &mut Fragments, batch: WatchBatch, more| {
        handed_on += fragments.whole_revisions(batch, more).map_or(0, |batch| batch.events.len());
    };
    let mut is_whole = true;
    for (message, is_last) in messages {
        let message = parts.take(message, is_last);
        let Some((number, news)) = message.and_then(|m| Some((m.watch_id, grpc::decode::watch(m)?))) else {
            is_whole = false;
            break;
        };
        match news {
            WatchNews::Created(_) => {}
            WatchNews::Canceled(error) => check(&error),
            WatchNews::Changes(batch) => {
                told.extend_from_slice(&batch.events);
                hand_on(open.entry(number).or_default(), batch, !is_last);
            }
        }
    }
    open.values_mut().for_each(|fragments| hand_on(fragments, WatchBatch::default(), false));
    assert_eq!(handed_on, told.len());
    is_whole.then_some(told)
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
