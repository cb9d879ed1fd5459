//! Names move: each connection asks anew where its server is.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd::Client;
use etcd::client::Watcher;
use etcd::model::*;
use etcd::wait::Deadline;
use faultproxy::{Fault, Proxy};

use crate::support::{Etcd, Protocol, TempDir, VERSIONS, alone_with, client, resolver};

/// The variable by which the resolver in tests/c finds the address of moving.invalid.
const VARIABLE: &str = "ETCD_API_TEST_ADDRESS";
const PATIENCE: Duration = Duration::from_secs(20);

/// An etcd that can be reached at one of two addresses at a time, on the same port.
struct Moving {
    file: PathBuf,
    places: [Proxy; 2],
}

impl Moving {
    fn new(etcd: &Etcd, file: &Path) -> Self {
        let first = Proxy::start(etcd.port());
        let second = first.start_beside(Ipv4Addr::new(127, 0, 0, 2));
        Moving { file: file.to_owned(), places: [first, second] }
    }

    fn servers(&self) -> String {
        format!("moving.invalid:{}", self.places[0].port())
    }

    /// From now on the name means this place, and the other one refuses.
    fn move_to(&self, place: usize) {
        let servers = self.places[place].servers();
        let (address, _) = servers.split_once(':').expect("a port");
        std::fs::write(&self.file, address).expect("room for an address");
        self.places[place].set(Fault::Pass);
        self.places[1 - place].set(Fault::Refuse);
    }
}

/// Calls, and a watch that was open before, get to the server.
fn all_goes_on(client: &Client, watch: &mut Watcher, value: &str) {
    client.get("k").unwrap_or_else(|error| panic!("a read, {value}: {error}"));
    client.put("k", value, 0).unwrap_or_else(|error| panic!("a write, {value}: {error}"));
    let batch = watch.next(Deadline::after(PATIENCE), client.closed());
    let events = batch.unwrap_or_else(|error| panic!("the watch, {value}: {error}")).events;
    let seen: Vec<&[u8]> = events.iter().map(|event| &*event.kv.value).collect();
    assert_eq!(seen, [value.as_bytes()]);
}

fn follow(etcd: &Etcd, protocol: Protocol, file: &Path) {
    let moving = Moving::new(etcd, file);
    moving.move_to(0);
    let client = client(&protocol.endpoints(&moving.servers()), &[]);
    let mut watch = client.watch(WatchRequest::new(KeyRange::key("k"), 0));
    watch.open(Deadline::after(PATIENCE), client.closed()).expect("all is well");
    all_goes_on(&client, &mut watch, "at first");
    for (place, value) in [(1, "moved"), (0, "moved back"), (1, "moved again")] {
        let before = moving.places[place].connections();
        moving.move_to(place);
        all_goes_on(&client, &mut watch, value);
        // One for calls and one for the watch.
        let connections = moving.places[place].connections() - before;
        assert!(connections >= 2, "{protocol:?}, {value}: {connections} connections");
    }
}

/// In a process of its own, which has another resolver.
#[test]
fn a_name_that_moves_is_followed_to_etcd_by_each_new_connection() {
    let Some(file) = std::env::var_os(VARIABLE) else {
        let folder = TempDir::new();
        let variables = [("LD_PRELOAD", resolver()), (VARIABLE, &*folder.path().join("address"))];
        alone_with("names::a_name_that_moves_is_followed_to_etcd_by_each_new_connection", &variables);
        return;
    };
    let Some(etcd) = Etcd::start(VERSIONS[1]) else { return };
    for protocol in Protocol::BOTH {
        follow(&etcd, protocol, Path::new(&file));
    }
}
