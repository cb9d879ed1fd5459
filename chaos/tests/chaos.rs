//! The locks under faults: the small size here, all of it with `make long`.

#[allow(dead_code, reason = "shared with the other tests, which need more of it")]
#[path = "../../tests/support/skip.rs"]
mod skip;

use std::path::Path;
use std::process::Command;

#[test]
fn locks_of_etcd_are_fair_and_fenced_whatever_happens_to_members_network_and_holders() {
    let fetch = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/setup/fetch");
    let fetched = Command::new(fetch).arg("etcd-3.5.16").output().expect("a script");
    if !fetched.status.success() {
        return skip::skip(&format!("no etcd ({})", String::from_utf8_lossy(&fetched.stderr).trim()));
    }
    let folder = String::from_utf8_lossy(&fetched.stdout).trim().to_owned() + "/usr/bin";
    let (handoffs, faults, pauses) =
        if skip::long() { ("10000", "100", "500") } else { ("1000", "29", "24") };
    let mut chaos = Command::new(env!("CARGO_BIN_EXE_etcd-api-chaos"));
    chaos.args(["--etcd", &folder, "--handoffs", handoffs, "--faults", faults, "--pauses", pauses]);
    let output = chaos.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    if let Some(reason) = said.lines().find(|line| line.starts_with("no faults between members")) {
        skip::leave_out(reason);
    }
}
