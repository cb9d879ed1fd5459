//! Places that several share, and places that are known by their token or value to whoever knows those.

use std::time::Duration;

use etcd::classic::Session;
use etcd::recipes::inspect::{self, Which};
use etcd::recipes::lock::release;
use etcd::wait::Deadline;
use etcd::{Client, ErrorKind, Options};
use faultproxy::{After, Fault};

use super::contender::{One, SOON, join, take, want};
use super::{LOCK, etcd, ms, path, proxied, queue, queue_of, queued};
use crate::support::{Etcd, Rpc, Running, VERSIONS, client, eventually};

const VALUE: &str = "job 7";
/// Long enough for a machine that is busy.
const TTL: i64 = 8;

fn joins(client: &Client) -> One {
    join(client, LOCK, TTL, VALUE, Deadline::NEVER)
}

/// Waits until all of them are in the queue, in places of which there are so many.
fn in_places(direct: &Client, ones: &[&One], places: usize) {
    let all = || ones.iter().all(|one| one.contender.token() != 0) && queue(direct).len() == places;
    eventually(SOON, &format!("{places} places"), || all().then_some(()));
}

/// The program that held the lock has ended without a word; the same one, started again, goes on in its place. Somebody
/// who waited all the time waits on.
#[test]
fn who_was_started_again_has_its_place_on_etcd_and_keeps_it_alive() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let (before, after) = (client(&etcd.servers(), &[]), client(&etcd.servers(), &[]));
        let old = joins(&before);
        old.acquired(SOON);
        let place = queue(&after).remove(0);
        let mut theirs = Running::start(&mut etcd.etcdctl(&["lock", LOCK]));
        queued(&after, 2);
        // Without a word: its lease is left as it is.
        before.close();
        assert_eq!(old.lost(SOON).kind(), ErrorKind::Closed);
        let new = joins(&after);
        new.acquired(SOON);
        assert_eq!((new.contender.key(), new.contender.token()), (place.key.clone(), place.create_revision));
        assert_eq!(queue(&after).len(), 2);
        // Its old TTL is over by then.
        assert!(new.is_silent(Duration::from_secs(10)));
        assert!(new.contender.remaining().is_some() && new.write(&after, "guarded", "by the same token"));
        assert_eq!(queue(&after)[0], place);
        assert!(theirs.is_running());
        assert!(new.release().expect("an answer"));
        assert!(theirs.line().starts_with("lock/"), "etcdctl tells its key when it holds");
        theirs.signal(libc::SIGINT);
    }
}

/// Two that live share one place: they come to hold it together, and what one of them does to it is done to both.
#[test]
fn who_shares_a_place_on_etcd_shares_its_turn_and_its_end() {
    let Some(etcd) = etcd() else { return };
    let (one, two) = (client(&etcd.servers(), &[]), client(&etcd.servers(), &[]));
    for ends_by in ["release", "revocation"] {
        let holder = take(&one, LOCK, 30);
        let first = joins(&one);
        in_places(&one, &[&first], 2);
        // In another process, and in the same one.
        let (second, third) = (joins(&two), joins(&one));
        in_places(&one, &[&first, &second, &third], 2);
        assert!(second.is_silent(ms(300)) && first.is_silent(ms(1)) && third.is_silent(ms(1)));
        // One who gives up leaves the place to the others.
        let hasty = join(&two, LOCK, TTL, VALUE, Deadline::after(ms(0)));
        assert_eq!(hasty.failed(SOON).kind(), ErrorKind::Timeout);
        third.contender.cancel();
        assert_eq!(third.failed(SOON).kind(), ErrorKind::Canceled);
        assert!(first.is_silent(ms(200)) && queue(&one).len() == 2);
        assert!(holder.release().expect("an answer"));
        first.acquired(SOON);
        second.acquired(SOON);
        assert_eq!(first.contender.token(), second.contender.token());
        match ends_by {
            "release" => assert!(second.release().expect("an answer")),
            _ => {
                one.revoke(queue(&two)[0].lease).expect("a lease");
                assert_eq!(second.lost(SOON).kind(), ErrorKind::Lost);
            }
        }
        assert_eq!(first.lost(SOON).kind(), ErrorKind::Lost);
        assert!(first.contender.remaining().is_none() && second.contender.remaining().is_none());
        assert!(queue(&one).is_empty());
    }
}

