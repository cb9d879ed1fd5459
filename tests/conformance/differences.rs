//! Where a version behaves in a way of its own. Each difference stands in SERVERS.md under its name.

use libtest_mimic::Failed;

use crate::subject::Place;
use crate::support::root;

pub struct Difference {
    pub name: &'static str,
    pub versions: &'static [&'static str],
    /// Only through the JSON gateway.
    pub json_only: bool,
}

const fn both(name: &'static str, versions: &'static [&'static str]) -> Difference {
    Difference { name, versions, json_only: false }
}

const fn json(name: &'static str, versions: &'static [&'static str]) -> Difference {
    Difference { name, versions, json_only: true }
}

pub const DIFFERENCES: &[Difference] = &[
    json("answers-of-4-mib", &["3.3.25"]),
    json("no-hash-by-json", &["3.3.25", "3.4.23"]),
    both("alarms-without-header", &["3.3.25", "3.4.23"]),
    both("alarms-not-in-status", &["3.3.25"]),
    both("keys-only-without-lease", &["3.7.3"]),
    both("order-of-equals", &["3.3.25"]),
    both("prev-kv-of-a-new-key", &["3.3.25"]),
    both("deletion-lost-at-compaction", &["3.3.25", "3.4.23"]),
    both("which-fault-first", &["3.3.25", "3.4.23", "3.5.16", "3.7.3"]),
];

/// Whether a place behaves in that way of its own.
pub fn differs(place: Place, name: &str) -> bool {
    let difference = DIFFERENCES.iter().find(|difference| difference.name == name);
    let difference = difference.unwrap_or_else(|| panic!("no difference is called {name}"));
    let applies = !difference.json_only || matches!(place, Place::Json(_));
    applies && place.version().is_some_and(|version| difference.versions.contains(&version))
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
    for Difference { name, versions, json_only } in DIFFERENCES {
        let row = text.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap_or_default();
        for version in *versions {
            assert!(row.contains(version), "{name}: {version} in {row}");
        }
        assert_eq!(row.contains("JSON"), *json_only, "{name}: {row}");
    }
    Ok(())
}
