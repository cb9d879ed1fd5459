//! Results as plain lines, as a table, or as JSON.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use etcd::model::KeyValue;
use serde_json::{Map, Value, json};

use crate::failure::{Cause, Failure};
use crate::style;

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Plain,
    Json,
    Table,
}

/// Rows that are aligned in a table and separated by single spaces in plain output. No cell but the last has
/// a space in it, so both can be taken apart again.
pub struct Rows {
    pub columns: &'static [&'static str],
    pub cells: Vec<Vec<Vec<u8>>>,
}

impl Rows {
    /// Prints them as lines, or as a table.
    pub fn print(self, format: Format) -> Result<(), Failure> {
        let bold = |line: &[u8]| style::paint(style::HEADER, line, &io::stdout());
        print(&if format == Format::Table { self.table(bold) } else { self.lines() })
    }

    fn lines(self) -> Vec<u8> {
        let line = |cells: Vec<Vec<u8>>| shown(cells).join(&b' ');
        self.cells.into_iter().flat_map(|cells| line(cells).into_iter().chain([b'\n'])).collect()
    }

    fn table(self, header_style: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let header: Vec<Vec<u8>> = self.columns.iter().map(|column| column.as_bytes().to_vec()).collect();
        let rows: Vec<Vec<Vec<u8>>> = self.cells.into_iter().map(shown).collect();
        let widest = |at: usize| rows.iter().chain([&header]).map(|cells| width(&cells[at])).max();
        let widths: Vec<usize> = (0..header.len()).filter_map(widest).collect();
        let mut text = header_style(&aligned(&header, &widths));
        for cells in &rows {
            text.push(b'\n');
            text.extend(aligned(cells, &widths));
        }
        text.push(b'\n');
        text
    }
}

/// An empty cell before the last one, which could not be seen, as a dash.
fn shown(mut cells: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if let Some((_, before)) = cells.split_last_mut() {
        before.iter_mut().filter(|cell| cell.is_empty()).for_each(|cell| cell.push(b'-'));
    }
    cells
}

/// One line of a table. Its last cell stays as it is.
fn aligned(cells: &[Vec<u8>], widths: &[usize]) -> Vec<u8> {
    let mut line = Vec::new();
    for (at, (cell, wanted)) in cells.iter().zip(widths).enumerate() {
        line.extend(cell);
        if at + 1 < cells.len() {
            line.extend(std::iter::repeat_n(b' ', wanted - width(cell) + 2));
        }
    }
    line
}

/// How many characters a terminal shows; a byte that is no UTF-8 is taken for one.
fn width(cell: &[u8]) -> usize {
    String::from_utf8_lossy(cell).chars().count()
}

/// Bytes as one word: escaped as [`text`], and a space too.
pub fn word(bytes: &[u8]) -> Vec<u8> {
    escape(bytes, |byte| byte == b' ')
}

/// Bytes that go on to the end of a line: backslash escapes for what would break it or confuse a terminal.
/// All else stays as it is, also bytes that are no UTF-8.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    escape(bytes, |_| false)
}

fn escape(bytes: &[u8], also: fn(u8) -> bool) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            b'\t' => escaped.extend(b"\\t"),
            _ if byte.is_ascii_control() || also(byte) => escaped.extend(format!("\\x{byte:02x}").bytes()),
            _ => escaped.push(byte),
        }
    }
    escaped
}

/// A key as one word, in colour on a terminal.
pub fn key(bytes: &[u8]) -> Vec<u8> {
    style::paint(style::KEY, &word(bytes), &io::stdout())
}

/// `KEY VALUE`, or `KEY` alone.
pub fn key_line(kv: &KeyValue, with_value: bool) -> Vec<u8> {
    let mut line = key(&kv.key);
    if with_value {
        line.push(b' ');
        line.extend(text(&kv.value));
    }
    line.push(b'\n');
    line
}

