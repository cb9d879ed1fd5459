//! The endpoint list: how it is written, and which endpoint is asked next.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use once_cell::race::OnceBox;

use crate::error::{Error, Result};
use crate::options::{DefaultScheme, Options};
use crate::sys;
use crate::threads::Threads;
use crate::transport::Transport;
use crate::transport::connect::Place;
use crate::transport::grpc::Grpc;
use crate::transport::json::Json;
use crate::transport::mem::Mem;
use crate::transport::tls::Tls;
use crate::wait::lock;

/// One endpoint.
pub struct Endpoint {
    /// As it is called in messages.
    pub name: String,
    /// The way to it.
    pub transport: Arc<dyn Transport>,
    health: Health,
}

/// What is remembered of an endpoint.
#[derive(Default)]
struct Health {
    /// How often in a row it failed.
    failures: AtomicU32,
    /// The boot time, in microseconds, until which it is asked only when the others have failed, too.
    rests_until: AtomicU64,
    /// The list has no such endpoint any more.
    is_left: AtomicBool,
    /// What it answered last came from another cluster.
    is_foreign: AtomicBool,
}

impl Endpoint {
    /// Whether it was of another cluster when it answered last: nothing is to be changed there.
    pub fn is_foreign(&self) -> bool {
        self.health.is_foreign.load(Ordering::SeqCst)
    }

    /// It has answered, and is of another cluster or not.
    pub fn set_foreign(&self, foreign: bool) {
        if self.is_foreign() != foreign {
            self.health.is_foreign.store(foreign, Ordering::SeqCst);
        }
    }
}

/// How long an endpoint rests after its first failure; doubled with each further one.
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// All endpoints of a client. A position means the same endpoint for ever, also when the list is made anew from the
/// members of the cluster: those that are not listed any more are left alone.
pub struct Endpoints {
    places: Box<[OnceBox<Endpoint>]>,
    /// How many places are taken.
    taken: AtomicUsize,
    embedded: bool,
    /// The one that answered last; the others follow in the order of the list.
    preferred: AtomicUsize,
    /// For endpoints that are found later.
    tls: Option<Arc<Tls>>,
    threads: Threads,
    protocol: Protocol,
    listing: Mutex<()>,
}

/// How many endpoints may come to those that were given.
const FOUND_LATER: usize = 64;

impl Endpoints {
    /// Reads the list in `options`. Nothing is contacted.
    pub fn open(options: &Options, threads: &Threads) -> Result<Self> {
        let targets = parse(&options.endpoints, options)?;
        let secure = targets.iter().any(Target::is_secure);
        let tls = if secure { Some(Arc::new(Tls::open(options)?)) } else { None };
        let protocol = match targets.first() {
            Some(Target::Server { protocol, .. }) => *protocol,
            _ => Protocol::Grpc,
        };
        let endpoints = Endpoints {
            places: (0..targets.len() + FOUND_LATER).map(|_| OnceBox::new()).collect(),
            taken: AtomicUsize::new(0),
            embedded: matches!(targets[..], [Target::Mem(_)]),
            preferred: AtomicUsize::new(0),
            tls,
            threads: threads.clone(),
            protocol,
            listing: Mutex::new(()),
        };
        targets.into_iter().try_for_each(|target| endpoints.add(target, options))?;
        Ok(endpoints)
    }

    fn add(&self, target: Target, options: &Options) -> Result<()> {
        let position = self.taken.load(Ordering::Relaxed);
        let Some(place) = self.places.get(position) else {
            return Err(Error::invalid("too many endpoints came and went; open a new client"));
        };
        let endpoint = target.open(options, self.tls.as_ref(), &self.threads)?;
        let _ = place.set(Box::new(endpoint));
        self.taken.store(position + 1, Ordering::Release);
        Ok(())
    }

