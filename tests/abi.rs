//! The ABI is a promise: what tests/abi/etcd-api.abi says stays as it is, and there may be more.

use std::path::Path;
use std::process::Command;

use crate::support::{TempDir, root, run};

/// What abidiff has against a header; nothing if binaries linked before would not notice.
fn broken(header: &Path) -> Option<String> {
    let folder = TempDir::new();
    let dump = folder.path().join("now.abi");
    let now = run(Command::new(root().join("tests/abi/dump")).arg(header));
    std::fs::write(&dump, now).expect("room");
    let mut abidiff = Command::new("abidiff");
    abidiff.args(["--no-added-syms", "--harmless"]).arg(root().join("tests/abi/etcd-api.abi")).arg(dump);
    let output = abidiff.output().expect("abidiff");
    // 1 and 2: it could not compare them. 4 and 8: there are changes.
    let status = output.status.code().unwrap_or(1);
    assert_eq!(status & 3, 0, "{output:?}");
    (status != 0).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_abi_is_what_it_was_and_maybe_more() {
    if let Some(changes) = broken(&root().join("include/etcd-api.h")) {
        panic!("binaries linked before would break:\n{changes}(What was never released may: `make abi`.)");
    }
}

/// The header after an edit.
fn after(from: &str, to: &str) -> Option<String> {
    let folder = TempDir::new();
    let header = std::fs::read_to_string(root().join("include/etcd-api.h")).expect("the header");
    assert!(header.contains(from), "the header has {from:?}");
    let edited = folder.path().join("etcd-api.h");
    std::fs::write(&edited, header.replacen(from, to, 1)).expect("room");
    broken(&edited)
}

#[test]
fn a_change_of_the_abi_is_found_and_named() {
    for (from, to, named) in [
        ("*etcd_cancel_new(void)", "*etcd_cancel_new(int more)", "etcd_cancel_new"),
        ("etcd_queue_wake(struct etcd_queue", "etcd_queue_wake(struct etcd_client", "etcd_queue_wake"),
        ("int64_t etcd_reply_count(", "int32_t etcd_reply_count(", "etcd_reply_count"),
        ("const char *etcd_version(void);", "", "etcd_version"),
        ("typedef int32_t etcd_status;", "typedef int64_t etcd_status;", "etcd_call"),
        ("  uint32_t reserved;", "  uint32_t reserved, more[2];", "etcd_reply_kv"),
        ("  ETCD_WTF = 2,", "  ETCD_WTF = 3,", "ETCD_WTF"),
        ("#define ETCD_ERR_CLOSED 11", "#define ETCD_ERR_CLOSED 12", "ETCD_ERR_CLOSED"),
        ("#define ETCD_SORT_BY_KEY 0", "", "ETCD_SORT_BY_KEY"),
    ] {
        let changes = after(from, to).unwrap_or_else(|| panic!("{to:?} in place of {from:?} is not found"));
        assert!(changes.contains(named), "{changes}");
    }
}

#[test]
fn an_addition_to_the_abi_is_none_of_its_business() {
    let function = "const char *etcd_version(void);";
    assert_eq!(after(function, &format!("{function}\nint etcd_a_new(struct etcd_kv *kv);")), None);
    assert_eq!(
        after("#define ETCD_ERR_CLOSED 11", "#define ETCD_ERR_CLOSED 11\n#define ETCD_ERR_NEW 99"),
        None
    );
}