/// A lease's id as etcdctl prints it.
pub fn lease_id(id: i64) -> String {
    format!("{id:016x}")
}

/// An object with one byte string: under its name as text, or, when it is no UTF-8, as base64 under its name
/// with `_base64`.
pub fn bytes_object(name: &str, bytes: &[u8]) -> Map<String, Value> {
    let (name, value) = match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), text.to_owned()),
        Err(_) => (format!("{name}_base64"), STANDARD.encode(bytes)),
    };
    Map::from_iter([(name, Value::String(value))])
}

/// A key as etcd keeps it. What is not known (a value left out, the past of a deleted key) is not there, and
/// neither is the lease of a key that has none.
pub fn key_object(kv: &KeyValue, with_value: bool) -> Value {
    let mut object = bytes_object("key", &kv.key);
    if with_value {
        object.extend(bytes_object("value", &kv.value));
    }
    let numbers =
        [("create_revision", kv.create_revision), ("mod_revision", kv.mod_revision), ("version", kv.version)];
    let known = numbers.into_iter().filter(|(_, number)| *number != 0);
    object.extend(known.map(|(name, number)| (name.to_owned(), json!(number))));
    if kv.lease != 0 {
        object.insert("lease".into(), json!(lease_id(kv.lease)));
    }
    Value::Object(object)
}

/// Prints a JSON document on a line of its own.
pub fn print_json(document: &Value) -> Result<(), Failure> {
    print(format!("{document}\n").as_bytes())
}

/// Writes to standard output, at once.
pub fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = output.write_all(bytes).and_then(|()| output.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(Cause::NoReader),
        _ => Failure::new(Cause::Internal, format!("write to standard output: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_lines_or_fields_is_escaped_and_nothing_else() {
        assert_eq!(word(b"a b\n"), b"a\\x20b\\n");
        assert_eq!(text(b"x\r\n\\n\ty z"), b"x\\r\\n\\\\n\\ty z");
        assert_eq!(text(b"\x00\x1b[1m\x7f \xff\xc3\xa9"), b"\\x00\\x1b[1m\\x7f \xff\xc3\xa9");
    }

    #[test]
    fn tables_are_aligned_and_lines_are_not() {
        let cell = |text: &str| text.as_bytes().to_vec();
        let rows = || Rows {
            columns: &["A", "LONG", "LAST"],
            cells: vec![
                vec![cell("äöü"), cell("x"), cell("one two")],
                vec![cell(""), cell("longer"), cell("")],
            ],
        };
        let table = String::from_utf8(rows().table(<[u8]>::to_vec)).unwrap();
        assert_eq!(table, "A    LONG    LAST\näöü  x       one two\n-    longer  \n");
        assert_eq!(rows().lines(), "äöü x one two\n- longer \n".as_bytes());
    }

    #[test]
    fn bytes_in_json_are_text_or_base64_and_never_both() {
        let object = |bytes: &[u8]| Value::Object(bytes_object("value", bytes)).to_string();
        assert_eq!(object("é\"\n\0".as_bytes()), r#"{"value":"é\"\n\u0000"}"#);
        assert_eq!(object(b""), r#"{"value":""}"#);
        assert_eq!(object(b"\xff\x00"), r#"{"value_base64":"/wA="}"#);
    }

    #[test]
    fn a_key_in_json_has_what_is_known_of_it() {
        let kv = KeyValue { key: b"k".into(), mod_revision: 7, ..KeyValue::default() };
        assert_eq!(key_object(&kv, false).to_string(), r#"{"key":"k","mod_revision":7}"#);
        let leased = KeyValue { lease: 0x1f, create_revision: 6, version: 2, ..kv };
        let whole = r#"{"create_revision":6,"key":"k","lease":"000000000000001f","mod_revision":7,"value":"","version":2}"#;
        assert_eq!(key_object(&leased, true).to_string(), whole);
    }
}
