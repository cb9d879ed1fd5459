//! TLS and users, on real servers of every version.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use etcd::model::*;
use etcd::recipes::lock;
use etcd::wait::{Cancel, Deadline};
use etcd::{Client, ErrorKind, Outcome};
use faultproxy::{After, Proxy};

use crate::locks::contender::take;
use crate::support::{ALL_VERSIONS, Etcd, Jitter, Pki, Protocol, Rpc, TempDir, VERSIONS, built, client, run};

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A client that trusts this authority and shows this certificate ("" for none).
fn secure(endpoints: &str, pki: &Pki, authority: &str, own: &str) -> Client {
    let (ca, cert, key) = (pki.certificate(authority), pki.certificate(own), pki.key(own));
    let mut options = vec![("ca_file", text(&ca)), ("request_timeout_ms", "3000")];
    if !own.is_empty() {
        options.extend([("cert_file", text(&cert)), ("key_file", text(&key))]);
    }
    client(endpoints, &options)
}

/// Everything that goes over a connection, once.
fn everything_works(client: &Client) {
    let revision = client.put("tls/k", "v", 0).expect("a put");
    assert_eq!(client.get("tls/k").expect("a read").expect("a key").value, b"v");
    let mut watch = client.watch(WatchRequest::new(KeyRange::prefix("tls/"), revision));
    assert_eq!(watch.next(Deadline::NEVER, client.closed()).expect("a change").events.len(), 1);
    let place = lock::acquire(client, b"tls/lock", 10, b"", Deadline::NEVER, Cancel::NEVER).expect("a lock");
    assert!(lock::leave(client, &place).expect("released"));
    assert_eq!(client.leader().expect("an answer").as_deref(), Some("first"));
}

#[test]
fn tls_with_certificates_on_both_sides_on_etcd() {
    let pki = Pki::new();
    for version in ALL_VERSIONS {
        let Some(etcd) = Etcd::start_secure(version, &pki, "server") else { return };
        // Without a scheme: the file for TLS says what is meant. By name and by address.
        everything_works(&secure(&etcd.servers(), &pki, "ca", "client"));
        everything_works(&secure(&format!("https://localhost:{}", etcd.port()), &pki, "ca", "client"));
    }
}

/// How a read fails, and that it does so soon.
fn failure(client: &Client) -> etcd::Error {
    let (start, jitter) = (Instant::now(), Jitter::measure());
    let error = client.get("k").expect_err("it can't work");
    let limit = Duration::from_secs(1) + jitter.worst();
    assert!(start.elapsed() < limit, "{error}: {:?}", start.elapsed());
    let written = client.put("k", "v", 0).expect_err("it can't work");
    assert_eq!((written.kind(), written.outcome()), (error.kind(), Outcome::NotSent), "{written}");
    error
}

fn says(error: &etcd::Error, kind: ErrorKind, text: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{text:?} in {error}");
}

#[test]
fn every_fault_of_tls_with_etcd_has_its_own_message() {
    let pki = Pki::new();
    for version in ALL_VERSIONS {
        let start = |name| Etcd::start_secure(version, &pki, name);
        let (Some(good), Some(expired), Some(elsewhere)) =
            (start("server"), start("expired"), start("elsewhere"))
        else {
            return;
        };
        let of = |etcd: &Etcd, authority, own| failure(&secure(&etcd.servers(), &pki, authority, own));
        says(&of(&good, "stranger", "client"), ErrorKind::Tls, "an authority that is not trusted");
        says(&of(&good, "ca", ""), ErrorKind::Tls, "certificate");
        says(&of(&good, "ca", "forged"), ErrorKind::Tls, "certificate of this client");
        says(&of(&good, "ca", "expired"), ErrorKind::Tls, "certificate of this client");
        says(&of(&expired, "ca", "client"), ErrorKind::Tls, "has expired");
        says(&of(&elsewhere, "ca", "client"), ErrorKind::Tls, "is for another name");
        let Some(without) = Etcd::start(version) else { return };
        says(&of(&without, "ca", "client"), ErrorKind::Tls, "not speak TLS");
        for scheme in ["http", "json+http"] {
            let plain = client(&format!("{scheme}://{}", good.servers()), &[("request_timeout_ms", "3000")]);
            let error = failure(&plain).to_string();
            assert!(error.contains("say https://"), "{version}: {error}");
        }
    }
}

