//! The platform room: every call that depends on the operating system.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread;

/// What ends a wait for a lock and is passed on to a command that runs under one.
const ENDING: [i32; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// A signal that came.
#[derive(Debug, Clone, Copy)]
pub struct Signal {
    pub number: i32,
    /// Sent by a process to this one, not by the terminal to all its foreground processes.
    pub from_process: bool,
}

/// The signals that were blocked when this program started; a command is to start with the same.
#[derive(Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

/// From now on hands the ending signals and SIGCHLD to `handle`, on a thread of its own. To be called before
/// other threads start, because those inherit what is blocked.
pub fn listen(mut handle: impl FnMut(Signal) + Send + 'static) -> io::Result<SignalMask> {
    let (set, before) = block();
    let thread = thread::Builder::new().name("signals".into());
    thread.spawn(move || {
        loop {
            handle(next_signal(&set));
        }
    })?;
    Ok(before)
}

/// Blocks what is to be waited for. Tells that, and what was blocked before.
fn block() -> (libc::sigset_t, SignalMask) {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset writes the whole set before anything reads it; the numbers are signals. Asking for
    // a signal's action writes the sigaction that is read next.
    unsafe {
        // Inherited as ignored, it would take the command's exit status away.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        for number in ENDING {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            libc::sigaction(number, std::ptr::null(), action.as_mut_ptr());
            // What was ignored when this program started (nohup, a shell's background job) stays so.
            if action.assume_init().sa_sigaction != libc::SIG_IGN {
                libc::sigaddset(set.as_mut_ptr(), number);
            }
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
        (set.assume_init(), SignalMask(before.assume_init()))
    }
}

#[cfg(target_os = "linux")]
fn next_signal(set: &libc::sigset_t) -> Signal {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: both point to what the call reads and writes.
        let number = unsafe { libc::sigwaitinfo(set, info.as_mut_ptr()) };
        // It fails when this process was stopped and goes on.
        if number > 0 {
            // SAFETY: written by the successful call, and zeros are valid anyway.
            let info = unsafe { info.assume_init() };
            // The kernel's own codes, the terminal's among them, are positive.
            return Signal { number, from_process: info.si_code <= 0 };
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn next_signal(set: &libc::sigset_t) -> Signal {
    let mut number = 0;
    // SAFETY: both point to what the call reads and writes.
    while unsafe { libc::sigwait(set, &mut number) } != 0 {}
    // Nothing says who sent it. Those two mostly come from the keyboard; twice would be worse than not at all.
    Signal { number, from_process: !matches!(number, libc::SIGINT | libc::SIGQUIT) }
}

/// Sends a signal to a command that has not been waited for yet, so that its process id is still its own.
pub fn send_signal(child: &Child, number: i32) {
    // SAFETY: takes no pointers. It can fail only when the command has ended, which is told in another way.
    unsafe { libc::kill(child.id() as libc::pid_t, number) };
}

/// Prepares a command for running under a lock: it gets signals as if this program were not between, and the
/// system ends it with SIGTERM when this process ends without releasing the lock, as by `kill -9`. (Only
/// Linux can do that, and not for a program that gains privileges when it starts.)
pub fn prepare(command: &mut Command, mask: SignalMask) {
    let parent = std::process::id();
    let before_exec = move || {
        end_with(parent)?;
        // SAFETY: reads the mask and is allowed between fork and exec.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &mask.0, std::ptr::null_mut()) };
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no locks.
    unsafe { command.pre_exec(before_exec) };
}

#[cfg(target_os = "linux")]
fn end_with(parent: u32) -> io::Result<()> {
    // SAFETY: two system calls without pointers, allowed between fork and exec.
    let orphan = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        // The parent may have ended before that call.
        libc::getppid() as u32 != parent
    };
    if orphan { Err(io::Error::from_raw_os_error(libc::ESRCH)) } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
fn end_with(_parent: u32) -> io::Result<()> {
    Ok(())
}

/// Calls `then`, on a thread of its own, when standard output is a pipe and its last reader goes away.
pub fn when_output_has_no_reader(then: impl FnOnce() + Send + 'static) {
    let wait = move || {
        let mut output = libc::pollfd { fd: libc::STDOUT_FILENO, events: 0, revents: 0 };
        // SAFETY: one pollfd, and the call is told so. Without events, only the end of the reader wakes it.
        let polled = unsafe { libc::poll(&mut output, 1, -1) };
        if polled == 1 && output.revents & libc::POLLERR != 0 {
            then();
        }
    };
    // Without a thread for it, the next write tells.
    let _ = thread::Builder::new().name("output".into()).spawn(wait);
}
