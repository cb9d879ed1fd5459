//! The platform room: every call that depends on the operating system.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use once_cell::race::OnceBox;

/// Time since boot that also runs while the machine is suspended (where the system has such a clock).
/// Deadlines of leases are counted on it: a server's lease runs on while this machine sleeps.
pub fn boot_time() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: clock_gettime writes the timespec it is given; these clocks always exist.
    let now = unsafe {
        libc::clock_gettime(CLOCK, now.as_mut_ptr());
        now.assume_init()
    };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Starts a library thread with all signals blocked: signals are the host program's business.
pub fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are written before they are read; a thread inherits its creator's mask.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let thread = Builder::new().name(name.into()).spawn(body);
    // SAFETY: `before` was filled in above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    thread
}

/// Lets the system find out by itself, within half a minute of silence, that a connection's other end is gone
/// without a word: a machine that lost power, a router that forgot the connection.
pub fn detect_dead_peer(socket: BorrowedFd) {
    let set = |level, name, value: libc::c_int| {
        let size = size_of_val(&value) as libc::socklen_t;
        // SAFETY: the descriptor is open, and the value is as long as said. Failing, it is only not detected.
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    };
    set(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
    #[cfg(target_os = "linux")]
    {
        set(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 10);
        set(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 5);
        set(libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3);
    }
}

/// Wakes a thread that waits in [`wait_ready`].
pub struct Signal {
    read: OwnedFd,
    /// The same as `read` where the system has counters to wait for.
    write: Option<OwnedFd>,
}

impl Signal {
    /// One that is not given.
    pub fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: a new descriptor, owned from here on.
            let event = unsafe {
                match libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) {
                    -1 => return Err(io::Error::last_os_error()),
                    event => OwnedFd::from_raw_fd(event),
                }
            };
            Ok(Signal { read: event, write: None })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let (read, write) = std::os::unix::net::UnixStream::pair()?;
            read.set_nonblocking(true)?;
            write.set_nonblocking(true)?;
            Ok(Signal { read: read.into(), write: Some(write.into()) })
        }
    }

    /// Gives it: whoever waits, and whoever waits next, goes on.
    pub fn give(&self) {
        let one = 1u64.to_ne_bytes();
        let to = self.write.as_ref().unwrap_or(&self.read).as_raw_fd();
        // SAFETY: an open descriptor, eight bytes. One that is full is given already.
        unsafe { libc::write(to, one.as_ptr().cast(), one.len()) };
    }

    /// Takes it back.
    fn take(&self) {
        let mut bytes = [0u8; 64];
        // SAFETY: an open descriptor that does not block, and a buffer as long as said.
        unsafe { libc::read(self.read.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    }
}

/// A pipe with a byte in it while there is something to tell to a host's event loop.
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    /// An empty one, neither end of which blocks or is inherited.
    pub fn new() -> io::Result<Self> {
        let (read, write) = io::pipe()?;
        let (read, write) = (OwnedFd::from(read), OwnedFd::from(write));
        for end in [&read, &write] {
            // SAFETY: an open descriptor.
            let done = unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
            if done != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Pipe { read, write })
    }

    /// Puts a byte in. (Its read end is open here, so that this never raises SIGPIPE.)
    pub fn fill(&self) {
        // SAFETY: an open descriptor and one byte. A pipe that is full can be read as well.
        unsafe { libc::write(self.write.as_raw_fd(), [1u8].as_ptr().cast(), 1) };
    }

    /// Puts a byte in unless there is one.
    pub fn fill_if_empty(&self) {
        let mut watched = libc::pollfd { fd: self.read.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor that is open.
        if unsafe { libc::poll(&mut watched, 1, 0) } == 0 {
            self.fill();
        }
    }

    /// Takes all bytes out.
    pub fn empty(&self) {
        let mut bytes = [0u8; 64];
        // SAFETY: an open descriptor that does not block, and a buffer as long as said.
        unsafe { libc::read(self.read.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    }

    /// The end to wait for. It stays the pipe's own.
    pub fn read_end(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// The same for somebody who will close it.
    pub fn copy_of_read_end(&self) -> io::Result<RawFd> {
        Ok(self.read.try_clone()?.into_raw_fd())
    }
}

/// Waits until a socket can be read (or written, if that is asked for too), has failed, or the signal was given.
/// `false`: the time is over. A signal handler that runs meanwhile is no reason to return.
pub fn wait_ready(socket: BorrowedFd, writes: bool, signal: &Signal, until: Option<Instant>) -> bool {
    let events = if writes { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
    let on = |fd, events| libc::pollfd { fd, events, revents: 0 };
    let mut watched = [on(socket.as_raw_fd(), events), on(signal.read.as_raw_fd(), libc::POLLIN)];
    loop {
        let time = match until {
            // Rounded up, so that the time is really over then.
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                left.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32
            }
            None => -1,
        };
        // SAFETY: two descriptors that are open.
        let ready = unsafe { libc::poll(watched.as_mut_ptr(), 2, time) };
        if ready > 0 {
            if watched[1].revents != 0 {
                signal.take();
            }
            return true;
        }
        if ready == 0 && until.is_some_and(|until| Instant::now() >= until) {
            return false;
        }
    }
}

/// Reads what is there, without waiting.
pub fn receive(socket: BorrowedFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    loop {
        // SAFETY: the descriptor is open, the buffer as long as said.
        let read =
            unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), NO_WAIT) };
        if read >= 0 {
            return Ok(read as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Sends as much as fits, without waiting and without SIGPIPE.
pub fn send(socket: BorrowedFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the descriptor is open, the buffer as long as said.
        let sent =
            unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), NO_WAIT | NO_PIPE) };
        if sent >= 0 {
            return Ok(sent as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

const NO_WAIT: libc::c_int = libc::MSG_DONTWAIT;
#[cfg(target_os = "linux")]
const NO_PIPE: libc::c_int = libc::MSG_NOSIGNAL;
/// There, the standard library tells each socket.
#[cfg(not(target_os = "linux"))]
const NO_PIPE: libc::c_int = 0;

/// Connects to a Unix socket. The system lets a blocking connect wait for as long as the server's backlog is
/// full.
pub fn connect_unix(path: &str, until: Option<Instant>) -> io::Result<UnixStream> {
    let Some(until) = until else { return UnixStream::connect(path) };
    loop {
        match try_connect_unix(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            result => return result,
        }
    }
}

/// Fails with `WouldBlock` where it would have to wait.
fn try_connect_unix(path: &str) -> io::Result<UnixStream> {
    // SAFETY: all zeros is a valid address.
    let mut address: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if path.len() >= address.sun_path.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long for a socket"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(path.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the descriptor is a new one and owned from here on; the address is as long as said.
    unsafe {
        let socket = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        let stream = UnixStream::from_raw_fd(socket);
        libc::fcntl(socket, libc::F_SETFD, libc::FD_CLOEXEC);
        stream.set_nonblocking(true)?;
        let size = size_of_val(&address) as libc::socklen_t;
        if libc::connect(socket, (&raw const address).cast(), size) != 0 {
            return Err(io::Error::last_os_error());
        }
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

/// A random lease id: positive, as etcd wants it, and never 0 (0 means "no lease").
pub fn random_id() -> i64 {
    let mut bytes = [0u8; 8];
    // SAFETY: the buffer is as long as said. getentropy fails only for more than 256 bytes.
    let failed = unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) } != 0;
    assert!(!failed, "the system gives no random bytes");
    (i64::from_ne_bytes(bytes) & i64::MAX).max(1)
}

/// The calling thread, as long as it lives. (The standard library's id would allocate for the host's threads.)
pub fn thread_id() -> usize {
    // SAFETY: asks for nothing.
    unsafe { libc::pthread_self() as usize }
}

/// This process's id: asked for once, also in each process forked from this one.
fn process_id() -> u32 {
    // In a child, the kernel makes zeros of the page.
    static KNOWN: OnceBox<ForgottenByForks> = OnceBox::new();
    let known = KNOWN.get_or_init(|| Box::new(ForgottenByForks::new()));
    let Some(word) = known.word() else { return std::process::id() };
    match word.load(Ordering::Relaxed) {
        0 => {
            let id = std::process::id();
            word.store(id, Ordering::Relaxed);
            id
        }
        id => id,
    }
}

/// A word that is 0 again in a forked child.
struct ForgottenByForks(*const AtomicU32);

// SAFETY: the word may be used by any thread.
unsafe impl Send for ForgottenByForks {}
// SAFETY: as above.
unsafe impl Sync for ForgottenByForks {}

impl ForgottenByForks {
    #[cfg(target_os = "linux")]
    fn new() -> Self {
        const SIZE: usize = 4096;
        let (may, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, of zeros; of no use if the kernel can't forget it.
        unsafe {
            let page = libc::mmap(std::ptr::null_mut(), SIZE, may, kind, -1, 0);
            if page == libc::MAP_FAILED {
                return ForgottenByForks(std::ptr::null());
            }
            if libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) != 0 {
                libc::munmap(page, SIZE);
                return ForgottenByForks(std::ptr::null());
            }
            ForgottenByForks(page.cast())
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn new() -> Self {
        ForgottenByForks(std::ptr::null())
    }

    /// `None` where the system has no such thing.
    fn word(&self) -> Option<&AtomicU32> {
        // SAFETY: NULL, or a page that is never given back.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for ForgottenByForks {
    /// Two threads may make one at once; only one is kept.
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: nobody else knows it.
            unsafe { libc::munmap(self.0.cast_mut().cast(), 4096) };
        }
    }
}

/// A value that each process has for itself: a forked child begins with a new one, and never touches the
/// locks in its parent's, which may be held for ever there.
pub struct PerProcess<T>(OnceBox<Slot<T>>);

struct Slot<T> {
    process: u32,
    value: T,
    /// That of a process forked from this one.
    next: OnceBox<Slot<T>>,
}

impl<T: Default> PerProcess<T> {
    pub const fn new() -> Self {
        PerProcess(OnceBox::new())
    }

    /// This process's value.
    pub fn get(&self) -> &T {
        let process = process_id();
        let new = || Box::new(Slot { process, value: T::default(), next: OnceBox::new() });
        let mut slot = self.0.get_or_init(new);
        while slot.process != process {
            slot = slot.next.get_or_init(new);
        }
        &slot.value
    }
}

/// Writes a line to standard error, in one piece. Not through the standard library, whose lock a forked child may have
/// inherited from a thread that it does not have.
pub fn write_error(line: &str) {
    let line = format!("{line}\n");
    // SAFETY: as many bytes as said. What can't be written is lost: there is nobody to tell.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
}

/// Host name and process id, for people who look at a lock queue.
pub fn who() -> String {
    let mut name = [0u8; 256];
    // SAFETY: one byte less than the buffer, so that it always ends with NUL.
    unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(0);
    format!("{}:{}", String::from_utf8_lossy(&name[..end]), process_id())
}

/// Sets the calling thread's `errno`.
pub fn set_errno(number: i32) {
    #[cfg(target_os = "linux")]
    // SAFETY: the location is this thread's own.
    unsafe {
        *libc::__errno_location() = number;
    }
    #[cfg(target_os = "macos")]
    // SAFETY: as above.
    unsafe {
        *libc::__error() = number;
    }
}

/// A copy of `bytes` from `malloc`, with a NUL behind it; the caller frees it. NULL when there is no memory.
pub fn malloc_copy(bytes: &[u8]) -> *mut libc::c_char {
    // SAFETY: the buffer holds all bytes and the NUL, and is written only when there is one.
    unsafe {
        let copy = libc::malloc(bytes.len() + 1).cast::<u8>();
        if !copy.is_null() {
            copy.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            copy.add(bytes.len()).write(0);
        }
        copy.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_threads_block_all_signals() {
        let blocked = spawn("etcd-test", || {
            let mut set = MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: with a null new set, the call only reads this thread's mask.
            unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), set.as_mut_ptr());
                libc::sigismember(set.as_ptr(), libc::SIGTERM) == 1
            }
        });
        assert!(blocked.unwrap().join().unwrap());
    }

    #[test]
    fn lease_ids_are_positive_and_differ() {
        let ids: std::collections::HashSet<i64> = (0..1000).map(|_| random_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|&id| id > 0));
    }
}
