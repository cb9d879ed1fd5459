//! A network for the members of a cluster alone, in which the ways between them fail on demand. It is made of network
//! namespaces and a bridge, and lies in a namespace itself: nothing of the machine's own network is touched, and what is
//! left when this program ends, however it does, is nothing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

const BRIDGE: &str = "members";
/// Nobody has it: what is sent there is lost without a word.
const NOBODY: &str = "02:00:00:00:00:99";

/// Takes this process, which has one thread yet, out of the machine's network into a new one with loopback and the
/// members' bridge. An error says why that is not to be had here; then nothing has changed.
pub fn leave_the_machines() -> Result<(), String> {
    let before = File::open("/proc/self/ns/net").map_err(|error| error.to_string())?;
    go_apart().map_err(|error| error.to_string())?;
    let made = make_bridge();
    if made.is_err() {
        go_to(&before).expect("a namespace that it was in");
    }
    made
}

fn make_bridge() -> Result<(), String> {
    Ip::start(Command::new("ip"))?.run(&[
        "link set lo up".into(),
        format!("link add {BRIDGE} type bridge"),
        format!("addr add {}/24 dev {BRIDGE}", address(254)),
        format!("link set {BRIDGE} up"),
    ])
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

fn go_apart() -> io::Result<()> {
    // SAFETY: a system call without pointers.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn go_to(namespace: &File) -> io::Result<()> {
    // SAFETY: a system call without pointers, on a file that is open.
    let done = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where a member runs, with an address of its own at the bridge. It is there as long as anything runs in it.
pub struct Host {
    pub address: Ipv4Addr,
    namespace: File,
    ip: Mutex<Ip>,
}

impl Host {
    /// The one with this number. Fails where [`leave_the_machines`] did not succeed.
    pub fn new(number: u8) -> Result<Self, String> {
        let mut command = Command::new("ip");
        // SAFETY: one system call without pointers between fork and exec.
        unsafe { command.pre_exec(go_apart) };
        let mut ip = Ip::start(command)?;
        let pid = ip.process.id();
        let namespace = File::open(format!("/proc/{pid}/ns/net")).map_err(|error| error.to_string())?;
        let (name, address) = (format!("member{number}"), address(number));
        Ip::start(Command::new("ip"))?.run(&[
            format!("link add {name} type veth peer name eth0 netns {pid}"),
            format!("link set {name} master {BRIDGE} up"),
        ])?;
        ip.run(&[
            "link set lo up".into(),
            format!("addr add {address}/24 dev eth0"),
            "link set eth0 up".into(),
        ])?;
        Ok(Host { address, namespace, ip: Mutex::new(ip) })
    }

    /// Has a command start here.
    pub fn take_in(&self, command: &mut Command) -> io::Result<()> {
        let namespace = self.namespace.try_clone()?;
        // SAFETY: one system call without pointers between fork and exec.
        unsafe { command.pre_exec(move || go_to(&namespace)) };
        Ok(())
    }

    /// From now on nothing that is sent from here reaches `other`. What `other` sends still comes.
    pub fn cut(&self, other: &Host) {
        self.run(format!("neigh replace {} lladdr {NOBODY} dev eth0 nud permanent", other.address));
    }

    /// From now on it does again.
    pub fn mend(&self, other: &Host) {
        self.run(format!("neigh del {} dev eth0", other.address));
    }

    fn run(&self, order: String) {
        let mut ip = self.ip.lock().unwrap_or_else(PoisonError::into_inner);
        ip.run(&[order]).unwrap_or_else(|error| panic!("{}: {error}", self.address));
    }
}

/// `ip`, which takes orders until nobody can give it any: a namespace that it lives in needs no name.
struct Ip {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Ip {
    fn start(mut command: Command) -> Result<Self, String> {
        command.args(["-oneline", "-batch", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| format!("ip: {error}"))?;
        let (orders, answers) = (process.stdin.take().expect("piped"), process.stdout.take());
        Ok(Ip { process, orders, answers: BufReader::new(answers.expect("piped")) })
    }

    /// Waits until all of it is done.
    fn run(&mut self, orders: &[String]) -> Result<(), String> {
        // The last one answers with a line, whatever those before it say; after one that failed, there is none.
        let all = orders.join("\n") + "\nlink show lo\n";
        let mut line = String::new();
        let told = self.orders.write_all(all.as_bytes()).and_then(|()| self.answers.read_line(&mut line));
        if matches!(told, Ok(1..)) {
            return Ok(());
        }
        let mut errors = String::new();
        let said = self.process.stderr.as_mut().map(|pipe| pipe.read_to_string(&mut errors));
        Err(format!("ip {orders:?}: {told:?} {said:?} {}", errors.trim().replace('\n', ", ")))
    }
}

impl Drop for Ip {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
