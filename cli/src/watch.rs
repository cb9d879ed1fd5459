//! watch: one line per change, written at once.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use etcd::classic::{Change, Session};
use etcd::wait::Deadline;

use crate::failure::{Failure, print};
use crate::sys;

/// Prints changes until it is interrupted or nobody reads them.
pub fn watch(session: &Session, key: OsString, index: Option<i64>) -> Result<(), Failure> {
    let key = key.into_vec();
    // Without this, `watch KEY | head -1` would end only with the change after the one that was read.
    sys::when_output_has_no_reader(|| std::process::exit(0));
    let mut next = index;
    loop {
        let change = session.watch(&key, next, Deadline::NEVER);
        let change = change.map_err(|error| Failure::of(session, error))?;
        next = Some(change.index + 1);
        print(&line(&change))?;
    }
}

/// `put REVISION KEY VALUE` or `delete REVISION KEY`.
fn line(change: &Change) -> Vec<u8> {
    let mut line = match &change.value {
        Some(_) => format!("put {} ", change.index),
        None => format!("delete {} ", change.index),
    }
    .into_bytes();
    // The first space behind the key ends it, so it has none itself; the value goes on to the line's end.
    escape(&change.key, &mut line, |byte| byte == b' ');
    if let Some(value) = &change.value {
        line.push(b' ');
        escape(value, &mut line, |_| false);
    }
    line.push(b'\n');
    line
}

/// Backslash escapes for what would break a line or confuse a terminal; all else stays as it is, also bytes
/// that are no UTF-8.
fn escape(bytes: &[u8], line: &mut Vec<u8>, also: fn(u8) -> bool) {
    for &byte in bytes {
        match byte {
            b'\\' => line.extend(b"\\\\"),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\t' => line.extend(b"\\t"),
            _ if byte.is_ascii_control() || also(byte) => line.extend(format!("\\x{byte:02x}").bytes()),
            _ => line.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
        line(&Change { key: key.into(), value: value.map(Into::into), index: 17 })
    }

    #[test]
    fn a_change_is_one_line() {
        assert_eq!(change(b"a/b", Some(b"one two")), b"put 17 a/b one two\n");
        assert_eq!(change(b"a/b", Some(b"")), b"put 17 a/b \n");
        assert_eq!(change(b"a/b", None), b"delete 17 a/b\n");
    }

    #[test]
    fn what_breaks_lines_or_fields_is_escaped_and_nothing_else() {
        assert_eq!(change(b"a b\n", Some(b"x\r\n\\n\ty")), b"put 17 a\\x20b\\n x\\r\\n\\\\n\\ty\n");
        assert_eq!(
            change(b"k", Some(b"\x00\x1b[1m\x7f \xff\xc3\xa9")),
            b"put 17 k \\x00\\x1b[1m\\x7f \xff\xc3\xa9\n"
        );
    }
}
