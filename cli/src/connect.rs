//! Which servers to ask, and how: from the command line, else from the environment.

use etcd::Options;

use crate::args::Connection;
use crate::failure::{Cause, Failure};

/// The variable of the old tools. The library's own, `ETCD_API_ENDPOINTS`, comes after it.
const SERVERS: &str = "ETCD_SERVERS";

/// The options, the strongest source last: environment, `--option`, `--servers`.
pub fn options(given: &Connection) -> Result<Options, Failure> {
    let mut options = Options::from_env().map_err(Failure::usage)?;
    if let Some(servers) = std::env::var(SERVERS).ok().filter(|servers| !servers.trim().is_empty()) {
        options.set("endpoints", &servers).map_err(Failure::usage)?;
    }
    for (name, value) in &given.option {
        options.set(name, value).map_err(Failure::usage)?;
    }
    if let Some(servers) = &given.servers {
        options.set("endpoints", servers).map_err(Failure::usage)?;
    }
    if options.endpoints.is_empty() {
        let message = format!("no servers given: use --servers host:port or set {SERVERS}");
        return Err(Failure::new(Cause::Usage, message));
    }
    Ok(options)
}