    /// Makes this the list: URLs as members advertise them.
    ///
    /// # Errors
    /// When one of them can't be used; the list is as before then.
    pub fn relist(&self, urls: &[String], options: &Options) -> Result<()> {
        let _one_at_a_time = lock(&self.listing);
        let prefix = if self.protocol == Protocol::Json { "json+" } else { "" };
        let targets = urls.iter().map(|url| parse_one(&format!("{prefix}{url}"), options));
        let targets = targets.collect::<Result<Vec<_>>>()?;
        if let Some(url) = targets.iter().find(|target| target.is_secure() && self.tls.is_none()) {
            return Err(Error::invalid(format!("{url} wants TLS, and this client was opened without")));
        }
        let names: Vec<String> = targets.iter().map(Target::to_string).collect();
        for (target, name) in targets.into_iter().zip(&names) {
            if !self.all().any(|(_, endpoint)| endpoint.name == *name) {
                self.add(target, options)?;
            }
        }
        for (_, endpoint) in self.all() {
            endpoint.health.is_left.store(!names.contains(&endpoint.name), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether they are a store of this process.
    pub fn are_embedded(&self) -> bool {
        self.embedded
    }

    fn all(&self) -> impl Iterator<Item = (usize, &Endpoint)> {
        let taken = self.taken.load(Ordering::Acquire);
        self.places[..taken].iter().enumerate().filter_map(|(position, place)| Some((position, place.get()?)))
    }

    /// How many connections were made to all of them.
    pub fn connections(&self) -> u64 {
        self.all().map(|(_, endpoint)| endpoint.transport.connections()).sum()
    }

    /// Those that are listed, with their positions.
    pub fn listed(&self) -> impl Iterator<Item = (usize, &Endpoint)> {
        self.all().filter(|(_, endpoint)| !endpoint.health.is_left.load(Ordering::Relaxed))
    }

    /// How many are listed.
    pub fn len(&self) -> usize {
        if self.embedded { 1 } else { self.listed().count() }
    }

    /// The endpoint at a position.
    pub fn at(&self, position: usize) -> &Endpoint {
        self.places[position].get().expect("positions are those of endpoints")
    }

    /// The position to ask next, when these were asked before in the same call. First each is asked once: the
    /// one that answered last, then those behind it that have not failed since they answered, then those that have
    /// and are not resting any more, then the others, the one that has rested longest first.
    pub fn next(&self, asked: &[usize]) -> usize {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let health = &self.at(preferred).health;
        if asked.is_empty()
            && health.failures.load(Ordering::Relaxed) == 0
            && !health.is_left.load(Ordering::Relaxed)
        {
            return preferred;
        }
        let now = microseconds(sys::boot_time());
        let places = self.places.len();
        let rank = |(position, endpoint): &(usize, &Endpoint)| {
            let times = asked.iter().filter(|earlier| *earlier == position).count();
            let rest = endpoint.health.rests_until.load(Ordering::Relaxed);
            let distance = (position + places - preferred) % places;
            let failed = endpoint.health.failures.load(Ordering::Relaxed) > 0;
            (times, if rest > now { rest } else { 0 }, failed, distance)
        };
        self.listed().min_by_key(rank).map_or(preferred, |(position, _)| position)
    }

    /// It answered.
    pub fn answered(&self, position: usize) {
        self.confirmed(position);
        if self.preferred.load(Ordering::Relaxed) != position {
            self.preferred.store(position, Ordering::Relaxed);
        }
    }

    /// It has confirmed a watch: nothing is held against it any more, but it need not be in touch with the others.
    pub fn confirmed(&self, position: usize) {
        let health = &self.at(position).health;
        if health.failures.load(Ordering::Relaxed) > 0 {
            health.failures.store(0, Ordering::Relaxed);
            health.rests_until.store(0, Ordering::Relaxed);
        }
    }

    /// A stream that came from it broke. That is told of all of them, and counts once.
    pub fn broke(&self, position: usize) {
        let rest = self.at(position).health.rests_until.load(Ordering::Relaxed);
        if rest <= microseconds(sys::boot_time()) {
            self.failed(position);
        }
    }

    /// It failed: for a while it comes after the others.
    pub fn failed(&self, position: usize) {
        let health = &self.at(position).health;
        let before = health.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let rest = REST.saturating_mul(1 << before).min(LONGEST_REST);
        health.rests_until.store(microseconds(sys::boot_time() + rest), Ordering::Relaxed);
    }
}

fn microseconds(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// A parsed endpoint.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    Mem(String),
    Server { place: Place, secure: bool, protocol: Protocol },
}

/// What is spoken with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Json,
}

impl Target {
    fn is_secure(&self) -> bool {
        matches!(self, Target::Server { secure: true, .. })
    }

    fn open(self, options: &Options, tls: Option<&Arc<Tls>>, threads: &Threads) -> Result<Endpoint> {
        let name = self.to_string();
        let transport: Arc<dyn Transport> = match self {
            Target::Mem(store) => Arc::new(Mem::open(&store)),
            Target::Server { place, secure, protocol } => {
                let tls = tls.filter(|_| secure);
                match protocol {
                    Protocol::Grpc => Arc::new(Grpc::new(&name, place, tls, options, threads)?),
                    Protocol::Json => {
                        Arc::new(Json::new(&name, place, tls.cloned(), options.connect_timeout, threads))
                    }
                }
            }
        };
        Ok(Endpoint { name, transport, health: Health::default() })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Mem(name) => write!(f, "mem://{name}"),
            Target::Server { place, secure, protocol: Protocol::Grpc } => f.write_str(&place.url(*secure)),
            Target::Server { place, secure, protocol: Protocol::Json } => {
                write!(f, "json+{}", place.url(*secure))
            }
        }
    }
}

/// Splits at commas, semicolons and white space. An empty list is no fault yet: its calls fail.
pub fn parse(list: &str, options: &Options) -> Result<Vec<Target>> {
    let words = list.split(|c: char| c == ',' || c == ';' || c.is_ascii_whitespace());
    let words = words.filter(|word| !word.is_empty());
    let targets = words.clone().map(|word| parse_one(word, options)).collect::<Result<Vec<_>>>()?;
    if targets.len() > 1 && targets.iter().any(|target| matches!(target, Target::Mem(_))) {
        let words: Vec<String> = words.map(shown).collect();
        return Err(Error::invalid(format!("{words:?}: mem:// can't be mixed with other endpoints")));
    }
    Ok(targets)
}

/// An endpoint for a message. What stands before an `@` may be a password.
fn shown(word: &str) -> String {
    let (scheme, rest) = word.split_once("://").map_or(("", word), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, host)) if scheme.is_empty() => format!("…@{host}"),
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => word.into(),
    }
}

