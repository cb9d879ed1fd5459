//! Where a version behaves in a way of its own. Each difference stands in SERVERS.md under its name.

use libtest_mimic::Failed;

use crate::subject::Place::{self, Etcd};
use crate::support::root;

pub struct Difference {
    pub name: &'static str,
    pub places: &'static [Place],
}

pub const DIFFERENCES: &[Difference] = &[
    Difference { name: "answers-of-4-mib", places: &[Etcd("3.3.25")] },
    Difference { name: "alarms-without-header", places: &[Etcd("3.3.25"), Etcd("3.4.23")] },
    Difference { name: "alarms-not-in-status", places: &[Etcd("3.3.25")] },
    Difference { name: "keys-only-without-lease", places: &[Etcd("3.7.3")] },
    Difference { name: "prev-kv-of-a-new-key", places: &[Etcd("3.3.25")] },
    Difference { name: "deletion-lost-at-compaction", places: &[Etcd("3.3.25"), Etcd("3.4.23")] },
    Difference {
        name: "which-fault-first",
        places: &[Etcd("3.3.25"), Etcd("3.4.23"), Etcd("3.5.16"), Etcd("3.7.3")],
    },
];

/// Whether a place behaves in that way of its own.
pub fn differs(place: Place, name: &str) -> bool {
    let difference = DIFFERENCES.iter().find(|difference| difference.name == name);
    difference.unwrap_or_else(|| panic!("no difference is called {name}")).places.contains(&place)
}

/// The document names each of them, with its versions, and no others.
pub fn are_documented() -> Result<(), Failed> {
    let text = std::fs::read_to_string(root().join("SERVERS.md"))?;
    let documented: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `").and_then(|rest| rest.split('`').next()))
        .collect();
    let named: Vec<&str> = DIFFERENCES.iter().map(|difference| difference.name).collect();
    assert_eq!(documented, named);
    for Difference { name, places } in DIFFERENCES {
        let row = text.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap_or_default();
        for place in *places {
            let place = place.to_string();
            assert!(row.contains(place.trim_start_matches("etcd ")), "{name}: {place} in {row}");
        }
    }
    Ok(())
}
