//! Tests that judge their whole process: its time, its memory, its threads; and those that keep the machine busy.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};

/// Lets one test at a time measure how late something is, or keep the machine busy: the others would be judged for
/// what it does.
pub fn my_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Whether this process is here for this one test. Where it is not, one is started that is, and must succeed.
pub fn alone(test: &str) -> bool {
    alone_with(test, &[])
}

/// The same with these variables for that process.
pub fn alone_with(test: &str, variables: &[(&str, &Path)]) -> bool {
    const VARIABLE: &str = "ETCD_API_TEST_ALONE";
    if std::env::var_os(VARIABLE).is_some() {
        return true;
    }
    let tests = std::env::current_exe().expect("this program");
    let mut command = Command::new(tests);
    command.args(["--exact", test, "--nocapture"]).env(VARIABLE, "1").envs(variables.iter().copied());
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    assert!(text.contains("running 1 test"), "there is no test {test}: {text}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}
