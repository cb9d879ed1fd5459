//! watch: one line per change, written at once.

use etcd::classic::{Session, below};
use etcd::model::{Event, EventKind, KeyRange, KeyValue, WatchRequest};
use etcd::wait::Deadline;
use serde_json::json;

use crate::args::WatchArgs;
use crate::failure::Failure;
use crate::keys::stored;
use crate::output::{Format, key_line, key_object, print};
use crate::sys;

/// Prints changes until it is interrupted or nobody reads them.
pub fn watch(session: &Session, format: Format, given: WatchArgs) -> Result<(), Failure> {
    // Without this, `watch KEY | head -1` would end only with the change after the one that was read.
    sys::when_output_has_no_reader(|| std::process::exit(0));
    let key = stored(session, given.key, given.prefix)?;
    let below = below(&key);
    let range = if given.prefix {
        KeyRange::prefix(&key[..])
    } else {
        // From the key itself to the end of what is below it; what lies in between is sorted out.
        KeyRange { start: key.clone(), end: KeyRange::prefix(&below[..]).end }
    };
    let wanted = |event: &&Event| given.prefix || event.kv.key == key || event.kv.key.starts_with(&below);
    let request =
        WatchRequest { prev_kv: given.prev, ..WatchRequest::new(range, given.rev.unwrap_or_default()) };
    let mut watcher = session.client().watch(request);
    loop {
        let batch = watcher.next(Deadline::NEVER, session.client().closed());
        let batch = batch.map_err(|error| Failure::of(session, error))?;
        let line = if format == Format::Json { json_line } else { lines };
        print(&batch.events.iter().filter(wanted).flat_map(line).collect::<Vec<u8>>())?;
    }
}

/// `put REVISION KEY VALUE` or `delete REVISION KEY`, and before it `prev REVISION KEY VALUE` where that is
/// known.
fn lines(event: &Event) -> Vec<u8> {
    let prev = event.prev_kv.as_ref().map(|kv| line("prev", kv, true));
    let change = match event.kind {
        EventKind::Put => line("put", &event.kv, true),
        EventKind::Delete => line("delete", &event.kv, false),
    };
    [prev.unwrap_or_default(), change].concat()
}

fn line(word: &str, kv: &KeyValue, with_value: bool) -> Vec<u8> {
    [format!("{word} {} ", kv.mod_revision).as_bytes(), &key_line(kv, with_value)].concat()
}

fn json_line(event: &Event) -> Vec<u8> {
    let put = event.kind == EventKind::Put;
    let mut change = json!({
        "type": if put { "put" } else { "delete" },
        "revision": event.kv.mod_revision,
        "kv": key_object(&event.kv, put),
    });
    if let Some(kv) = &event.prev_kv {
        change["prev_kv"] = key_object(kv, true);
    }
    format!("{change}\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &[u8], value: &[u8], mod_revision: i64) -> KeyValue {
        KeyValue { key: key.into(), value: value.into(), mod_revision, ..KeyValue::default() }
    }

    fn event(kind: EventKind, kv: KeyValue, prev_kv: Option<KeyValue>) -> Event {
        Event { kind, kv, prev_kv }
    }

    #[test]
    fn a_change_is_one_line() {
        let put = |value: &[u8]| lines(&event(EventKind::Put, kv(b"a b/c", value, 17), None));
        assert_eq!(put(b"one two"), b"put 17 a\\x20b/c one two\n");
        assert_eq!(put(b"one\ntwo"), b"put 17 a\\x20b/c one\\ntwo\n");
        assert_eq!(put(b""), b"put 17 a\\x20b/c \n");
        assert_eq!(lines(&event(EventKind::Delete, kv(b"a", b"", 18), None)), b"delete 18 a\n");
    }

    #[test]
    fn what_was_before_is_a_line_of_the_same_form() {
        let before = || Some(kv(b"a", b"old", 3));
        assert_eq!(lines(&event(EventKind::Put, kv(b"a", b"", 17), before())), b"prev 3 a old\nput 17 a \n");
        let gone = event(EventKind::Delete, kv(b"a", b"", 18), before());
        assert_eq!(lines(&gone), b"prev 3 a old\ndelete 18 a\n");
        let object = r#"{"kv":{"key":"a","mod_revision":18},"prev_kv":{"key":"a","mod_revision":3,"value":"old"},"revision":18,"type":"delete"}"#;
        assert_eq!(json_line(&gone), format!("{object}\n").as_bytes());
    }
}
