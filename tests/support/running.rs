//! A program that runs beside the test: its output line by line, its signals, its end.

use std::io;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, mpsc};
use std::time::Duration;

/// Starts a process that the kernel kills when the tests end, however they do.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    // SAFETY: system calls without pointers, allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // Tests that run in the background have these ignored, and a program would inherit that.
            for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        })
    };
    // The kernel looks at the thread that starts it: this one lives as long as the tests do.
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (orders, to_start) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in to_start {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let command = std::mem::replace(command, Command::new("taken"));
    let (answer, started) = mpsc::channel();
    let starter = STARTER.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    starter.send((command, answer)).expect("the starter lives as long as the tests do");
    started.recv().expect("it answers")
}

/// Killed, by pid, when dropped.
pub struct Running {
    process: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = format!("{command:?}");
        let mut process = spawn(command).unwrap_or_else(|error| panic!("{name}: {error}"));
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

    /// Hands each further line of its standard output to `told`, on a thread of its own.
    pub fn tell_lines(&mut self, mut told: impl FnMut(String) + Send + 'static) {
        let output = self.output.take().expect("not closed");
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(&mut told));
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

    /// What it has used of the processors so far.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it is there");
        // Behind the name, which may hold anything: the 12th and 13th number are ticks.
        let numbers: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| numbers[place].parse::<u64>().expect("a number");
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
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