/// Whoever joined leaves the lease to the others when its client is closed; whoever made the place ends it.
#[test]
fn closing_the_client_that_made_a_shared_place_on_etcd_ends_it_and_closing_another_one_does_not() {
    let Some(etcd) = etcd() else { return };
    let [makes, leaves, stays] = [(); 3].map(|()| client(&etcd.servers(), &[]));
    let maker = joins(&makes);
    maker.acquired(SOON);
    let [leaver, sharer] = [&leaves, &stays].map(joins);
    leaver.acquired(SOON);
    sharer.acquired(SOON);
    leaves.shut_down(Deadline::after(SOON)).expect("closed in time");
    assert_eq!(leaver.lost(SOON).kind(), ErrorKind::Closed);
    assert!(maker.is_silent(ms(500)) && sharer.is_silent(ms(1)) && queue(&stays).len() == 1);
    makes.shut_down(Deadline::after(SOON)).expect("closed in time");
    assert_eq!(sharer.lost(SOON).kind(), ErrorKind::Lost);
    assert!(queue(&stays).is_empty());
}

/// A place of etcdctl's, which is killed: its lease lives on with whoever joined.
#[test]
fn a_place_that_etcdctl_made_is_joined_and_outlives_it_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        let ours = client(&etcd.servers(), &[]);
        let mut theirs = Running::start(&mut etcd.etcdctl(&["elect", LOCK, VALUE]));
        let place = theirs.line();
        let one = joins(&ours);
        one.acquired(SOON);
        assert_eq!(one.contender.key(), place.as_bytes());
        theirs.kill();
        // Its lease was for 60 s; so it is ours that is kept, and the end is ours.
        assert!(one.is_silent(ms(500)) && one.contender.remaining().is_some());
        assert!(one.contender.remaining() > Some(Duration::from_secs(30)), "the TTL is the place's");
        assert!(one.release().expect("an answer"));
        assert!(queue(&ours).is_empty());
    }
}

#[test]
fn who_finds_no_place_to_join_on_etcd_queues_like_any_other() {
    let Some(etcd) = etcd() else { return };
    let direct = client(&etcd.servers(), &[]);
    let holder = take(&direct, LOCK, 30);
    // An equal value that is no place, and places with other values.
    direct.put("lock/data", VALUE, 0).expect("a put");
    let one = joins(&direct);
    queued(&direct, 3);
    assert!(one.is_silent(ms(200)));
    assert!(holder.release().expect("an answer"));
    one.acquired(SOON);
    assert!(one.release().expect("an answer"));
    // Without a value every lock of etcdctl's would be an equal one.
    let nameless = join(&direct, LOCK, TTL, "", Deadline::NEVER);
    assert_eq!(nameless.failed(SOON).kind(), ErrorKind::InvalidArgument);
}

/// It goes when it was found, and the answer to the keep-alive of its lease is lost.
#[test]
fn who_finds_a_place_that_goes_before_it_is_joined_on_etcd_queues_after_all() {
    let Some(etcd) = etcd() else { return };
    let direct = client(&etcd.servers(), &[]);
    let (proxy, through) = proxied(&etcd, &[("request_timeout_ms", "1000")]);
    let lease = direct.grant(60).expect("a lease").id;
    let old = direct.put("lock/1", VALUE, lease).expect("a put");
    proxy.swallow(path(Rpc::LeaseKeepAlive), 1, After::Silence);
    let one = joins(&through);
    eventually(SOON, "the lost answer", || (proxy.swallowed() == 1).then_some(()));
    direct.revoke(lease).expect("a lease");
    one.acquired(Duration::from_secs(10));
    let place = queue(&direct).remove(0);
    assert!(one.contender.token() > old && place.create_revision == one.contender.token());
    assert_eq!((&place.key, place.value.as_slice()), (&one.contender.key(), VALUE.as_bytes()));
    assert!(one.release().expect("an answer"));
    assert!(queue(&direct).is_empty());
}

