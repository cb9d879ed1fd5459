//! A line to a server on which every byte is late.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
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

/// Is the line, until killed.
pub fn run(server: u16) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (client, _) = listener.accept()?;
        let server = TcpStream::connect(("127.0.0.1", server))?;
        for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            to.set_nodelay(true)?;
            let (under_way, arriving) = channel();
            std::thread::spawn(move || read(from, under_way));
            std::thread::spawn(move || write(arriving, to));
        }
    }
}

/// Notes when each piece has to arrive; reading never waits for what arrives earlier.
fn read(mut from: TcpStream, under_way: Sender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        if under_way.send((Instant::now() + DELAY, buffer[..size].to_vec())).is_err() {
            return;
        }
    }
}

fn write(arriving: Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, bytes) in arriving {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
