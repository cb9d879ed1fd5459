//! A real etcd: on loopback, on free ports, with data in memory; killed by pid, however this program ends.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Result;

pub const VERSION: &str = "3.5.16";

/// Where a server is to be found.
#[derive(Clone)]
pub struct Place {
    pub port: u16,
    /// What vouches for it, when it speaks TLS.
    pub ca: PathBuf,
    tls: Option<Arc<ClientConfig>>,
}

impl Place {
    pub fn secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Its address, with an `s` behind the scheme for TLS.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}{}://127.0.0.1:{}", if self.secure() { "s" } else { "" }, self.port)
    }

    /// The same server behind another port.
    pub fn at(&self, port: u16) -> Self {
        Place { port, ..self.clone() }
    }

    /// A bare connection.
    pub fn connect(&self) -> Result<Socket> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_nodelay(true)?;
        // Over only when something is broken.
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(match &self.tls {
            None => Socket::Plain(socket),
            Some(config) => {
                let session = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
                Socket::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        })
    }
}

/// A blocking connection.
pub enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(socket) => socket.read(buffer),
            Socket::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(socket) => socket.write(bytes),
            Socket::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(_) => Ok(()),
            Socket::Tls(stream) => stream.flush(),
        }
    }
}

/// A folder in memory, where there is one.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Result<Self> {
        let folder = memory().join(format!("etcd-api-{}-bench-{name}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Folder(folder))
    }
}

fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Removes the folders of runs that were killed: they may be large. (The tests, whose folders are named alike, would
/// do it, too.)
pub fn remove_leftovers() {
    for entry in std::fs::read_dir(memory()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("etcd-api-").and_then(|rest| rest.split_once("-bench-"));
        if owner.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A certificate for this machine that vouches for itself.
pub struct Certificate(Folder);

impl Certificate {
    pub fn new() -> Result<Self> {
        let certificate = Certificate(Folder::new("certificate")?);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        std::fs::write(certificate.pem(), made.cert.pem())?;
        std::fs::write(certificate.key(), made.signing_key.serialize_pem())?;
        Ok(certificate)
    }

    pub fn pem(&self) -> PathBuf {
        self.0.0.join("server.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.0.join("server.key")
    }

    /// For a client that trusts it.
    fn trusting(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.pem())?)?;
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

/// A server.
pub struct Etcd {
    process: Child,
    place: Place,
    health: u16,
    _data: Folder,
}

impl Etcd {
    /// Starts one and waits until it serves.
    pub fn start(certificate: &Certificate, secure: bool) -> Result<Self> {
        let (port, health) = (free_port()?, free_port()?);
        let data = Folder::new(&format!("data-{port}"))?;
        let tls = if secure { Some(certificate.trusting()?) } else { None };
        let place = Place { port, ca: certificate.pem(), tls };
        let mut command = command(&data, &place.url("http"), health)?;
        if secure {
            command.arg("--cert-file").arg(certificate.pem()).arg("--key-file").arg(certificate.key());
        }
        let mut etcd = Etcd { process: command.spawn()?, place, health, _data: data };
        etcd.wait()?;
        Ok(etcd)
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The CPU time that it has used so far.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
        // SAFETY: a system call without pointers.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        Ok(Duration::from_secs_f64(ticks as f64 / per_second))
    }

    /// How many calls it has been asked for so far; streams count once.
    pub fn requests(&self) -> Result<f64> {
        let metrics = get(self.health, "/metrics").ok_or("no metrics")?;
        let lines = metrics.lines().filter(|line| line.starts_with("grpc_server_started_total{"));
        Ok(lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }

    fn wait(&mut self) -> Result<()> {
        let start = Instant::now();
        while !get(self.health, "/health").is_some_and(|answer| answer.contains("\"health\":\"true\"")) {
            if self.process.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(30) {
                return Err("etcd does not start".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(data: &Folder, url: &str, health: u16) -> Result<Command> {
    let mut command = Command::new(binaries()?.join("etcd"));
    // Variables such as ETCD_NAME are flags to it.
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Data in memory has no disk to wait for. Large values are compacted away between rounds.
    command.args(["--unsafe-no-fsync", "--snapshot-count=10000", "--quota-backend-bytes=8589934592"]);
    command.arg("--data-dir").arg(data.0.join("etcd"));
    command.args(["--listen-client-urls", url, "--advertise-client-urls", url]);
    command.arg(format!("--listen-metrics-urls=http://127.0.0.1:{health}"));
    // A single member never talks to a peer: any free port will do, and 0 is one.
    let peer = "http://127.0.0.1:0";
    command.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
    command.args(["--name=bench", &format!("--initial-cluster=bench={peer}")]);
    ends_with_us(&mut command);
    Ok(command)
}

/// The kernel kills the process when this one ends. (It looks at the thread that starts it: our first.)
pub fn ends_with_us(command: &mut Command) {
    // SAFETY: a system call without pointers, allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        })
    };
}

/// Where the pinned server is, once it is there.
fn binaries() -> Result<PathBuf> {
    let fetch = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/setup/fetch");
    let output = Command::new(fetch).arg(format!("etcd-{VERSION}")).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("there is no etcd {VERSION} to be had").into());
    }
    Ok(Path::new(String::from_utf8(output.stdout)?.trim()).join("usr/bin"))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What it answers on its port for that, if it does.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
