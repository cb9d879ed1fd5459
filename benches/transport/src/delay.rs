//! A line to a server on which every byte is late.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::ptr;
use std::time::{Duration, Instant};

use crate::Result;
use crate::etcd::ends_with_us;

/// Each way.
pub const DELAY: Duration = Duration::from_millis(1);

/// The argument that makes this program be the line.
pub const ARGUMENT: &str = "--delay-line";

/// A line in a process of its own, so that its work is not taken for a client's.
pub struct Delay {
    process: Child,
    port: u16,
}

impl Delay {
    /// Starts one to the server on a port.
    pub fn start(server: u16) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([ARGUMENT, &server.to_string()]).stdout(Stdio::piped());
        ends_with_us(&mut command);
        let mut process = command.spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        let mut delay = Delay { process, port: 0 };
        let mut port = String::new();
        BufReader::new(output).read_line(&mut port)?;
        delay.port = port.trim().parse()?;
        Ok(delay)
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is the line, until killed. One thread does it all: threads of the line would be in the way of the server's.
pub fn run(server: u16) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    // SAFETY: a system call without pointers. Waits end when they should, not 50 microseconds later.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let mut ways: Vec<Way> = Vec::new();
    loop {
        let mut readable = wait(&listener, &ways);
        if readable.next() == Some(true) {
            let (client, _) = listener.accept()?;
            ways.extend(Way::both(client, TcpStream::connect(("127.0.0.1", server))?)?);
        }
        for (way, readable) in ways.iter_mut().zip(readable) {
            if readable {
                way.take();
            }
        }
        ways.iter_mut().for_each(Way::deliver);
        ways.retain(|way| !way.ended);
    }
}

/// Waits until something comes or is due, and tells what can be read: the listener, then each way.
fn wait(listener: &TcpListener, ways: &[Way]) -> impl Iterator<Item = bool> + use<> {
    let sources = ways.iter().map(|way| way.from.as_raw_fd());
    let wanted = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut sources: Vec<_> = [listener.as_raw_fd()].into_iter().chain(sources).map(wanted).collect();
    let due = ways.iter().filter_map(|way| way.under_way.front()).map(|(due, _)| *due).min();
    let left = due.map(|due| due.saturating_duration_since(Instant::now()));
    let left = left.map(|left| libc::timespec {
        tv_sec: left.as_secs() as libc::time_t,
        tv_nsec: left.subsec_nanos().into(),
    });
    let left = left.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are to what is alive, or there is no limit; no signal mask.
    unsafe { libc::ppoll(sources.as_mut_ptr(), sources.len() as libc::nfds_t, left, ptr::null()) };
    sources.into_iter().map(|source| source.revents != 0)
}

/// One direction of a connection.
struct Way {
    from: TcpStream,
    to: TcpStream,
    /// What arrives when; nothing is the end.
    under_way: VecDeque<(Instant, Vec<u8>)>,
    ended: bool,
}

impl Way {
    fn both(client: TcpStream, server: TcpStream) -> Result<[Self; 2]> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let way = |from, to| Way { from, to, under_way: VecDeque::new(), ended: false };
        Ok([way(client.try_clone()?, server.try_clone()?), way(server, client)])
    }

    fn take(&mut self) {
        let mut buffer = [0; 1 << 16];
        let size = self.from.read(&mut buffer).unwrap_or(0);
        self.under_way.push_back((Instant::now() + DELAY, buffer[..size].to_vec()));
    }

    /// Small pieces for those who read: writing never takes long.
    fn deliver(&mut self) {
        while self.under_way.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let (_, bytes) = self.under_way.pop_front().expect("just seen");
            self.ended = bytes.is_empty() || self.to.write_all(&bytes).is_err();
            if self.ended {
                let _ = self.to.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}
