//! Options of the full tier. Their comments are the header's.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

use libc::c_char;

use super::guard::optional;
use super::handle::{self, Value};
use super::status::{etcd_error, etcd_status, run};
use crate::error::{Error, Result};
use crate::options::Options;

/// The settings of a client. One thread builds them; afterwards any number of clients may be opened with them.
pub struct etcd_options {
    _private: [u8; 0],
}

/// Options in C's hands.
pub(crate) struct OptionsValue {
    pub options: Options,
    /// What is wrong with the environment.
    pub fault: Option<Error>,
}

impl Value for OptionsValue {
    type C = etcd_options;
    const KIND: u64 = 0x6574_6364_0000_0004;
    const NAME: &'static str = "options";
}

/// Text that C gives.
///
/// # Safety
/// `text` is NULL or a string that stays as it is for `'a`.
pub unsafe fn utf_8<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: as promised by the caller.
    let bytes = unsafe { optional(text) }.ok_or_else(|| Error::invalid(format!("the {name} is NULL")))?;
    std::str::from_utf8(bytes).map_err(|_| Error::invalid(format!("the {name} is no UTF-8")))
}

/// New options, as the environment has them (ETCD_API_*), and otherwise as CONFIGURATION.md lists them.
///
/// Returns options for etcd_options_free(). What is wrong with the environment, etcd_client_open() tells.
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn etcd_options_new() -> *mut etcd_options {
    super::status::get(std::ptr::null_mut(), || {
        let (options, fault) = match Options::from_env() {
            Ok(options) => (options, None),
            Err(fault) => (Options::new(), Some(fault)),
        };
        Ok(handle::to_c(OptionsValue { options, fault }))
    })
}

/// Sets an option by its name.
///
/// name: as in CONFIGURATION.md: "endpoints", "request_timeout_ms" …
/// value: as text: "http://127.0.0.1:2379", "500", "true". UTF-8, copied.
/// err: where the details go, or NULL; for etcd_error_free(). An unknown name or a value that is not allowed is
///   told with what is.
/// Does not block. The thread that builds the options.
/// Errors: ETCD_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_options_set(
    options: *mut etcd_options,
    name: *const c_char,
    value: *const c_char,
    err: *mut *mut etcd_error,
) -> etcd_status {
    // SAFETY: as promised by the caller.
    unsafe {
        run(err, || {
            let options = handle::value_mut::<OptionsValue>(options)?;
            options.options.set(utf_8(name, "name")?, utf_8(value, "value")?)
        })
    }
}

/// Frees options. Clients that were opened with them keep what they need. NULL is fine and does nothing.
///
/// Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etcd_options_free(options: *mut etcd_options) {
    // SAFETY: as promised by the caller.
    unsafe { handle::free::<OptionsValue>(options) }
}
