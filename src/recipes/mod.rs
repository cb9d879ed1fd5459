//! What programs build from keys, leases and watches.

pub mod lock;