/// It goes at any moment: with its lease, or alone.
#[test]
fn a_place_that_goes_while_it_is_joined_on_etcd_is_none_that_is_held() {
    let Some(etcd) = etcd() else { return };
    let direct = client(&etcd.servers(), &[]);
    let with_lease = [0, 400, 700, 1000, 1300, 1600].map(|moment| (moment, true));
    let alone = [0, 700, 1300, 1700, 1900, 2100].map(|moment| (moment, false));
    for (moment, ends_lease) in with_lease.into_iter().chain(alone) {
        let (proxy, through) = proxied(&etcd, &[]);
        let lease = direct.grant(60).expect("a lease").id;
        let old = direct.put("lock/1", VALUE, lease).expect("a put");
        proxy.set(Fault::Delay { to_server: Duration::ZERO, to_client: ms(300) });
        let one = joins(&through);
        std::thread::sleep(ms(moment));
        if ends_lease {
            direct.revoke(lease).expect("a lease");
        } else {
            release(&direct, &direct.context(), b"lock/1", old).expect("an answer");
        }
        // It may have come to hold the old place, which it is told to have lost; or it has one of its own.
        match one.next(SOON) {
            None if one.contender.token() == old => assert_eq!(one.lost(SOON).kind(), ErrorKind::Lost),
            None => {
                assert_eq!(queue(&direct)[0].create_revision, one.contender.token());
                assert!(one.release().expect("an answer"));
            }
            Some(how) => panic!("at {moment} ms: {how:?}"),
        }
        queued(&direct, 0);
    }
}

/// The deadline of what is shared is local, too.
#[test]
fn who_has_joined_and_reaches_no_etcd_knows_of_its_loss_before_the_lease_is_over() {
    let Some(etcd) = etcd() else { return };
    let direct = client(&etcd.servers(), &[]);
    let lease = direct.grant(4).expect("a lease").id;
    direct.put("lock/1", VALUE, lease).expect("a put");
    let (proxy, through) = proxied(&etcd, &[("request_timeout_ms", "1000")]);
    let one = joins(&through);
    one.acquired(SOON);
    proxy.set(Fault::BlackHole);
    assert_eq!(one.lost(SOON).kind(), ErrorKind::Lost);
    assert!(one.contender.remaining().is_none());
    assert_eq!(queue(&direct).len(), 1, "nobody else could have it yet");
}

/// A place that is held is moved to another lease, as the classic tier's renewal with another TTL does: that one is kept
/// alive from then on.
#[test]
fn a_hold_on_etcd_follows_its_place_to_another_lease() {
    let Some(etcd) = etcd() else { return };
    let (ours, theirs) = (client(&etcd.servers(), &[]), client(&etcd.servers(), &[]));
    let holder = take(&ours, LOCK, 30);
    assert!(holder.is_silent(ms(300)), "its key is watched by then");
    let place = queue(&theirs).remove(0);
    let lease = theirs.grant(TTL).expect("a lease").id;
    theirs.put(&place.key[..], &place.value[..], lease).expect("a put");
    let short = || holder.contender.remaining().expect("held") < Duration::from_secs(TTL as u64);
    eventually(SOON, "the other lease counts", || short().then_some(()));
    assert!(holder.is_silent(Duration::from_secs(10)), "kept alive");
    assert_eq!(queue(&theirs)[0].lease, lease);
    holder.proclaim("a word").expect("held");
    assert_eq!(queue(&theirs)[0].lease, lease);
    assert!(holder.release().expect("an answer"));
}

