//! The option table: the one place that knows an option's name, type, default, help and variable.

use std::env::VarError;
use std::time::Duration;

use crate::error::{Error, Result};

/// A client's settings. Each can be given by its environment variable, by name, or by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where to find etcd: a list separated by commas, semicolons or white space.
    pub endpoints: String,
    /// The port of endpoints that name none.
    pub default_port: u16,
    /// How long one round trip may take, failover included.
    pub request_timeout: Duration,
    /// How long the connection to one endpoint may take.
    pub connect_timeout: Duration,
    /// Whether the classic functions put a `/` before keys that have none, as etcd's v2 API did.
    pub path_keys: bool,
}

/// One row of the table.
pub struct OptionSpec {
    /// Its name.
    pub name: &'static str,
    /// What may stand there.
    pub values: &'static str,
    /// What stands there when nothing is given.
    pub default: &'static str,
    /// The environment variable that gives the default.
    pub variable: &'static str,
    /// What it is for.
    pub help: &'static str,
    set: fn(&mut Options, &str) -> Option<()>,
}

/// All options.
pub const TABLE: &[OptionSpec] = &[
    OptionSpec {
        name: "endpoints",
        values: "list of host, host:port, http://…, unix://… or one mem://NAME",
        default: "",
        variable: "ETCD_API_ENDPOINTS",
        help: "where to find etcd",
        set: |options, value| {
            options.endpoints = value.into();
            Some(())
        },
    },
    OptionSpec {
        name: "default_port",
        values: "1 to 65535",
        default: "2379",
        variable: "ETCD_API_DEFAULT_PORT",
        help: "port of endpoints that name none (the library of 2013 had 4001)",
        set: |options, value| {
            options.default_port = value.parse().ok().filter(|&port| port > 0)?;
            Some(())
        },
    },
    OptionSpec {
        name: "request_timeout_ms",
        values: "1 to 86400000",
        default: "5000",
        variable: "ETCD_API_REQUEST_TIMEOUT_MS",
        help: "how long one round trip may take, failover included, in milliseconds",
        set: |options, value| {
            options.request_timeout = milliseconds(value)?;
            Some(())
        },
    },
    OptionSpec {
        name: "connect_timeout_ms",
        values: "1 to 86400000",
        default: "2000",
        variable: "ETCD_API_CONNECT_TIMEOUT_MS",
        help: "how long the connection to one endpoint may take, in milliseconds",
        set: |options, value| {
            options.connect_timeout = milliseconds(value)?;
            Some(())
        },
    },
    OptionSpec {
        name: "path_keys",
        values: "true or false",
        default: "false",
        variable: "ETCD_API_PATH_KEYS",
        help: "put a / before every key of the classic functions that has none, as etcd's v2 API did",
        set: |options, value| {
            options.path_keys = value.parse().ok()?;
            Some(())
        },
    },
];

fn milliseconds(value: &str) -> Option<Duration> {
    let number = value.parse().ok().filter(|number| (1..=86_400_000).contains(number))?;
    Some(Duration::from_millis(number))
}

impl Options {
    /// The table's defaults, whatever the environment says.
    pub fn new() -> Self {
        let mut options = Options {
            endpoints: String::new(),
            default_port: 0,
            request_timeout: Duration::ZERO,
            connect_timeout: Duration::ZERO,
            path_keys: false,
        };
        for row in TABLE {
            let set = (row.set)(&mut options, row.default);
            debug_assert!(set.is_some(), "bad default of {}", row.name);
        }
        options
    }

    /// The defaults, with what the environment says on top.
    ///
    /// # Errors
    /// `InvalidArgument` when a variable holds something that can't be right.
    pub fn from_env() -> Result<Self> {
        let mut options = Self::new();
        for row in TABLE {
            match std::env::var(row.variable) {
                Ok(value) => options.set_row(row, row.variable, &value)?,
                Err(VarError::NotPresent) => {}
                Err(VarError::NotUnicode(value)) => {
                    options.set_row(row, row.variable, &value.to_string_lossy())?
                }
            }
        }
        Ok(options)
    }

    /// Sets an option by its name in the table.
    ///
    /// ```
    /// let mut options = etcd::Options::new();
    /// options.set("default_port", "4001")?;
    /// assert!(options.set("defualt_port", "4001").is_err());
    /// # Ok::<(), etcd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument`, listing what is allowed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match TABLE.iter().find(|row| row.name == name) {
            Some(row) => self.set_row(row, name, value),
            None => {
                let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
                Err(Error::invalid(format!("no option \"{name}\"; there are: {}", names.join(", "))))
            }
        }
    }

    fn set_row(&mut self, row: &OptionSpec, given_by: &str, value: &str) -> Result<()> {
        let value = value.trim();
        (row.set)(self, value)
            .ok_or_else(|| Error::invalid(format!("{given_by} is \"{value}\"; allowed: {}", row.values)))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_itself() {
        for row in TABLE {
            assert_eq!(row.variable, format!("ETCD_API_{}", row.name.to_uppercase()));
            assert!(Options::new().set(row.name, row.default).is_ok(), "{}", row.name);
        }
        assert_eq!(Options::new().request_timeout, Duration::from_secs(5));
    }

    #[test]
    fn bad_names_and_values_list_what_is_allowed() {
        let mut options = Options::new();
        let name = options.set("nope", "1").unwrap_err().to_string();
        assert!(name.contains("default_port") && name.contains("nope"), "{name}");
        for (name, value) in [("default_port", "0"), ("default_port", "65536"), ("path_keys", "yes")] {
            let error = options.set(name, value).unwrap_err().to_string();
            assert!(error.contains("allowed") && error.contains(value), "{error}");
        }
        assert_eq!(options, Options::new());
    }
}
