//! The types that the functions share. Their comments are the header's.

use libc::{c_char, c_ushort};

/// How a call ended. Whenever it is not ETCD_OK, errno says more.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum etcd_result {
    /// It was done.
    ETCD_OK = 0,
    /// A server answered and refused: it was not done.
    ETCD_PROTOCOL_ERROR = 1,
    /// It could not be asked, or there was no answer. A change that was sent before the answer failed to
    /// come (ETIMEDOUT, ECONNRESET) may have been made: read before trying again.
    ETCD_WTF = 2,
}

/// One server in the list that etcd_open() takes.
#[repr(C)]
pub struct etcd_server {
    /// Its name or address; NULL ends the list. Anything that etcd_open_str() takes may stand here too.
    pub host: *mut c_char,
    /// Its client port; 0 for the default port (2379, or ETCD_API_DEFAULT_PORT).
    pub port: c_ushort,
}

/// What a session points to; only this library looks inside.
pub struct etcd_client {
    _private: [u8; 0],
}

/// A session with one cluster. Lives from etcd_open() or etcd_open_str() until etcd_close(); any number of
/// threads may use it at once.
pub type etcd_session = *mut etcd_client;
