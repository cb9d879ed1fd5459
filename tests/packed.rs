//! The layout of packed records, read by two readers that were written from docs/packed-records.md: in C, where each
//! record is compared with the event that it stands for, and in JavaScript.

use crate::programs::{check_on_mem, check_on_servers};
use crate::support::{Etcd, VERSIONS, node, root, run};

const READER: &str = "tests/c/full/packed.c";

#[test]
fn a_reader_in_c_sees_what_events_tell_on_mem() {
    check_on_mem(READER);
}

#[test]
fn a_reader_in_c_sees_what_events_tell_on_etcd() {
    check_on_servers(READER);
}

fn node_reads(servers: &str) -> Option<()> {
    let mut node = node()?;
    node.arg(root().join("tests/node/packed.mjs")).arg(servers);
    assert_eq!(run(&mut node), "all as it should be\n");
    Some(())
}

#[test]
fn a_reader_in_node_on_mem() {
    node_reads("mem://packed");
}

#[test]
fn a_reader_in_node_on_etcd() {
    for version in VERSIONS {
        let Some(etcd) = Etcd::start(version) else { return };
        if node_reads(&etcd.servers()).is_none() {
            return;
        }
    }
}

/// What the document says of the layout's places is what the readers read.
#[test]
fn the_document_has_every_constant_of_the_layout() {
    let document = std::fs::read_to_string(root().join("docs/packed-records.md")).expect("the document");
    let header = std::fs::read_to_string(root().join("include/etcd-api.h")).expect("the header");
    let constants: Vec<(&str, &str)> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_once(' '))
        .filter(|(name, _)| {
            ["ETCD_PACKED_", "ETCD_EVENT_", "ETCD_WATCH_", "ETCD_KV_"]
                .iter()
                .any(|start| name.starts_with(start))
        })
        .collect();
    assert!(constants.len() > 20, "{constants:?}");
    for (name, number) in constants {
        let row = format!("| {number} | `{name}` |");
        assert!(name == "ETCD_PACKED_VERSION" || document.contains(&row), "there is no row {row}");
    }
}
