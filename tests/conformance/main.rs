//! One suite for every store: the same cases on the embedded store, and on real servers of every version, with gRPC
//! and through the JSON gateway. A case gets a store of its own, empty and at revision 1.
//!
//! Where versions differ, the case says so with [`Subject::differs`]; the difference stands in SERVERS.md.

mod cluster;
mod compaction;
mod differences;
mod keys;
mod leases;
mod locks;
mod random;
mod ranges;
mod subject;
#[allow(dead_code, reason = "shared with the other tests, which need more of it")]
#[path = "../support/mod.rs"]
mod support;
mod txns;
mod watches;

use libtest_mimic::{Arguments, Trial};

use subject::{Place, Subject};

/// What one store must do.
pub struct Case {
    name: &'static str,
    run: fn(&Subject),
}

/// The cases of a module, by the names of their functions.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        /// The cases of this module.
        pub const CASES: &[crate::Case] =
            &[$(crate::Case { name: stringify!($name), run: $name }),+];
    };
}
pub(crate) use cases;

fn main() {
    let mut arguments = Arguments::from_args();
    // Most of the time is spent waiting for servers to start.
    arguments.test_threads.get_or_insert(8);
    let topics = [
        ("keys", keys::CASES),
        ("ranges", ranges::CASES),
        ("txns", txns::CASES),
        ("leases", leases::CASES),
        ("watches", watches::CASES),
        ("compaction", compaction::CASES),
        ("cluster", cluster::CASES),
        ("locks", locks::CASES),
    ];
    let places: Vec<Place> = Place::all();
    let mut trials = Vec::new();
    for (topic, cases) in topics {
        for case in cases {
            let of = |place: &Place| {
                let place = *place;
                let name = format!("{topic}::{} on {place}", case.name);
                Trial::test(name.clone(), move || {
                    support::this_is(&name);
                    subject::run(case, place)
                })
            };
            trials.extend(places.iter().map(of));
        }
    }
    trials.extend(places.iter().filter(|place| place.version().is_some()).map(|&place| {
        let name = format!("random operations on {place}");
        Trial::test(name.clone(), move || {
            support::this_is(&name);
            random::compare_with(place)
        })
    }));
    trials.push(Trial::test("a comparison that can fail", random::a_wrong_store_is_found_out));
    trials.push(Trial::test("every difference is documented", differences::are_documented));
    libtest_mimic::run(&arguments, trials).exit();
}