#[test]
fn a_server_of_another_name_is_accepted_under_the_name_that_is_given() {
    let pki = Pki::new();
    let Some(etcd) = Etcd::start_secure(VERSIONS[1], &pki, "elsewhere") else { return };
    let (ca, cert, key) = (pki.certificate("ca"), pki.certificate("client"), pki.key("client"));
    let files = [("ca_file", text(&ca)), ("cert_file", text(&cert)), ("key_file", text(&key))];
    let named = |name| client(&etcd.servers(), &[&files[..], &[("server_name", name)]].concat());
    named("elsewhere.test").put("k", "v", 0).expect("it is that name");
    says(&failure(&named("127.0.0.1")), ErrorKind::Tls, "another name");
}

#[test]
fn an_unchanged_program_gets_tls_and_a_user_of_etcd_from_its_environment() {
    let pki = Pki::new();
    let Some(etcd) = Etcd::start_secure(VERSIONS[1], &pki, "server") else { return };
    let mut tool = Command::new(built().join("etcd-api"));
    tool.args(["-s", &etcd.servers(), "set", "k", "v"]).env("ETCD_API_CA_FILE", pki.certificate("ca"));
    tool.env("ETCD_API_CERT_FILE", pki.certificate("client")).env("ETCD_API_KEY_FILE", pki.key("client"));
    run(&mut tool);
    let Some(etcd) = with_users(VERSIONS[1], &[]) else { return };
    let folder = TempDir::new();
    let file = folder.path().join("password");
    std::fs::write(&file, "pass word\n").expect("room");
    let mut tool = Command::new(built().join("etcd-api"));
    tool.args(["-s", &etcd.servers(), "set", "mine/k", "v"]).env("ETCD_API_USER", "me");
    run(tool.env("ETCD_API_PASSWORD_FILE", &file));
}

/// A server with users: root, and "me", who may do anything below "mine/".
pub fn with_users(version: &str, flags: &[&str]) -> Option<Etcd> {
    let etcd = Etcd::start_with(version, flags)?;
    for command in [
        "user add root:secret",
        "role add root",
        "user grant-role root root",
        "user add me:pass+word",
        "role add mine",
        "role grant-permission mine --prefix=true readwrite mine/",
        "user grant-role me mine",
        "auth enable",
    ] {
        let words: Vec<String> = command.split(' ').map(|word| word.replace('+', " ")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        etcd.ask(&words);
    }
    Some(etcd)
}

const ME: [(&str, &str); 2] = [("user", "me"), ("password", "pass word")];

#[test]
fn a_user_may_do_what_is_permitted_on_etcd_and_nothing_else() {
    for version in ALL_VERSIONS {
        let Some(etcd) = with_users(version, &[]) else { return };
        let me = client(&etcd.servers(), &ME);
        me.put("mine/k", "v", 0).expect("permitted");
        let mut watch = me.watch(WatchRequest::new(KeyRange::prefix("mine/"), 1));
        watch.next(Deadline::NEVER, me.closed()).expect("permitted");
        let place =
            lock::acquire(&me, b"mine/lock", 10, b"", Deadline::NEVER, Cancel::NEVER).expect("a lock");
        assert!(lock::leave(&me, &place).expect("released"));
        let denied = me.put("theirs", "v", 0).expect_err("not permitted");
        assert_eq!((denied.kind(), denied.outcome()), (ErrorKind::PermissionDenied, Outcome::Refused));
        let mut theirs = me.watch(WatchRequest::new(KeyRange::key("theirs"), 0));
        let denied =
            theirs.next(Deadline::after(Duration::from_secs(10)), me.closed()).expect_err("not permitted");
        says(&denied, ErrorKind::PermissionDenied, "(grant it to a role of this user");
        assert_eq!(denied.outcome(), Outcome::NotSent, "{version}: {denied}");
        assert!(!denied.fault().contains("rpc error"), "{version}: {denied}");

        let nobody = client(&etcd.servers(), &[]);
        says(
            &nobody.get("mine/k").expect_err("nobody"),
            ErrorKind::Unauthenticated,
            "check user and password",
        );
        let root = client(&etcd.servers(), &[("user", "root"), ("password", "secret")]);
        root.put("theirs", "v", 0).expect("root may");
        assert_eq!(root.members().expect("root may").len(), 1);
    }
}

#[test]
fn a_wrong_password_is_tried_once_on_etcd_and_shown_nowhere() {
    for version in ALL_VERSIONS {
        let Some(etcd) = with_users(version, &[]) else { return };
        for protocol in Protocol::BOTH {
            let proxy = Proxy::start(etcd.port());
            let endpoint = protocol.endpoints(&proxy.servers());
            let wrong = client(&endpoint, &[("user", "me"), ("password", "hunter2")]);
            let error = wrong.put("mine/k", "v", 0).expect_err("wrong");
            says(&error, ErrorKind::Unauthenticated, "authentication failed");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
            assert_eq!((error.outcome(), logins(&proxy, protocol)), (Outcome::NotSent, 1), "{protocol:?}");
        }
    }
}

fn logins(proxy: &Proxy, protocol: Protocol) -> usize {
    proxy.requests(protocol.path(Rpc::Authenticate))
}

#[test]
fn a_token_that_is_over_is_renewed_once_for_all_on_etcd() {
    for version in ALL_VERSIONS {
        let start = || with_users(version, &["--auth-token-ttl=1"]);
        let (Some(grpc), Some(json)) = (start(), start()) else { return };
        std::thread::scope(|scope| {
            scope.spawn(|| let_tokens_be_over(version, grpc, Protocol::Grpc));
            scope.spawn(|| let_tokens_be_over(version, json, Protocol::Json));
        });
    }
}

fn let_tokens_be_over(version: &str, mut etcd: Etcd, protocol: Protocol) {
    let proxy = Proxy::start(etcd.port());
    let endpoint = protocol.endpoints(&proxy.servers());
    let me = client(&endpoint, &[&ME[..], &[("request_timeout_ms", "20000")]].concat());
    let logins = || logins(&proxy, protocol);
    let what = format!("{version} by {protocol:?}");
    let revision = me.put("mine/k", "0", 0).expect("permitted");
    let mut watch = me.watch(WatchRequest::new(KeyRange::prefix("mine/"), revision));
    watch.next(Deadline::NEVER, me.closed()).expect("a change");
    assert_eq!(logins(), 1, "{what}: one for all requests");
    std::thread::sleep(Duration::from_secs(4));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let me = &me;
            scope.spawn(move || me.put(format!("mine/{thread}"), "1", 0).expect("logged in again"));
        }
    });
    // On a busy machine, a second may pass until the last thread comes.
    assert!((2..=3).contains(&logins()), "{what}: one for all threads, not {}", logins() - 1);
    let mut seen = 0;
    let mut see = |count| {
        while seen < count {
            let batch = watch.next(Deadline::after(Duration::from_secs(20)), me.closed());
            seen += batch.unwrap_or_else(|error| panic!("{what}: the watch goes on: {error}")).events.len();
        }
    };
    see(8);
    // A watch asks for its token when it is opened again, too, and nobody else does it for it.
    etcd.kill();
    proxy.cut();
    std::thread::sleep(Duration::from_secs(3));
    etcd.revive();
    let root = client(&etcd.servers(), &[("user", "root"), ("password", "secret")]);
    root.put("mine/k", "2", 0).expect("root may");
    see(9);
    // And so does a question to one endpoint.
    std::thread::sleep(Duration::from_secs(4));
    let [(_, status)] = &me.status()[..] else { panic!("one endpoint") };
    status.as_ref().unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[test]