/// The classic tier ends the leases that serve its own places alone, and no others, whatever a program proclaims.
#[test]
fn the_classic_tier_on_etcd_ends_its_own_leases_and_leaves_those_of_others_whatever_their_values_say() {
    let Some(etcd) = etcd() else { return };
    let (ours, theirs) = (client(&etcd.servers(), &[]), classic(&etcd));
    for renewed in [false, true] {
        let (one, other) = (take(&ours, LOCK, 30), take(&ours, "other", 30));
        assert_eq!(queue(&ours)[0].lease, queue_of(&ours, "other")[0].lease);
        one.proclaim("classic word").expect("held");
        let index = one.contender.token().to_string();
        if renewed {
            theirs.renew(LOCK.as_bytes(), 60, index.as_bytes()).expect("in the queue");
        }
        theirs.unlock(LOCK.as_bytes(), index.as_bytes()).expect("in the queue");
        assert!(other.is_silent(ms(500)) && other.release().expect("an answer"));
    }
    let place = theirs.lock(LOCK.as_bytes(), 60, Deadline::NEVER).expect("a lock");
    let index = place.token.to_string();
    theirs.renew(LOCK.as_bytes(), 70, index.as_bytes()).expect("in the queue");
    let moved = queue(&ours)[0].lease;
    theirs.unlock(LOCK.as_bytes(), index.as_bytes()).expect("in the queue");
    let leases = ours.leases().expect("leases");
    assert!(!leases.contains(&place.lease.id) && !leases.contains(&moved));
}

fn classic(etcd: &Etcd) -> Session {
    let mut options = Options::new();
    options.set("endpoints", &etcd.servers()).expect("endpoints");
    Session::open(options).expect("a session")
}

/// By whoever knows the token or the value, in another process.
#[test]
fn places_on_etcd_are_found_renewed_and_released_by_token_or_value() {
    let Some(etcd) = etcd() else { return };
    for (ours, theirs) in [
        (client("mem://by-value", &[]), client("mem://by-value", &[])),
        (client(&etcd.servers(), &[]), client(&etcd.servers(), &[])),
    ] {
        let (context, name) = (theirs.context(), LOCK.as_bytes());
        let value = |value: &str| Which::Value(value.into());
        let holder = joins(&ours);
        holder.acquired(SOON);
        let token = holder.contender.token();
        for which in [Which::Token(token), value(VALUE)] {
            assert_eq!(
                inspect::find(&theirs, &context, name, which.clone()).expect("there"),
                queue(&ours)[0]
            );
            let (revision, seen) = inspect::look_at(&theirs, &context, name, which.clone()).expect("there");
            assert!(revision >= token && (1..=TTL).contains(&seen.ttl), "{revision} {seen:?}");
            let place = inspect::renew(&theirs, &context, name, which).expect("there");
            assert_eq!((place.token, place.lease.id, place.lease.ttl), (token, queue(&ours)[0].lease, TTL));
        }
        // Two have the same value: which is meant is not known, and nothing is done.
        let second = want(&ours, LOCK, 30);
        let third = want(&ours, LOCK, 30);
        in_places(&theirs, &[&second, &third], 3);
        let error = inspect::break_lock(&theirs, &context, name, value("test")).expect_err("ambiguous");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        for token in [second.contender.token(), third.contender.token()] {
            assert!(error.to_string().contains(&token.to_string()), "{error}");
        }
        assert_eq!(queue(&theirs).len(), 3);
        // Never by the name alone.
        for nobody in [value(""), value("job"), Which::Token(0), Which::Token(token - 1)] {
            assert!(inspect::break_lock(&theirs, &context, name, nobody.clone()).is_err(), "{nobody:?}");
        }
        assert_eq!(queue(&theirs).len(), 3);
        // One that waits is taken out; the holder's lock is broken, and that is told.
        inspect::break_lock(&theirs, &context, name, second.contender.token()).expect("there");
        assert_eq!(second.failed(SOON).kind(), ErrorKind::Lost);
        inspect::break_lock(&theirs, &context, name, value(VALUE)).expect("there");
        assert_eq!(holder.lost(SOON).kind(), ErrorKind::Lost);
        third.acquired(SOON);
        assert!(third.release().expect("an answer"));
    }
}
