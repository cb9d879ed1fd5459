//! Another process of this program, to be stopped and killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::spawn;

/// Killed when dropped.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    pub fn start(arguments: &[String]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = spawn(&mut command).expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
        });
        let input = child.stdin.take();
        Process { child, input, lines }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its next line that begins with this word, within this time; the rest of it.
    pub fn wait_for(&self, word: &str, limit: Duration) -> Option<String> {
        let end = std::time::Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            if let Some(rest) = line.strip_prefix(word) {
                return Some(rest.trim().to_owned());
            }
        }
    }

    pub fn tell(&mut self, line: &str) {
        let told = self.input.as_mut().map(|input| writeln!(input, "{line}"));
        assert!(matches!(told, Some(Ok(()))), "it listens");
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: our own child, not waited for yet.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Asks it to end. All it said, if it has ended within this time.
    pub fn end(mut self, limit: Duration) -> Result<Vec<String>, Vec<String>> {
        self.input = None;
        let end = std::time::Instant::now() + limit;
        let mut all: Vec<String> = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(std::time::Instant::now())) {
                Ok(line) => all.push(line),
                // It has closed its output.
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Ok(all),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return Err(all),
            }
        }
    }

    /// Kills it without warning. All it said.
    pub fn kill(self) -> Vec<String> {
        self.signal(libc::SIGKILL);
        self.end(Duration::from_secs(5)).unwrap_or_else(|all| all)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
