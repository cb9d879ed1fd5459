//! How gRPC and HTTP/2 tell of failures, and what is known of the outcome then.

use h2::Reason;
use http::HeaderMap;

use crate::error::{Error, ErrorKind, Outcome};

/// What to do about answers that are not etcd's.
const WHAT_TO_CHECK: &str = "is this an etcd client URL? If it wants TLS, say https://";

/// How a server ended an answer; `None`: it does not say.
pub fn of_trailers(trailers: &HeaderMap) -> Option<Result<(), Error>> {
    let code = trailers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    if code == 0 {
        return Some(Ok(()));
    }
    let text = trailers.get("grpc-message").map(|text| percent_decoded(text.as_bytes()));
    Some(Err(Error::from_server(code, &text.unwrap_or_default())))
}

/// What the head of an answer says against it, if anything.
pub fn of_head(head: &http::response::Parts) -> Option<Error> {
    if let Some(ended) = of_trailers(&head.headers) {
        return Some(ended.err().unwrap_or_else(|| bad_reply("answered success without an answer")));
    }
    let is_grpc = |content: &http::HeaderValue| content.as_bytes().starts_with(b"application/grpc");
    if head.status != 200 || !head.headers.get("content-type").is_some_and(is_grpc) {
        let fault = format!("answered HTTP {} without gRPC", head.status.as_u16());
        let refused = head.status == 404 || head.status == 405 || head.status == 415;
        let outcome = if refused { Outcome::Refused } else { Outcome::Unknown };
        return Some(bad_reply(&fault).outcome_is(outcome));
    }
    None
}

/// An answer that is none of etcd's. What it was given for may have been done.
pub fn bad_reply(fault: &str) -> Error {
    Error::new(ErrorKind::BadReply, fault).outcome_is(Outcome::Unknown).advise(WHAT_TO_CHECK)
}

/// A message over the limit of the option, or one that says so of itself.
pub fn too_large(length: usize, limit: usize) -> Error {
    let fault = format!("an answer of {length} bytes is over max_reply_bytes ({limit})");
    let error = Error::new(ErrorKind::TooLarge, fault).outcome_is(Outcome::Unknown);
    error.advise("raise max_reply_bytes, or read with a limit")
}

/// A connection that broke.
pub fn lost(why: &str) -> Error {
    let error = Error::new(ErrorKind::Unavailable, format!("connection lost: {why}"));
    error.os_error_is(libc::ECONNRESET).outcome_is(Outcome::Unknown)
}

/// A stream or connection that failed.
pub fn of_http2(error: h2::Error) -> Error {
    if let Some(io) = error.get_io() {
        return lost(&io.to_string());
    }
    let unavailable = |fault: String| {
        Error::new(ErrorKind::Unavailable, fault).os_error_is(libc::ECONNRESET).outcome_is(Outcome::Unknown)
    };
    match error.reason() {
        // What came behind the last one that the server names was not looked at.
        Some(reason) if error.is_go_away() && error.is_remote() => {
            unavailable(format!("the server is closing the connection ({})", reason.description()))
                .outcome_is(Outcome::NotSent)
        }
        Some(Reason::REFUSED_STREAM) if error.is_remote() => {
            unavailable("the server took no more requests".into()).outcome_is(Outcome::NotSent)
        }
        Some(reason) if error.is_remote() => {
            unavailable(format!("the server dropped the request ({})", reason.description()))
        }
        _ => bad_reply(&format!("not HTTP/2 as etcd speaks it: {error}")),
    }
}

/// Whether a server had enough of our pings.
pub fn is_about_pings(error: &h2::Error) -> bool {
    error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM)
}

fn percent_decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_decoded_and_broken_ones_taken_as_they_are() {
        for (text, decoded) in
            [("a%20b%25", "a b%"), ("%", "%"), ("%4", "%4"), ("%zz%C3%A4", "%zzä"), ("", "")]
        {
            assert_eq!(percent_decoded(text.as_bytes()), decoded);
        }
    }

    #[test]
    fn a_status_is_read_from_trailers() {
        let mut trailers = HeaderMap::new();
        assert!(of_trailers(&trailers).is_none());
        trailers.insert("grpc-status", "0".parse().unwrap());
        assert!(of_trailers(&trailers).unwrap().is_ok());
        trailers.insert("grpc-status", "5".parse().unwrap());
        trailers.insert("grpc-message", "etcdserver: requested lease not found".parse().unwrap());
        assert_eq!(of_trailers(&trailers).unwrap().unwrap_err().kind(), ErrorKind::LeaseNotFound);
        trailers.insert("grpc-status", "x".parse().unwrap());
        assert!(of_trailers(&trailers).is_none());
    }
}