fn parse_one(word: &str, options: &Options) -> Result<Target> {
    let bad =
        |fault: &str| Error::invalid(format!("endpoint {:?}: {fault}; allowed: {ALLOWED}", shown(word)));
    let default = if options.wants_tls() { "https" } else { "http" };
    let (scheme, rest) = word.split_once("://").unwrap_or((default, word));
    let (protocol, scheme) = match scheme.strip_prefix("json+") {
        Some(scheme) => (Protocol::Json, scheme),
        None => (Protocol::Grpc, scheme),
    };
    let server = |place, secure| Ok(Target::Server { place, secure, protocol });
    match (scheme, protocol) {
        ("http" | "https", _) | ("grpc" | "grpcs", Protocol::Grpc) => {
            let place = parse_host(rest.trim_end_matches('/'), options.default_port).map_err(bad)?;
            server(place, scheme.ends_with('s'))
        }
        ("unix", _) if rest.is_empty() => Err(bad("the path is missing")),
        ("unix", _) => server(Place::Unix(rest.into()), false),
        ("mem", Protocol::Grpc) => Ok(Target::Mem(rest.into())),
        _ => Err(bad("unknown scheme")),
    }
}

const ALLOWED: &str = "host, host:port, [IPv6]:port, http://…, https://…, grpc://…, grpcs://…, unix://PATH, \
                       json+ before http, https or unix, or mem://NAME";

impl Options {
    /// Whether an endpoint that names no scheme is spoken to with TLS.
    fn wants_tls(&self) -> bool {
        match self.default_scheme {
            DefaultScheme::Auto => !self.ca_file.is_empty() || !self.cert_file.is_empty(),
            DefaultScheme::Http => false,
            DefaultScheme::Https => true,
        }
    }
}

