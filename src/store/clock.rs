//! Time for a store: the machine's, or one that a test moves.

use std::sync::Mutex;
use std::time::Duration;

use crate::sys;
use crate::wait::lock;

/// What a store's leases run on.
pub enum Clock {
    /// The machine's.
    Machine,
    /// Stands still until [`super::Store::advance`] moves it.
    Manual(Mutex<Duration>),
}

impl Clock {
    /// One that stands still.
    pub fn manual() -> Self {
        Clock::Manual(Mutex::new(Duration::ZERO))
    }

    pub(super) fn now(&self) -> Duration {
        match self {
            Clock::Machine => sys::boot_time(),
            Clock::Manual(now) => *lock(now),
        }
    }

    /// Moves a manual clock; the machine's moves by itself.
    pub(super) fn advance(&self, time: Duration) {
        if let Clock::Manual(now) = self {
            *lock(now) += time;
        }
    }

    pub(super) fn moves_by_itself(&self) -> bool {
        matches!(self, Clock::Machine)
    }
}
