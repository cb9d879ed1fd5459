//! The endpoint list: how it is written, and which endpoint is asked first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;
use crate::transport::Transport;
use crate::transport::json::{Json, Place};
use crate::transport::mem::Mem;

/// One endpoint.
pub struct Endpoint {
    /// As it is called in messages.
    pub name: String,
    /// The way to it.
    pub transport: Arc<dyn Transport>,
}

/// All endpoints of a client.
pub struct Endpoints {
    list: Vec<Endpoint>,
    /// The one that answered last; the others follow in the order of the list.
    first: AtomicUsize,
}

impl Endpoints {
    /// Reads the list in `options`. Nothing is contacted.
    pub fn open(options: &Options) -> Result<Self> {
        let targets = parse(&options.endpoints, options.default_port)?;
        let list = targets.into_iter().map(|target| target.open(options.connect_timeout)).collect();
        Ok(Endpoints { list, first: AtomicUsize::new(0) })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The endpoint to ask at the n-th attempt, with its position.
    pub fn at(&self, first: usize, attempt: usize) -> (usize, &Endpoint) {
        let position = (first + attempt) % self.list.len();
        (position, &self.list[position])
    }

    /// Where to start.
    pub fn first(&self) -> usize {
        self.first.load(Ordering::Relaxed)
    }

    /// Start there from now on.
    pub fn prefer(&self, position: usize) {
        self.first.store(position, Ordering::Relaxed);
    }
}

/// A parsed endpoint.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Mem(String),
    Json(Place),
}

impl Target {
    fn open(self, connect_timeout: Duration) -> Endpoint {
        let name = self.to_string();
        let transport: Arc<dyn Transport> = match self {
            Target::Mem(store) => Arc::new(Mem::open(&store)),
            Target::Json(place) => Arc::new(Json::new(&name, place, connect_timeout)),
        };
        Endpoint { name, transport }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Mem(name) => write!(f, "mem://{name}"),
            Target::Json(Place::Unix(path)) => write!(f, "unix://{path}"),
            Target::Json(place) => f.write_str(&place.base_url()),
        }
    }
}

/// Splits at commas, semicolons and white space. An empty list is no fault yet: its calls fail.
fn parse(list: &str, default_port: u16) -> Result<Vec<Target>> {
    let words = list.split(|c: char| c == ',' || c == ';' || c.is_ascii_whitespace());
    let words = words.filter(|word| !word.is_empty());
    let targets = words.map(|word| parse_one(word, default_port)).collect::<Result<Vec<_>>>()?;
    if targets.len() > 1 && targets.iter().any(|target| matches!(target, Target::Mem(_))) {
        return Err(Error::invalid(format!("\"{list}\": mem:// can't be mixed with other endpoints")));
    }
    Ok(targets)
}

fn parse_one(word: &str, default_port: u16) -> Result<Target> {
    let bad = |fault: &str| {
        let allowed = "host, host:port, [IPv6]:port, http://…, unix://PATH or mem://NAME";
        Error::invalid(format!("endpoint \"{word}\": {fault}; allowed: {allowed}"))
    };
    let (scheme, rest) = word.split_once("://").unwrap_or(("http", word));
    match scheme {
        "http" | "json+http" => {
            let place = parse_host(rest.trim_end_matches('/'), default_port).map_err(bad)?;
            Ok(Target::Json(place))
        }
        "unix" if rest.is_empty() => Err(bad("the path is missing")),
        "unix" => Ok(Target::Json(Place::Unix(rest.into()))),
        "mem" => Ok(Target::Mem(rest.into())),
        "https" | "json+https" | "grpc" | "grpcs" => Err(Error::new(
            ErrorKind::Unsupported,
            format!("endpoint \"{word}\": {scheme}:// is not in this version of the library"),
        )),
        _ => Err(bad("unknown scheme")),
    }
}

fn parse_host(text: &str, default_port: u16) -> std::result::Result<Place, &'static str> {
    let (host, port) = match text.rfind(']') {
        Some(end) if text.starts_with('[') => {
            let address: std::result::Result<std::net::Ipv6Addr, _> = text[1..end].parse();
            address.map_err(|_| "no IPv6 address in the brackets")?;
            let (host, port) = text.split_at(end + 1);
            match port.strip_prefix(':') {
                None if port.is_empty() => (host, None),
                None => return Err("what stands behind the brackets is no port"),
                port => (host, port),
            }
        }
        _ => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err("an IPv6 address must be in brackets"),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !(host.starts_with('[') || host.chars().all(is_host)) {
        return Err("no host name");
    }
    let port = match port {
        None => default_port,
        Some("") => return Err("the port is missing"),
        Some(port) => {
            let number = port.parse().ok().filter(|&number| number > 0 && !port.starts_with('+'));
            number.ok_or("the port must be 1 to 65535")?
        }
    };
    Ok(Place::Tcp { host: host.into(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<String> {
        parse(list, 2379).unwrap().iter().map(Target::to_string).collect()
    }

    #[test]
    fn lists_are_split_as_the_old_library_did_and_more() {
        assert_eq!(
            names("a:1, b\n;c\t d:4001 http://e:5/ json+http://f [::1]:6 [::1] unix:///run/e.sock"),
            [
                "http://a:1",
                "http://b:2379",
                "http://c:2379",
                "http://d:4001",
                "http://e:5",
                "http://f:2379",
                "http://[::1]:6",
                "http://[::1]:2379",
                "unix:///run/e.sock",
            ]
        );
        assert_eq!(names(" ,; "), [""; 0]);
        assert_eq!((names("mem://"), names("mem://x")), (vec!["mem://".into()], vec!["mem://x".into()]));
    }

    #[test]
    fn what_can_not_be_an_endpoint_is_refused_by_name() {
        let bad = [
            ":99999",
            "a:",
            "a:0",
            "a:65536",
            "a:x",
            "a:1x",
            "::1",
            "[::1",
            "[x]:1",
            "[::1]x",
            "http://",
            "http://u:p@h:1",
            "http://h/path",
            "ftp://h",
            "unix://",
            "a?b",
            "mem://a mem://b",
            "mem:// h",
            "https://h",
            "grpc://h",
        ];
        for list in bad {
            let error = parse(list, 2379).expect_err(list).to_string();
            assert!(error.contains(list.split(' ').next().unwrap()), "{list}: {error}");
        }
    }
}
