//! A contender whose requests reach the servers, while no answer comes back: they keep its lease alive, and it knows of
//! nothing.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use faultproxy::{Fault, Proxy};

use super::contender::process;
use super::{LOCK, ms, queue, queued};
use crate::support::{Etcd, Running, VERSIONS, client};

const TTL: i64 = 3;
/// What nobody waits longer for, whatever happens.
const LIMIT: Duration = Duration::from_secs(TTL as u64 + 15);
const NO_ANSWERS: Fault = Fault::Delay { to_server: Duration::ZERO, to_client: Duration::from_secs(3600) };

/// One in a process of its own, which says when it was told what.
struct Contender {
    process: Running,
    lines: Receiver<(Instant, String)>,
    proxies: Vec<Proxy>,
}

impl Contender {
    fn start(members: &[Etcd]) -> Self {
        let proxies: Vec<Proxy> = members.iter().map(|member| Proxy::start(member.port())).collect();
        let servers = proxies.iter().map(Proxy::servers).collect::<Vec<_>>().join(",");
        let mut process = process(&servers, LOCK, TTL);
        let (sender, lines) = channel();
        process.tell_lines(move |line| drop(sender.send((Instant::now(), line))));
        Contender { process, lines, proxies }
    }

    /// When it said this, and how it went on.
    fn says(&self, word: &str) -> (Instant, String) {
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let said = self.lines.recv_timeout(left);
            let (when, line) = said.unwrap_or_else(|error| panic!("{word}: not within {LIMIT:?}: {error}"));
            if line.contains(word) {
                return (when, line);
            }
        }
    }

    fn set(&self, fault: Fault) {
        self.proxies.iter().for_each(|proxy| proxy.set(fault));
    }
}

/// Three members, and three that want the lock, in this order.
fn three() -> Option<(Vec<Etcd>, [Contender; 3])> {
    let members = Etcd::start_three(VERSIONS[1])?;
    let direct = client(&members[0].servers(), &[]);
    let contenders = [1, 2, 3].map(|count| {
        let contender = Contender::start(&members);
        queued(&direct, count);
        contender
    });
    // They have watches, too.
    std::thread::sleep(ms(300));
    Some((members, contenders))
}

/// It does not count on keep-alives that were never answered, and makes none once it has lost the lock.
#[test]
fn l07_a_holder_that_no_answer_of_etcd_reaches_knows_of_its_loss_and_is_followed() {
    let Some((members, [holder, second, third])) = three() else { return };
    holder.says("held");
    holder.set(NO_ANSWERS);
    let (lost, how) = holder.says("told");
    assert!(how.contains("Lost"), "{how}");
    let (held, _) = second.says("held");
    assert!(lost < held, "it was held by two for {:?}", lost - held);
    drop(second);
    third.says("held");
    let direct = client(&members[0].servers(), &[]);
    assert_eq!(queue(&direct).len(), 1);
}

/// Its place is gone when its turn comes, or soon after: it does not stand in the way of all.
#[test]
fn l07_a_waiter_that_no_answer_of_etcd_reaches_does_not_stop_those_behind_it() {
    let Some((members, [mut holder, waiter, third])) = three() else { return };
    holder.says("held");
    waiter.set(NO_ANSWERS);
    std::thread::sleep(Duration::from_secs(TTL as u64) / 2);
    holder.process.kill();
    third.says("held");
    let direct = client(&members[0].servers(), &[]);
    assert_eq!(queue(&direct).len(), 1);
    assert!(waiter.lines.try_iter().all(|(_, line)| !line.contains("held")));
}