fn parse_host(text: &str, default_port: u16) -> std::result::Result<Place, &'static str> {
    if text.contains('@') {
        return Err("a user is no part of an endpoint: set the options user and password");
    }
    if text.contains('/') {
        return Err("an endpoint has no path");
    }
    if text.starts_with('[') && !text.contains(']') {
        return Err("the bracket is not closed");
    }
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
        parse(list, &Options::new()).unwrap().iter().map(Target::to_string).collect()
    }

    #[test]
    fn lists_are_split_as_the_old_library_did_and_more() {
        assert_eq!(
            names(
                "a:1, b\n;c\t d:4001 http://e:5/ json+http://f https://g json+https://h:1 [::1]:6 [::1] \
                 unix:///run/e.sock json+unix:///e grpc://i grpcs://j:2"
            ),
            [
                "http://a:1",
                "http://b:2379",
                "http://c:2379",
                "http://d:4001",
                "http://e:5",
                "json+http://f:2379",
                "https://g:2379",
                "json+https://h:1",
                "http://[::1]:6",
                "http://[::1]:2379",
                "unix:///run/e.sock",
                "json+unix:///e",
                "http://i:2379",
                "https://j:2",
            ]
        );
        assert_eq!(names(" ,; "), [""; 0]);
        assert_eq!((names("mem://"), names("mem://x")), (vec!["mem://".into()], vec!["mem://x".into()]));
    }

    #[test]
    fn files_for_tls_or_the_option_make_https_of_endpoints_without_a_scheme() {
        let table = [
            ("", "", "auto", "http://a:2379"),
            ("ca.pem", "", "auto", "https://a:2379"),
            ("", "cert.pem", "auto", "https://a:2379"),
            ("ca.pem", "", "http", "http://a:2379"),
            ("", "", "https", "https://a:2379"),
        ];
        for (ca_file, cert_file, scheme, wanted) in table {
            let mut options = Options::new();
            for (name, value) in [("ca_file", ca_file), ("cert_file", cert_file), ("default_scheme", scheme)]
            {
                options.set(name, value).unwrap();
            }
            let targets = parse("a http://b", &options).unwrap();
            assert_eq!(targets[0].to_string(), wanted, "{ca_file} {cert_file} {scheme}");
            assert_eq!(targets[1].to_string(), "http://b:2379", "a scheme that is named counts");
        }
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
            "http://h/path",
            "ftp://h",
            "unix://",
            "a?b",
            "mem://a mem://b",
            "mem:// h",
            "json+grpc://h",
            "json+mem://h",
            "json+unix://",
            "json://h",
        ];
        for list in bad {
            let error = parse(list, &Options::new()).expect_err(list).to_string();
            assert!(error.contains(list.split(' ').next().unwrap()), "{list}: {error}");
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_not_shown() {
        for list in ["http://me:hunter2@h:1", "me:hunter2@h", "http://me:hunter2@h mem://"] {
            let error = parse(list, &Options::new()).expect_err(list).to_string();
            assert!(!error.contains("hunter2") && error.contains("@h"), "{error}");
        }
    }

    fn three() -> Endpoints {
        let options = Options { endpoints: "a b c".into(), ..Options::new() };
        Endpoints::open(&options, &Threads::default()).unwrap()
    }

    /// In which order a call that keeps failing asks.
    fn order(endpoints: &Endpoints, attempts: usize) -> Vec<usize> {
        let mut asked = Vec::new();
        for _ in 0..attempts {
            asked.push(endpoints.next(&asked));
        }
        asked
    }

    #[test]
    fn the_one_that_answered_last_is_asked_first_and_each_once_before_one_twice() {
        let endpoints = three();
        assert_eq!(order(&endpoints, 7), [0, 1, 2, 0, 1, 2, 0]);
        endpoints.answered(1);
        assert_eq!(order(&endpoints, 4), [1, 2, 0, 1]);
    }

    #[test]
    fn one_that_failed_rests_and_comes_last() {
        let endpoints = three();
        endpoints.failed(0);
        assert_eq!(order(&endpoints, 3), [1, 2, 0]);
        endpoints.answered(1);
        endpoints.failed(1);
        assert_eq!(order(&endpoints, 3), [2, 0, 1], "the one that has rested longest first");
        endpoints.failed(2);
        endpoints.answered(1);
        assert_eq!(order(&endpoints, 3), [1, 0, 2], "an answer ends a rest");
    }

    #[test]
    fn one_whose_rest_is_over_comes_after_those_that_have_not_failed_until_it_answers() {
        let endpoints = three();
        endpoints.failed(0);
        endpoints.at(0).health.rests_until.store(0, Ordering::Relaxed);
        assert_eq!(order(&endpoints, 4), [1, 2, 0, 1]);
        endpoints.answered(0);
        assert_eq!(order(&endpoints, 3), [0, 1, 2]);
    }

    #[test]
    fn streams_that_break_together_are_one_failure() {
        let endpoints = three();
        (0..100).for_each(|_| endpoints.broke(0));
        assert_eq!(endpoints.at(0).health.failures.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_list_can_be_made_anew() {
        let options = Options { endpoints: "a b c".into(), ..Options::new() };
        let endpoints = Endpoints::open(&options, &Threads::default()).unwrap();
        endpoints.answered(1);
        let urls = |list: &[&str]| list.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        endpoints.relist(&urls(&["http://c:2379", "http://d:1"]), &options).unwrap();
        let names = || endpoints.listed().map(|(_, endpoint)| endpoint.name.clone()).collect::<Vec<_>>();
        assert_eq!((names(), endpoints.len()), (urls(&["http://c:2379", "http://d:1"]), 2));
        assert_eq!(order(&endpoints, 3), [2, 3, 2], "those behind the one that answered last");
        endpoints.relist(&urls(&["http://b:2379"]), &options).unwrap();
        assert_eq!(order(&endpoints, 2), [1, 1], "one that comes back has its old position");
        for bad in ["https://secure:1", "ftp://x", "http://b:0"] {
            endpoints.relist(&urls(&["http://e:1", bad]), &options).unwrap_err();
            assert_eq!(names(), ["http://b:2379"], "{bad}");
        }
    }

    #[test]
    fn a_rest_ends_by_itself_and_grows_with_each_failure() {
        let endpoints = three();
        let until = |endpoints: &Endpoints| endpoints.at(0).health.rests_until.load(Ordering::Relaxed);
        let now = microseconds(sys::boot_time());
        endpoints.failed(0);
        assert!((now + 1_000_000..now + 1_500_000).contains(&until(&endpoints)));
        (0..100).for_each(|_| endpoints.failed(0));
        assert!((now + 30_000_000..now + 30_500_000).contains(&until(&endpoints)));
        endpoints.at(0).health.rests_until.store(now, Ordering::Relaxed);
        endpoints.failed(1);
        assert_eq!(order(&endpoints, 3), [2, 0, 1]);
    }
}
