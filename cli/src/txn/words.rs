//! Words and quotes, as etcdctl reads them.

use etcd::model::quote;

/// Splits a line into words. A word that begins with a quote ends with it; in any other word quotes and
/// backslashes stand for themselves.
pub fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.first() {
        let (word, behind) = match first {
            b'"' => quoted(rest)?,
            b'\'' => until(&rest[1..], b'\'')?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        if behind.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return Err(format!("a space is missing before {}", quote(behind)));
        }
        words.push(word);
        rest = behind.trim_ascii_start();
    }
    Ok(words)
}

fn until(text: &[u8], end: u8) -> Result<(Vec<u8>, &[u8]), String> {
    let at = text.iter().position(|&byte| byte == end);
    let at = at.ok_or_else(|| format!("a quote does not end: {}", quote(text)))?;
    Ok((text[..at].to_vec(), &text[at + 1..]))
}

/// Reads one of Go's string literals, and tells what is behind it.
pub fn quoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    match text.split_first() {
        Some((b'`', rest)) => return until(rest, b'`'),
        Some((b'"', _)) => {}
        _ => return Err(format!("{} should be in double quotes", quote(text))),
    }
    let mut value = Vec::new();
    let mut rest = &text[1..];
    loop {
        match rest {
            [b'"', behind @ ..] => return Ok((value, behind)),
            [b'\\', escape @ ..] => rest = unescape(escape, &mut value)?,
            [byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
            [] => return Err(format!("a quote does not end: {}", quote(text))),
        }
    }
}

/// Reads what follows a backslash, and tells what is behind it.
fn unescape<'a>(escape: &'a [u8], value: &mut Vec<u8>) -> Result<&'a [u8], String> {
    const ALL: &str = "\\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\xNN \\NNN \\uNNNN \\UNNNNNNNN";
    let bad = || format!("no escape is a backslash before {}; there are: {ALL}", quote(escape));
    let kind = *escape.first().ok_or_else(bad)?;
    let (radix, digits) = match kind {
        b'x' => (16, 1..3),
        b'u' => (16, 1..5),
        b'U' => (16, 1..9),
        b'0'..=b'7' => (8, 0..3),
        _ => {
            let at = b"abfnrtv\\\"".iter().position(|&single| single == kind).ok_or_else(bad)?;
            value.push(b"\x07\x08\x0c\n\r\t\x0b\\\""[at]);
            return Ok(&escape[1..]);
        }
    };
    let behind = escape.get(digits.end..).ok_or_else(bad)?;
    // A sign is no digit.
    let text = std::str::from_utf8(&escape[digits]).ok().filter(|text| !text.starts_with('+'));
    let number = text.and_then(|text| u32::from_str_radix(text, radix).ok()).ok_or_else(bad)?;
    match kind {
        b'u' | b'U' => value.extend(char::from_u32(number).ok_or_else(bad)?.to_string().bytes()),
        _ => value.push(u8::try_from(number).map_err(|_| bad())?),
    }
    Ok(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_etcdctl() {
        let split = |line: &str| words(line.as_bytes()).unwrap();
        assert_eq!(split("foo bar\tbaz"), ["foo", "bar", "baz"].map(Vec::from));
        assert_eq!(
            split("put 'my key' \"hello\\\"world\" ''"),
            ["put", "my key", "hello\"world", ""].map(Vec::from)
        );
        // In words that do not begin with a quote, etcdctl knows no quotes and no escapes.
        assert_eq!(split("put it's {\"a\":1} c:\\n"), ["put", "it's", "{\"a\":1}", "c:\\n"].map(Vec::from));
        assert_eq!(split("\"\\u00e9\\U0001F600\\141\" "), [Vec::from("é😀a")]);
    }
}
