//! Tokens that are made elsewhere: a JWT is sent as it is given, and never got anew.

use std::path::Path;

use etcd::model::*;
use etcd::wait::Deadline;
use etcd::{Client, ErrorKind};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::support::{Etcd, TempDir, client};

/// What a server answers to a login.
fn log_in(etcd: &Etcd, user: &str, password: &str) -> String {
    let nobody = client(&etcd.servers(), &[]);
    let password = etcd::options::Secret::new(password);
    let reply = nobody.call(&Request::Authenticate { user: user.into(), password }).expect("a token");
    match reply.body {
        Body::Token(token) => token.reveal().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// A server that makes JWTs which last a moment, with a user.
fn with_jwt(version: &str, folder: &Path, ttl: &str) -> Option<Etcd> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let (public, private) = (folder.join("public.pem"), folder.join("private.pem"));
    std::fs::write(&public, key.public_key_pem()).expect("room");
    std::fs::write(&private, key.serialize_pem()).expect("room");
    let flag = format!(
        "--auth-token=jwt,pub-key={},priv-key={},sign-method=ES256,ttl={ttl}",
        public.display(),
        private.display()
    );
    let etcd = Etcd::start_with(version, &[&flag])?;
    for command in ["user add root:secret", "role add root", "user grant-role root root", "auth enable"] {
        etcd.ask(&command.split(' ').collect::<Vec<_>>());
    }
    Some(etcd)
}

fn all_kinds_of_calls(client: &Client) -> etcd::Result<()> {
    let revision = client.put("k", "v", 0)?;
    let mut watch = client.watch(WatchRequest::new(KeyRange::key("k"), revision));
    watch.next(Deadline::after(std::time::Duration::from_secs(10)), client.closed())?;
    let lease = client.grant(60)?.id;
    client.keep_alive(lease)?.expect("it lives");
    client.revoke(lease)
}

#[test]
fn a_ready_made_jwt_is_taken_by_etcd_and_shown_nowhere() {
    for version in ["3.5.16", "3.7.3"] {
        let folder = TempDir::new();
        let Some(etcd) = with_jwt(version, folder.path(), "5m") else { return };
        let token = log_in(&etcd, "root", "secret");
        assert_eq!(token.split('.').count(), 3, "a JWT");
        for endpoints in [etcd.servers(), format!("json+http://{}", etcd.servers())] {
            let given = client(&endpoints, &[("token", &token)]);
            all_kinds_of_calls(&given).unwrap_or_else(|error| panic!("{version} {endpoints}: {error}"));
            let file = folder.path().join("token");
            std::fs::write(&file, format!("{token}\n")).expect("room");
            let from_file = client(&endpoints, &[("token_file", &file.display().to_string())]);
            all_kinds_of_calls(&from_file).unwrap_or_else(|error| panic!("{version} {endpoints}: {error}"));
            assert!(!format!("{:?}", given.options()).contains(&token));

            let broken = client(&endpoints, &[("token", &token[..token.len() - 6])]);
            let error = broken.put("k", "v", 0).expect_err("it is no token any more");
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{version} {endpoints}: {error}");
            assert!(!format!("{error} {error:?}").contains(&token[..20]));
            let advice = error.to_string();
            assert!(advice.contains("(is the token over") && !advice.contains("password"), "{advice}");
        }
    }
}

#[test]
fn a_user_whose_jwt_of_etcd_is_over_or_older_than_the_users_logs_in_again() {
    let folder = TempDir::new();
    let Some(etcd) = with_jwt("3.5.16", folder.path(), "2s") else { return };
    let root = client(&etcd.servers(), &[("user", "root"), ("password", "secret")]);
    all_kinds_of_calls(&root).expect("logged in");
    // From now on, the store of users is newer than the token.
    let me = etcd.etcdctl(&["--user=root:secret", "user", "add", "me:pass"]).output().expect("etcdctl runs");
    assert!(me.status.success(), "{me:?}");
    all_kinds_of_calls(&root).expect("logged in again: auth store revision is old");
    let mut watch = root.watch(WatchRequest::new(KeyRange::key("k"), 0));
    let opened = watch.open(Deadline::NEVER, root.closed());
    opened.expect("with a good token");
    std::thread::sleep(std::time::Duration::from_secs(3));
    all_kinds_of_calls(&root).expect("logged in again: the token is over");
    watch.next(Deadline::NEVER, root.closed()).expect("a watch that is open needs no other token");
}
