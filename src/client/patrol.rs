//! Keys with leases whose end must not be missed, whatever becomes of the watches on them: looked at again and again,
//! those of many in one request.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Client;
use super::clock::Time;
use crate::model::*;
use crate::wait::{Deadline, lock};

/// Told which of the keys (by its place) is not there any more as it was, or has no lease: on any thread, without a
/// lock held. It never blocks.
pub type Gone = Arc<dyn Fn(usize) + Send + Sync>;

/// A key, and when it was created.
pub type Incarnation = (Vec<u8>, i64);

/// The keys that are looked at for a client.
#[derive(Default)]
pub(super) struct Patrol(Mutex<Rounds>);

#[derive(Default)]
struct Rounds {
    posts: HashMap<u64, Post>,
    /// When each is due.
    due: BTreeSet<(Instant, u64)>,
    last: u64,
    timer: Option<Time>,
}

struct Post {
    keys: Vec<Incarnation>,
    every: Duration,
    due: Instant,
    gone: Gone,
}

/// How many keys are read in one request.
const AT_ONCE: usize = 100;

/// Keys that are looked at. Dropping this ends it.
pub struct Patrolled {
    client: Client,
    key: u64,
}

impl Client {
    /// Looks at these keys every so often.
    pub(crate) fn patrol(&self, keys: Vec<Incarnation>, every: Duration, gone: Gone) -> Patrolled {
        let mut rounds = lock(&self.0.patrol.0);
        rounds.last += 1;
        let key = rounds.last;
        let due = Instant::now() + every;
        rounds.due.insert((due, key));
        rounds.posts.insert(key, Post { keys, every, due, gone });
        self.set_patrol_timer(&mut rounds);
        Patrolled { client: self.clone(), key }
    }

    fn set_patrol_timer(&self, rounds: &mut Rounds) {
        let next = rounds.due.first().map(|(at, _)| *at);
        if let (Some((set, _)), Some(next)) = (&rounds.timer, next)
            && *set <= next
        {
            return;
        }
        if let Some(timer) = rounds.timer.take() {
            self.0.clock.unset(timer);
        }
        let Some(next) = next else { return };
        let client = self.clone();
        rounds.timer = self.0.clock.set(next, Box::new(move || client.go_round())).ok();
    }

    /// Looks at all that is due, and at what will be soon.
    fn go_round(&self) {
        let mut rounds = lock(&self.0.patrol.0);
        rounds.timer = None;
        let now = Instant::now();
        let mut keys: Vec<(Incarnation, u64, usize)> = Vec::new();
        while let Some((due, key)) = rounds.due.first().copied() {
            let soon = rounds.posts.get(&key).map_or(Duration::ZERO, |post| post.every / 4);
            if due > now + soon {
                break;
            }
            rounds.due.remove(&(due, key));
            let Some(post) = rounds.posts.get_mut(&key) else { continue };
            post.due = now + post.every;
            keys.extend(post.keys.iter().cloned().enumerate().map(|(at, one)| (one, key, at)));
            let again = (post.due, key);
            rounds.due.insert(again);
        }
        self.set_patrol_timer(&mut rounds);
        drop(rounds);
        for some in keys.chunks(AT_ONCE) {
            self.look_at(some.to_vec());
        }
    }

    fn look_at(&self, keys: Vec<(Incarnation, u64, usize)>) {
        let read = |((key, created), _, _): &(Incarnation, u64, usize)| {
            Op::Range(RangeRequest {
                min_create_revision: *created,
                max_create_revision: *created,
                ..RangeRequest::attributes(&key[..])
            })
        };
        let then = keys.iter().map(read).collect();
        let request = Arc::new(Request::Txn(TxnRequest { then, ..TxnRequest::default() }));
        let client = self.clone();
        let done = move |reply: crate::Result<Reply>| {
            // Whatever kept it from being answered: the next round comes.
            let Ok(Reply { body: Body::Txn(txn), .. }) = reply else { return };
            for ((_, key, at), reply) in keys.iter().zip(&txn.replies) {
                let is_gone =
                    matches!(reply, OpReply::Range(found) if found.kvs.iter().all(|kv| kv.lease == 0));
                let gone = lock(&client.0.patrol.0).posts.get(key).map(|post| post.gone.clone());
                if let Some(gone) = gone.filter(|_| is_gone) {
                    gone(*at);
                }
            }
        };
        self.submit_as(request, Repeat::Harmless, Deadline::NEVER, Box::new(done));
    }
}

impl Drop for Patrolled {
    fn drop(&mut self) {
        let mut rounds = lock(&self.client.0.patrol.0);
        let post = rounds.posts.remove(&self.key);
        if let Some(post) = &post {
            rounds.due.remove(&(post.due, self.key));
        }
        if rounds.due.is_empty()
            && let Some(timer) = rounds.timer.take()
        {
            self.client.0.clock.unset(timer);
        }
        drop(rounds);
        drop(post);
    }
}
