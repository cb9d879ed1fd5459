//! How watches come back after an outage. When all is well each opens its stream again at once; once one has failed to,
//! the others leave the next try to one of them, after a pause, so that a client with many watches costs its dead
//! servers, and its own machine, no more than one with a single watch.

use super::retry;
use crate::wait::{Cancel, Deadline, Monitor};

/// Of one client.
pub struct Recovery(Monitor<State>);

#[derive(Default)]
struct State {
    /// How many tries in a row have failed; 0: all is well.
    failures: u32,
    /// One has the right to try; the others wait for how that ends.
    is_taken: bool,
}

impl Default for Recovery {
    fn default() -> Self {
        Recovery(Monitor::new(State::default()))
    }
}

/// The right to try.
pub struct Turn<'a> {
    recovery: &'a Recovery,
    /// Others wait for it.
    is_only: bool,
}

impl Recovery {
    /// Whether the last try succeeded: nobody has to wait for another one's.
    pub fn is_well(&self) -> bool {
        self.0.read(|state| state.failures == 0)
    }

    /// Waits until the caller may try, or may not wait any longer.
    pub fn turn(&self, deadline: Deadline, cancel: &Cancel) -> Turn<'_> {
        let claim = |state: &mut State| match state.failures {
            0 => Some(false),
            _ => (!std::mem::replace(&mut state.is_taken, true)).then_some(true),
        };
        let is_only = self.0.wait(deadline, cancel, claim).unwrap_or(false);
        Turn { recovery: self, is_only }
    }
}

impl<'a> Turn<'a> {
    /// It works: everybody may try at once.
    pub fn succeeded(mut self) {
        self.is_only = false;
        self.recovery.0.update(|state| *state = State::default());
    }

    /// It does not work yet. Waits: whoever has the only right, a little; the others for how that ends.
    pub fn failed(mut self, deadline: Deadline, cancel: &Cancel) -> Turn<'a> {
        let recovery = self.recovery;
        let is_only = self.is_only;
        let fail = |state: &mut State| {
            let first = !std::mem::replace(&mut state.is_taken, true);
            let mine = is_only || first;
            state.failures += u32::from(mine);
            Some(mine.then_some(state.failures))
        };
        // Nobody need be woken for this.
        match recovery.0.wait(Deadline::NEVER, Cancel::NEVER, fail).ok().flatten() {
            Some(failures) => {
                self.is_only = true;
                retry::pause(failures - 1, deadline, cancel);
                self
            }
            None => recovery.turn(deadline, cancel),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_only {
            self.recovery.0.update(|state| state.is_taken = false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn many_try_one_at_a_time_and_all_go_on_when_one_succeeds() {
        let (recovery, tries) = (Recovery::default(), AtomicUsize::new(0));
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    let mut turn = recovery.turn(Deadline::NEVER, Cancel::NEVER);
                    loop {
                        tries.fetch_add(1, Ordering::SeqCst);
                        if start.elapsed() > Duration::from_millis(500) {
                            return turn.succeeded();
                        }
                        turn = turn.failed(Deadline::NEVER, Cancel::NEVER);
                    }
                });
            }
        });
        // Those that began before it was known that all fail failed once, one of them a few times more, then all
        // came through.
        let tries = tries.into_inner();
        assert!((51..=110).contains(&tries), "{tries}");
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[test]
    fn a_deadline_or_a_cancel_ends_the_wait_for_a_turn() {
        let recovery = Recovery::default();
        let only = recovery.turn(Deadline::NEVER, Cancel::NEVER).failed(Deadline::NEVER, Cancel::NEVER);
        let start = Instant::now();
        drop(recovery.turn(Deadline::after(Duration::from_millis(20)), Cancel::NEVER));
        assert!(start.elapsed() >= Duration::from_millis(20));
        let cancel = Cancel::new();
        cancel.trigger();
        drop(recovery.turn(Deadline::NEVER, &cancel));
        drop(only);
        assert!(
            recovery.turn(Deadline::NEVER, Cancel::NEVER).is_only,
            "one that gave up is followed by another"
        );
    }
}