fn many_threads_with_a_wrong_password_are_one_login_on_etcd() {
    let Some(etcd) = with_users(VERSIONS[1], &[]) else { return };
    for protocol in Protocol::BOTH {
        let proxy = Proxy::start(etcd.port());
        let endpoint = protocol.endpoints(&proxy.servers());
        let wrong = client(&endpoint, &[("user", "me"), ("password", "hunter2")]);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    says(&wrong.get("mine/k").expect_err("wrong"), ErrorKind::Unauthenticated, "failed")
                });
            }
        });
        // A thread that begins when the first login has failed makes another one.
        let logins = logins(&proxy, protocol);
        assert!((1..=3).contains(&logins), "{protocol:?}: {logins}");
    }
}

#[test]
fn a_member_that_does_not_answer_a_login_is_left_for_another_one_of_etcd() {
    let Some(etcd) = with_users(VERSIONS[1], &[]) else { return };
    for protocol in Protocol::BOTH {
        let silent = Proxy::start(etcd.port());
        silent.swallow(protocol.path(Rpc::Authenticate), 1, After::Silence);
        let endpoints = protocol.endpoints(&format!("{},{}", silent.servers(), etcd.servers()));
        let me = client(&endpoints, &[&ME[..], &[("request_timeout_ms", "3000")]].concat());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let me = &me;
                scope.spawn(move || me.put(format!("mine/{thread}"), "v", 0).expect("the other one answers"));
            }
        });
        assert_eq!(silent.swallowed(), 1, "{protocol:?}");
    }
}

#[test]
fn a_lock_is_held_on_etcd_although_tokens_last_a_moment() {
    for version in ALL_VERSIONS {
        let Some(etcd) = with_users(version, &["--auth-token-ttl=1"]) else { return };
        let me = client(&etcd.servers(), &ME);
        let one = take(&me, "mine/lock", 9);
        // Renewals come every 3 s, each with a token that is over by then.
        assert!(one.is_silent(Duration::from_secs(10)));
        assert!(one.contender.remaining().is_some());
        assert!(one.release().expect("released"));
    }
}
