//! Real etcd servers: on loopback, on free ports, with data in memory; killed by pid when dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Host, Pki, TempDir, binaries, free_port, skip, spawn};

/// The versions that every test on a real server runs on.
pub const VERSIONS: [&str; 3] = ["3.4.23", "3.5.16", "3.7.3"];

/// The last one whose gateway answers below /v3beta.
const BETA_GATEWAY: &str = "3.3.25";

/// Those of the conformance suite: the oldest that is spoken to, and the newest of each line since then.
pub const ALL_VERSIONS: [&str; 5] = [BETA_GATEWAY, VERSIONS[0], VERSIONS[1], "3.6.16", VERSIONS[2]];

/// One server, alone or a member of a cluster.
pub struct Etcd {
    member: Member,
    data: TempDir,
    process: Child,
}

/// How a server is started, and started again.
struct Member {
    binaries: PathBuf,
    knows_no_fsync: bool,
    name: &'static str,
    /// Where it runs, if not on loopback.
    host: Option<Arc<Host>>,
    port: u16,
    /// Where a server that wants TLS tells without it how it is.
    health_port: Option<u16>,
    peer: String,
    cluster: String,
    flags: Vec<String>,
}

impl Etcd {
    /// Starts a server and waits until it serves; `None` (and the test is noted as skipped) where this
    /// version is not to be had.
    pub fn start(version: &str) -> Option<Self> {
        Self::start_with(version, &[])
    }

    /// The same with further flags.
    pub fn start_with(version: &str, flags: &[&str]) -> Option<Self> {
        Self::start_alone(version, flags.iter().map(|&flag| flag.to_owned()).collect(), false)
    }

    /// One that speaks TLS, with the certificate `name` of `pki`; it wants one from its clients, too.
    pub fn start_secure(version: &str, pki: &Pki, name: &str) -> Option<Self> {
        let file = |flag: &str, file: PathBuf| format!("--{flag}={}", file.display());
        let flags = vec![
            file("cert-file", pki.certificate(name)),
            file("key-file", pki.key(name)),
            file("trusted-ca-file", pki.certificate("ca")),
            "--client-cert-auth".to_owned(),
        ];
        Self::start_alone(version, flags, true)
    }

    fn start_alone(version: &str, flags: Vec<String>, secure: bool) -> Option<Self> {
        // A single member never talks to a peer: any free port will do, and 0 is one.
        let peer = "http://127.0.0.1:0".to_owned();
        let cluster = format!("first={peer}");
        let mut etcd = Self::launch(version, "first", None, peer, cluster, flags, secure)?;
        etcd.must_serve();
        Some(etcd)
    }

    /// Starts a cluster of three.
    pub fn start_three(version: &str) -> Option<Vec<Self>> {
        Self::start_three_on(version, [None, None, None])
    }

    /// The same with each member on a host of its own.
    pub fn start_three_apart(version: &str, hosts: [Host; 3]) -> Option<Vec<Self>> {
        Self::start_three_on(version, hosts.map(|host| Some(Arc::new(host))))
    }

    fn start_three_on(version: &str, hosts: [Option<Arc<Host>>; 3]) -> Option<Vec<Self>> {
        let mut names = ["first", "second", "third"].into_iter();
        let members = hosts.map(|host| {
            let peer = format!("http://{}:{}", address_of(host.as_deref()), free_port());
            (names.next().expect("three"), host, peer)
        });
        let cluster = members.each_ref().map(|(name, _, peer)| format!("{name}={peer}")).join(",");
        let launch =
            |(name, host, peer)| Self::launch(version, name, host, peer, cluster.clone(), Vec::new(), false);
        let mut members: Vec<Self> = members.map(launch).into_iter().collect::<Option<_>>()?;
        members.iter_mut().for_each(Etcd::must_serve);
        Some(members)
    }

    /// Starts a cluster of one voter that has, beside it, a learner: it gets all data but has no vote.
    pub fn start_with_learner(version: &str) -> Option<(Self, Self)> {
        let peer = || format!("http://127.0.0.1:{}", free_port());
        let (voters, learners) = (peer(), peer());
        let alone = format!("voter={voters}");
        let mut voter = Self::launch(version, "voter", None, voters, alone.clone(), Vec::new(), false)?;
        voter.must_serve();
        voter.ask(&["member", "add", "learner", "--learner", &format!("--peer-urls={learners}")]);
        let (cluster, joins) = (format!("{alone},learner={learners}"), "--initial-cluster-state=existing");
        let flags = vec![joins.to_owned()];
        let learner = Self::launch(version, "learner", None, learners, cluster, flags, false)?;
        Some((voter, learner))
    }

    fn launch(
        version: &str,
        name: &'static str,
        host: Option<Arc<Host>>,
        peer: String,
        cluster: String,
        flags: Vec<String>,
        secure: bool,
    ) -> Option<Self> {
        let binaries = match binaries(version) {
            Ok(folder) => folder,
            Err(reason) => {
                skip(&reason);
                return None;
            }
        };
        let knows_no_fsync = version != BETA_GATEWAY;
        let health_port = secure.then(free_port);
        let port = free_port();
        let member = Member { binaries, knows_no_fsync, name, host, port, health_port, peer, cluster, flags };
        let data = TempDir::new();
        let process = member.launch(&data);
        Some(Etcd { member, data, process })
    }

