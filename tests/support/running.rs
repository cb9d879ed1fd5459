//! A program that runs beside the test: its output line by line, its signals, its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Killed, by pid, when dropped.
pub struct Running {
    process: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = process.stdout.take().map(BufReader::new);
        Running { process, output }
    }

    /// The next line of its standard output, once it is there; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.as_mut().expect("not closed").read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    /// What the next `count` lines are.
    pub fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.line()).collect()
    }

    /// Nobody reads its standard output any more.
    pub fn close_output(&mut self) {
        self.output = None;
    }

    /// Its standard error, to the end.
    pub fn errors(&mut self) -> String {
        let mut errors = String::new();
        self.process.stderr.as_mut().expect("piped").read_to_string(&mut errors).expect("text");
        errors
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("waitable").is_none()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: our own child, not waited for yet.
        assert_eq!(unsafe { libc::kill(self.process.id() as i32, signal) }, 0);
    }

    /// Its exit code, once it ends; -1 when a signal ended it.
    pub fn code(&mut self) -> i32 {
        self.process.wait().expect("it ends").code().unwrap_or(-1)
    }

    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
