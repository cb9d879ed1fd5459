//! What a store says of itself: one member that leads, and its alarms.

use std::collections::BTreeSet;

use super::State;
use crate::error::{Error, Outcome, Result};
use crate::model::*;
use crate::sys;

/// The store as a cluster of one.
pub struct Cluster {
    pub id: u64,
    member: u64,
    pub term: u64,
    pub has_leader: bool,
    alarms: BTreeSet<(AlarmKind, u64)>,
}

impl Cluster {
    pub fn new() -> Self {
        let id = || sys::random_id().unsigned_abs();
        Cluster { id: id(), member: id(), term: 1, has_leader: true, alarms: BTreeSet::new() }
    }

    pub fn header(&self, revision: i64) -> Header {
        Header { cluster_id: self.id, member_id: self.member, revision, raft_term: self.term }
    }

    pub fn members(&self, name: &str) -> Vec<Member> {
        vec![Member {
            id: self.member,
            name: name.into(),
            client_urls: vec![format!("mem://{name}")],
            ..Member::default()
        }]
    }

    /// Refuses what a cluster in this condition can't do.
    pub fn check(&self, request: &Request) -> Result<()> {
        if !self.has_leader && (!request.reads_only() || request.is_linearizable()) {
            return Err(no_leader());
        }
        if self.is_raised(AlarmKind::Corrupt) && request.changes_data() {
            return Err(Error::from_server(15, "etcdserver: corrupt cluster"));
        }
        if self.is_raised(AlarmKind::NoSpace) && request.needs_space() {
            let full = Error::from_server(8, "etcdserver: mvcc: database space exceeded");
            return Err(full.outcome_is(Outcome::Refused));
        }
        Ok(())
    }

    fn is_raised(&self, kind: AlarmKind) -> bool {
        !self.alarms.is_empty() && self.alarms.iter().any(|&(raised, _)| raised == kind)
    }

    /// The raised alarms of a kind.
    pub fn alarms(&self, kind: AlarmKind) -> Vec<Alarm> {
        let all = self.alarms.iter().map(|&(kind, member)| Alarm { member, kind });
        all.filter(|alarm| kind == AlarmKind::Any || alarm.kind == kind).collect()
    }

    /// Raises an alarm or takes it back; tells it if that was to be done.
    pub fn change_alarm(&mut self, action: AlarmAction, alarm: Alarm) -> Vec<Alarm> {
        let entry = (alarm.kind, alarm.member);
        let done = match action {
            AlarmAction::Activate if alarm.kind != AlarmKind::Any => {
                self.alarms.insert(entry);
                true
            }
            AlarmAction::Deactivate => self.alarms.remove(&entry),
            _ => false,
        };
        if done { vec![alarm] } else { Vec::new() }
    }

    fn errors(&self) -> Vec<String> {
        let alarm = |alarm: Alarm| {
            let name = if alarm.kind == AlarmKind::Corrupt { "CORRUPT" } else { "NOSPACE" };
            format!("memberID:{} alarm:{name} ", alarm.member)
        };
        let leader = (!self.has_leader).then(|| "etcdserver: no leader".to_owned());
        leader.into_iter().chain(self.alarms(AlarmKind::Any).into_iter().map(alarm)).collect()
    }
}

pub fn no_leader() -> Error {
    Error::from_server(14, "etcdserver: no leader")
}

impl State {
    pub fn status(&self) -> Status {
        let (size, in_use) = self.history.size();
        // There is no log but the history.
        let index = self.history.revision.unsigned_abs();
        Status {
            version: concat!("etcd-api ", env!("CARGO_PKG_VERSION")).into(),
            db_size: size as i64,
            db_size_in_use: in_use as i64,
            leader: if self.cluster.has_leader { self.cluster.member } else { 0 },
            raft_index: index,
            raft_applied_index: index,
            raft_term: self.cluster.term,
            is_learner: false,
            errors: self.cluster.errors(),
        }
    }
}

impl Request {
    /// What members whose data differ don't do.
    fn changes_data(&self) -> bool {
        use Request::*;
        let keys =
            matches!(self, Put(_) | Delete(_) | Compact { .. } | LeaseGrant { .. } | LeaseRevoke { .. });
        keys || matches!(self, Txn(txn) if !txn.reads_only())
    }

    /// What a full database does not do. As in etcd, nested transactions are not looked at.
    fn needs_space(&self) -> bool {
        match self {
            Request::Put(_) | Request::LeaseGrant { .. } => true,
            Request::Txn(txn) => txn.ops().any(|op| matches!(op, Op::Put(_))),
            _ => false,
        }
    }
}
