//! The two protocols that servers are spoken to with, and what each calls etcd's methods.

/// What is spoken with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// What etcd's own clients speak, and what an endpoint that does not say is spoken to with.
    Grpc,
    /// The gateway.
    Json,
}

/// A method of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rpc {
    Range,
    Put,
    DeleteRange,
    Txn,
    Compact,
    LeaseGrant,
    LeaseRevoke,
    LeaseKeepAlive,
    LeaseTimeToLive,
    LeaseLeases,
    MemberList,
    Status,
    Alarm,
    HashKv,
    Authenticate,
    Watch,
}

impl Protocol {
    pub const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::Json];

    /// Addresses, separated by commas, as endpoints that are spoken to in this way.
    pub fn endpoints(self, servers: &str) -> String {
        let endpoint = |server: &str| match self {
            Protocol::Grpc => server.trim().to_owned(),
            Protocol::Json => format!("json+http://{}", server.trim()),
        };
        servers.split(',').map(endpoint).collect::<Vec<_>>().join(",")
    }

    /// What of a request for this method no other request has.
    pub fn path(self, rpc: Rpc) -> &'static str {
        let (grpc, json) = match rpc {
            Rpc::Range => ("/etcdserverpb.KV/Range", "/kv/range"),
            Rpc::Put => ("/etcdserverpb.KV/Put", "/kv/put"),
            Rpc::DeleteRange => ("/etcdserverpb.KV/DeleteRange", "/kv/deleterange"),
            Rpc::Txn => ("/etcdserverpb.KV/Txn", "/kv/txn"),
            Rpc::Compact => ("/etcdserverpb.KV/Compact", "/kv/compaction"),
            Rpc::LeaseGrant => ("/etcdserverpb.Lease/LeaseGrant", "/lease/grant"),
            Rpc::LeaseRevoke => ("/etcdserverpb.Lease/LeaseRevoke", "/lease/revoke"),
            Rpc::LeaseKeepAlive => ("/etcdserverpb.Lease/LeaseKeepAlive", "/lease/keepalive"),
            Rpc::LeaseTimeToLive => ("/etcdserverpb.Lease/LeaseTimeToLive", "/lease/timetolive"),
            Rpc::LeaseLeases => ("/etcdserverpb.Lease/LeaseLeases", "/lease/leases"),
            Rpc::MemberList => ("/etcdserverpb.Cluster/MemberList", "/member/list"),
            Rpc::Status => ("/etcdserverpb.Maintenance/Status", "/maintenance/status"),
            Rpc::Alarm => ("/etcdserverpb.Maintenance/Alarm", "/maintenance/alarm"),
            Rpc::HashKv => ("/etcdserverpb.Maintenance/HashKV", "/maintenance/hash"),
            Rpc::Authenticate => ("/etcdserverpb.Auth/Authenticate", "/auth/authenticate"),
            Rpc::Watch => ("/etcdserverpb.Watch/Watch", "/v3/watch"),
        };
        match self {
            Protocol::Grpc => grpc,
            Protocol::Json => json,
        }
    }
}
