//! Locks and elections, on the client alone.

pub mod election;
pub mod inspect;
pub mod lock;