    /// `host:port`, as users write it.
    pub fn servers(&self) -> String {
        self.address().to_string()
    }

    pub fn port(&self) -> u16 {
        self.member.port
    }

    /// Where it listens for clients.
    pub fn address(&self) -> SocketAddrV4 {
        self.member.address(self.member.port)
    }

    /// Its host, if it has one of its own.
    pub fn host(&self) -> Option<&Host> {
        self.member.host.as_deref()
    }

    /// What `etcd_leader` says when this one leads.
    pub fn name(&self) -> &str {
        self.member.name
    }

    /// An `etcdctl` of the server's own version, pointed at it.
    pub fn etcdctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.member.binaries.join("etcdctl"));
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", self.servers()));
        // A server's certificate is good for a client, too.
        for (servers, tools) in [("cert-file", "cert"), ("key-file", "key"), ("trusted-ca-file", "cacert")] {
            let file = self.member.flags.iter().find_map(|flag| flag.strip_prefix(&format!("--{servers}=")));
            command.args(file.map(|file| format!("--{tools}={file}")));
        }
        command.args(arguments);
        command
    }

    /// What an `etcdctl` command prints.
    pub fn ask(&self, arguments: &[&str]) -> String {
        let output = self.etcdctl(arguments).output().expect("etcdctl runs");
        assert!(output.status.success(), "etcdctl {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    /// Kills it without warning.
    pub fn kill(&mut self) {
        self.process.kill().expect("the server was running");
        self.process.wait().expect("the server ends");
    }

    /// Tells it to end, as an upgrade does, and waits until it has.
    pub fn terminate(&mut self) {
        self.signal(libc::SIGTERM);
        self.process.wait().expect("the server ends");
    }

    /// Starts it again on the same port and data.
    pub fn revive(&mut self) {
        self.process = self.member.launch(&self.data);
        self.must_serve();
    }

    /// Kills it, and starts another one on the same port with nothing of its data, and with this flag.
    pub fn replace(&mut self, flag: &str) {
        self.kill();
        self.data = TempDir::new();
        self.member.flags.push(flag.to_owned());
        self.revive();
    }

    /// Stops it in the middle of whatever it does, and waits until all of it stands still.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: our child; WUNTRACED only tells that it stopped.
        unsafe { libc::waitpid(self.process.id() as i32, &mut status, libc::WUNTRACED) };
        assert!(libc::WIFSTOPPED(status));
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the process is our child and not waited for yet.
        assert_eq!(unsafe { libc::kill(self.process.id() as i32, signal) }, 0);
    }

    /// Waits until it serves, and tells what it logged last when it does not.
    fn must_serve(&mut self) {
        let address = self.member.address(self.member.health_port.unwrap_or(self.member.port));
        let start = Instant::now();
        // Another one may have the port: then ours is about to end.
        while !(is_healthy(address) && listens(self.process.id(), address.port())) {
            let ended = self.process.try_wait().expect("waitable");
            if ended.is_some() || start.elapsed() > Duration::from_secs(60) {
                let log = std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                panic!(
                    "etcd {:?} at {address} does not serve ({ended:?}); newest first: {last:#?}",
                    self.name()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether it is this process that listens on a port.
fn listens(process: u32, port: u16) -> bool {
    const LISTENING: &str = "0A";
    // Of the network that it is in.
    let tables = ["tcp", "tcp6"].map(|table| format!("/proc/{process}/net/{table}"));
    let tables = tables.map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let inode = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, LISTENING, .., inode] = columns.get(..10)? else { return None };
        let (_, local) = local.rsplit_once(':')?;
        (u16::from_str_radix(local, 16) == Ok(port)).then(|| format!("socket:[{inode}]"))
    };
    let sockets: Vec<String> = tables.iter().flat_map(|table| table.lines().filter_map(inode)).collect();
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
}

fn address_of(host: Option<&Host>) -> Ipv4Addr {
    host.map_or(Ipv4Addr::LOCALHOST, |host| host.address)
}

fn is_healthy(address: SocketAddrV4) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains("\"health\":\"true\"").then_some(())
    };
    ask().is_some()
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Member {
    fn address(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(address_of(self.host.as_deref()), port)
    }

    fn launch(&self, data: &TempDir) -> Child {
        let log = std::fs::File::create(data.path().join("log")).expect("a log file");
        let scheme = if self.health_port.is_some() { "https" } else { "http" };
        let client = format!("{scheme}://{}", self.address(self.port));
        let mut command = Command::new(self.binaries.join("etcd"));
        // Variables such as ETCD_NAME are flags to it.
        command.env_clear();
        if self.knows_no_fsync {
            // Data in memory has no disk to wait for.
            command.arg("--unsafe-no-fsync");
        }
        if let Some(port) = self.health_port {
            command.arg(format!("--listen-metrics-urls=http://127.0.0.1:{port}"));
        }
        command
            .args(["--name", self.name, "--data-dir"])
            .arg(data.path().join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &self.peer, "--initial-advertise-peer-urls", &self.peer])
            .args(["--initial-cluster", &self.cluster])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(host) = &self.host {
            host.take_in(&mut command).expect("a file more");
        }
        spawn(&mut command).expect("etcd starts")
    }
}
