//! A cluster whose members and whose network fail on demand.

use std::thread::sleep;
use std::time::{Duration, Instant};

use etcd::Client;
use faultproxy::{After, Fault, Proxy};

use super::{Dice, Etcd, Host, Pki, client, eventually};

/// Three members, or one, each behind a proxy.
pub struct Cluster {
    pub members: Vec<Etcd>,
    pub proxies: Vec<Proxy>,
    /// Goes around the proxies.
    pub direct: Client,
    /// What clients need for TLS.
    files: Vec<(&'static str, String)>,
    /// How many bytes each proxy had passed to clients when it was last looked at.
    passed: Vec<usize>,
}

fn open(endpoints: &str, files: &[(&'static str, String)], options: &[(&str, &str)]) -> Client {
    let files: Vec<(&str, &str)> = files.iter().map(|(name, file)| (*name, file.as_str())).collect();
    client(endpoints, &[&files[..], options].concat())
}

/// Which member something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    Leader,
    Follower,
    /// One that answers clients at the moment.
    Serving,
}

/// What gets lost between a member and all others. Clients reach all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Whatever they send to each other.
    All,
    /// What it sends.
    Sent,
    /// What is sent to it.
    Received,
    /// All of it, again and again, for some ten milliseconds.
    Some,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is killed, and started again a while later.
    Kill(Whom),
    /// It is told to end, as at an upgrade, and started again.
    Restart(Whom),
    /// It stands still for a while, and goes on as if nothing had been.
    Pause(Whom),
    /// Two are killed at once, so that those who are left can't agree on anything.
    KillTwo,
    /// Another one is made the leader.
    MoveLeader,
    /// The connections of a serving member are closed.
    Cut,
    /// They are reset.
    ResetAll,
    /// The way to a serving member is bad for so long.
    Network(Fault, Duration),
    /// The way to all members is.
    Everywhere(Fault, Duration),
    /// The next answer to this request is lost.
    Lose(&'static str, After),
    /// The network between a member and the others fails, in a cluster whose members are [apart](Cluster::start_apart).
    Partition(Whom, Loss),
}

impl Cluster {
    pub fn start(version: &str) -> Option<Self> {
        Some(Self::of(Etcd::start_three(version)?, Vec::new()))
    }

    /// Three members with a network between them that can fail, in a process that has left the machine's.
    pub fn start_apart(version: &str) -> Option<Self> {
        let hosts = [1, 2, 3].map(|number| Host::new(number).expect("a namespace more"));
        Some(Self::of(Etcd::start_three_apart(version, hosts)?, Vec::new()))
    }

    /// One member, which speaks TLS.
    pub fn start_secure(version: &str, pki: &Pki) -> Option<Self> {
        let text = |path: std::path::PathBuf| path.display().to_string();
        let files = vec![
            ("ca_file", text(pki.certificate("ca"))),
            ("cert_file", text(pki.certificate("client"))),
            ("key_file", text(pki.key("client"))),
        ];
        Some(Self::of(vec![Etcd::start_secure(version, pki, "server")?], files))
    }

    fn of(members: Vec<Etcd>, files: Vec<(&'static str, String)>) -> Self {
        let proxy = |member: &Etcd| Proxy::start_before(member.address());
        let proxies: Vec<Proxy> = members.iter().map(proxy).collect();
        let endpoints: Vec<String> = members.iter().map(Etcd::servers).collect();
        let direct = open(&endpoints.join(","), &files, &[("request_timeout_ms", "2000")]);
        let passed = vec![0; proxies.len()];
        Cluster { members, proxies, direct, files, passed }
    }

    /// A client whose way leads through the proxies, beginning with one of them.
    pub fn client(&self, first: usize, options: &[(&str, &str)]) -> Client {
        let count = self.proxies.len();
        let all = (0..count).map(|at| self.proxies[(first + at) % count].servers());
        open(&all.collect::<Vec<_>>().join(","), &self.files, options)
    }

    /// The position of the leader, once there is one.
    pub fn leader(&self) -> usize {
        self.ask_for_leader().0
    }

    /// The position of the leader, and the id of a follower.
    fn ask_for_leader(&self) -> (usize, u64) {
        eventually(Duration::from_secs(10), "a leader", || {
            let all = self.direct.status().into_iter().map(|(_, status)| status.ok());
            let all = all.collect::<Option<Vec<_>>>()?;
            let leader = all.iter().position(|(header, status)| header.member_id == status.leader)?;
            Some((leader, all[(leader + 1) % all.len()].0.member_id))
        })
    }

    /// The position of a member that answered clients since this was last asked, if there is one.
    fn serving(&mut self, dice: &mut Dice) -> Option<usize> {
        let now: Vec<usize> = self.proxies.iter().map(|proxy| proxy.bytes().1).collect();
        let before = std::mem::replace(&mut self.passed, now);
        let is_busy = |&at: &usize| self.passed[at] > before[at] && self.proxies[at].open() > 0;
        let busy: Vec<usize> = (0..before.len()).filter(is_busy).collect();
        (!busy.is_empty()).then(|| dice.pick(&busy))
    }

    fn find(&mut self, whom: Whom, dice: &mut Dice) -> Option<usize> {
        match whom {
            Whom::Leader => Some(self.leader()),
            Whom::Follower => Some((self.leader() + dice.between(1, 2)) % 3),
            Whom::Serving => self.serving(dice),
        }
    }

    /// Makes trouble until it is over. Tells whether it hit anything.
    pub fn strike(&mut self, trouble: Trouble, dice: &mut Dice) -> bool {
        match trouble {
            Trouble::Kill(whom) | Trouble::Restart(whom) | Trouble::Pause(whom) => {
                let Some(at) = self.find(whom, dice) else { return false };
                self.hit_member(at, trouble, dice);
                true
            }
            Trouble::KillTwo => {
                let leader = self.leader();
                let two = [leader, (leader + dice.between(1, 2)) % 3];
                two.iter().for_each(|&at| self.members[at].kill());
                sleep(Duration::from_millis(dice.between(500, 1500) as u64));
                two.iter().for_each(|&at| self.members[at].revive());
                true
            }
            Trouble::MoveLeader => {
                let (leader, next) = self.ask_for_leader();
                let moved = self.members[leader].etcdctl(&["move-leader", &format!("{next:x}")]).output();
                moved.expect("etcdctl runs").status.success()
            }
            Trouble::Cut | Trouble::ResetAll | Trouble::Network(..) => {
                let Some(at) = self.serving(dice) else { return false };
                self.hit_network(&self.proxies[at..=at], trouble);
                true
            }
            Trouble::Everywhere(fault, time) => {
                self.hit_network(&self.proxies, Trouble::Network(fault, time));
                true
            }
            Trouble::Lose(path, then) => self.lose(path, then),
            Trouble::Partition(whom, loss) => {
                let Some(at) = self.find(whom, dice) else { return false };
                self.partition(at, loss, dice)
            }
        }
    }

    /// Long enough for an election: a member whose network failed all the time has another leader at the end of it, or
    /// none; if not, nothing was hit.
    fn partition(&self, at: usize, loss: Loss, dice: &mut Dice) -> bool {
        let leader_of = |at| Some(self.direct.status().swap_remove(at).1.ok()?.1.leader);
        let (leader, start) = (leader_of(self.leader()), Instant::now());
        let time = Duration::from_millis(dice.between(2500, 4000) as u64);
        if loss == Loss::Some {
            while start.elapsed() < time {
                for change in [Host::cut, Host::mend] {
                    self.change(at, loss, change);
                    sleep(Duration::from_millis(dice.between(20, 80) as u64));
                }
            }
            return true;
        }
        self.change(at, loss, Host::cut);
        sleep(time);
        let hit = leader_of(at) != leader;
        self.change(at, loss, Host::mend);
        hit
    }

    /// Cuts or mends the ways that suffer this loss.
    fn change(&self, at: usize, loss: Loss, way: fn(&Host, &Host)) {
        let hosts: Vec<&Host> = self.members.iter().filter_map(Etcd::host).collect();
        for other in (0..hosts.len()).filter(|&other| other != at) {
            if loss != Loss::Received {
                way(hosts[at], hosts[other]);
            }
            if loss != Loss::Sent {
                way(hosts[other], hosts[at]);
            }
        }
    }

    fn hit_member(&mut self, at: usize, trouble: Trouble, dice: &mut Dice) {
        let member = &mut self.members[at];
        match trouble {
            Trouble::Pause(_) => {
                member.stop();
                sleep(Duration::from_millis(dice.between(1500, 2500) as u64));
                member.go_on();
            }
            Trouble::Restart(_) => {
                member.terminate();
                member.revive();
            }
            _ => {
                member.kill();
                sleep(Duration::from_millis(dice.between(0, 1500) as u64));
                member.revive();
            }
        }
    }

    fn hit_network(&self, proxies: &[Proxy], trouble: Trouble) {
        match trouble {
            Trouble::Network(fault, time) => {
                proxies.iter().for_each(|proxy| proxy.set(fault));
                sleep(time);
                proxies.iter().for_each(|proxy| proxy.set(Fault::Pass));
                // What was swallowed meanwhile is missing from connections that are still open.
                if fault == Fault::BlackHole {
                    proxies.iter().for_each(Proxy::cut);
                }
            }
            Trouble::ResetAll => proxies.iter().for_each(Proxy::reset_all),
            _ => proxies.iter().for_each(Proxy::cut),
        }
    }

    fn lose(&self, path: &str, then: After) -> bool {
        let lost = || self.proxies.iter().map(Proxy::swallowed).sum::<usize>();
        let before = lost();
        self.proxies.iter().for_each(|proxy| proxy.swallow(path, 1, then));
        let start = Instant::now();
        while lost() == before && start.elapsed() < Duration::from_secs(1) {
            sleep(Duration::from_millis(5));
        }
        lost() > before
    }
}
