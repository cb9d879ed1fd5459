//! The option table: the one place that knows an option's name, type, default, help and variable.

use std::env::VarError;
use std::time::Duration;

use crate::error::{Error, Result};

/// A text that no message, log or debug output shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` out of sight.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, for whoever must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(hidden)" })
    }
}

/// What an endpoint without a scheme is spoken to with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultScheme {
    /// `https` when a file for TLS is given, otherwise `http`.
    Auto,
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

/// A client's settings. Each can be given by its environment variable, by name, or by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where to find etcd: a list separated by commas, semicolons or white space.
    pub endpoints: String,
    /// The port of endpoints that name none.
    pub default_port: u16,
    /// The scheme of endpoints that name none.
    pub default_scheme: DefaultScheme,
    /// How long one round trip may take, failover included.
    pub request_timeout: Duration,
    /// How long the connection to one endpoint may take.
    pub connect_timeout: Duration,
    /// How many times one call may be sent again, beyond once to each endpoint.
    pub retry_limit: u32,
    /// How many repetitions a client may spend before answers have earned new ones.
    pub retry_budget: u32,
    /// How often the list of endpoints is made anew from the members of the cluster; zero: never.
    pub sync_interval: Duration,
    /// How long a request may be, in bytes.
    pub max_request_bytes: usize,
    /// How long an answer may be, in bytes.
    pub max_reply_bytes: usize,
    /// The user that requests are made for; empty: none.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// A file that holds the password.
    pub password_file: String,
    /// A token that the servers accept, instead of a user.
    pub token: Secret,
    /// A file that holds the token.
    pub token_file: String,
    /// A file with the certificates that are trusted; empty: the system's.
    pub ca_file: String,
    /// A file with the client's certificate chain.
    pub cert_file: String,
    /// A file with the key of the client's certificate.
    pub key_file: String,
    /// The name that the servers' certificates must be for; empty: the endpoint's.
    pub server_name: String,
    /// Put before every key on its way to the servers, and taken off on the way back.
    pub namespace: String,
    /// Whether the classic functions put a `/` before keys that have none, as etcd's v2 API did.
    pub path_keys: bool,
}

/// An option's type, and where its value goes.
pub enum Kind {
    /// Any text.
    Text(fn(&mut Options) -> &mut String),
    /// A text that is shown nowhere, and that no command line takes.
    Secret(fn(&mut Options) -> &mut Secret),
    /// The name of a file.
    File(fn(&mut Options) -> &mut String),
    /// A whole number within bounds, both included.
    Number(u64, u64, fn(&mut Options, u64)),
    /// A time in milliseconds.
    Milliseconds(fn(&mut Options) -> &mut Duration),
    /// `true` or `false`.
    Bool(fn(&mut Options) -> &mut bool),
    /// One of some words.
    Word(&'static [&'static str], fn(&mut Options, usize)),
}

/// The longest time that an option takes: a day.
const LONGEST_MS: u64 = 86_400_000;

impl Kind {
    /// Its name in the documentation.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Text(_) => "text",
            Kind::Secret(_) => "secret",
            Kind::File(_) => "file",
            Kind::Number(..) => "number",
            Kind::Milliseconds(_) => "milliseconds",
            Kind::Bool(_) => "bool",
            Kind::Word(..) => "word",
        }
    }

    /// What may stand there.
    pub fn values(&self) -> String {
        match self {
            Kind::Text(_) | Kind::Secret(_) => "any text".into(),
            Kind::File(_) => "the name of a file".into(),
            Kind::Number(from, to, _) => format!("{from} to {to}"),
            Kind::Milliseconds(_) => format!("1 to {LONGEST_MS}"),
            Kind::Bool(_) => "true or false".into(),
            Kind::Word(words, _) => words.join(", "),
        }
    }

    /// Stores a value; `None` when it is none of the allowed ones.
    fn set(&self, options: &mut Options, value: &str) -> Option<()> {
        match self {
            Kind::Text(field) | Kind::File(field) => *field(options) = value.into(),
            Kind::Secret(field) => *field(options) = Secret::new(value),
            Kind::Number(from, to, set) => set(options, number(value, *from, *to)?),
            Kind::Milliseconds(field) => {
                *field(options) = Duration::from_millis(number(value, 1, LONGEST_MS)?)
            }
            Kind::Bool(field) => *field(options) = value.parse().ok()?,
            Kind::Word(words, set) => set(options, words.iter().position(|word| *word == value)?),
        }
        Some(())
    }
}

fn number(text: &str, from: u64, to: u64) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (from..=to).contains(number))
}

/// One row of the table.
pub struct OptionSpec {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What stands there when nothing is given.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
}

impl OptionSpec {
    /// The environment variable that gives its default.
    pub fn variable(&self) -> String {
        format!("ETCD_API_{}", self.name.to_uppercase())
    }
}

const fn row(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { name, kind, default, help }
}

/// All options.
pub const TABLE: &[OptionSpec] = &[
    row(
        "endpoints",
        Kind::Text(|o| &mut o.endpoints),
        "",
        "where to find etcd: a list of host, host:port, [IPv6]:port, http://… (or grpc://…), https://… (or grpcs://…) \
         or unix://PATH, separated by commas, semicolons or white space, with json+ before http, https or unix for \
         the JSON gateway; or mem://NAME alone",
    ),
    row(
        "default_port",
        Kind::Number(1, 65_535, |o, port| o.default_port = port as u16),
        "2379",
        "port of endpoints that name none (the library of 2013 had 4001)",
    ),
    row(
        "default_scheme",
        Kind::Word(&["auto", "http", "https"], |o, word| {
            o.default_scheme = [DefaultScheme::Auto, DefaultScheme::Http, DefaultScheme::Https][word]
        }),
        "auto",
        "scheme of endpoints that name none; auto is https when ca_file or cert_file is set, otherwise http",
    ),
    row(
        "request_timeout_ms",
        Kind::Milliseconds(|o| &mut o.request_timeout),
        "5000",
        "how long one round trip may take, failover and repetitions included",
    ),
    row(
        "connect_timeout_ms",
        Kind::Milliseconds(|o| &mut o.connect_timeout),
        "2000",
        "how long the connection to one endpoint may take, finding its address included",
    ),
    row(
        "retry_limit",
        Kind::Number(0, 1000, |o, limit| o.retry_limit = limit as u32),
        "16",
        "how many times one call may be sent again, beyond once to each endpoint. Only what can't do harm is \
         sent again: never a write that may have been done",
    ),
    row(
        "retry_budget",
        Kind::Number(0, 1_000_000, |o, budget| o.retry_budget = budget as u32),
        "100",
        "how many repetitions all calls of a client may spend; each success earns a tenth of one back",
    ),
    row(
        "sync_interval_ms",
        Kind::Number(0, LONGEST_MS, |o, ms| o.sync_interval = Duration::from_millis(ms)),
        "0",
        "how often, between two calls, the list of endpoints is made anew from what the members of the cluster tell \
         clients to use; 0: never",
    ),
    row(
        "max_request_bytes",
        Kind::Number(1024, 1 << 31, |o, bytes| o.max_request_bytes = bytes as usize),
        "67108864",
        "how long a request may be; servers take 1.5 MiB unless they are told otherwise (gRPC only)",
    ),
    row(
        "max_reply_bytes",
        Kind::Number(1024, 1 << 31, |o, bytes| o.max_reply_bytes = bytes as usize),
        "268435456",
        "how long an answer may be; a longer one is an error, so that no server can fill the memory (gRPC only)",
    ),
    row("user", Kind::Text(|o| &mut o.user), "", "user that requests are made for; empty: nobody"),
    row("password", Kind::Secret(|o| &mut o.password), "", "the user's password"),
    row(
        "password_file",
        Kind::File(|o| &mut o.password_file),
        "",
        "file that holds the password, instead of the password itself; its last newline does not count",
    ),
    row(
        "token",
        Kind::Secret(|o| &mut o.token),
        "",
        "token that the servers accept (a JWT, say), instead of user and password; it is never got anew",
    ),
    row(
        "token_file",
        Kind::File(|o| &mut o.token_file),
        "",
        "file that holds the token, instead of the token itself; its last newline does not count",
    ),
    row(
        "ca_file",
        Kind::File(|o| &mut o.ca_file),
        "",
        "PEM file with the certificate authorities that may vouch for servers; empty: the system's",
    ),
    row(
        "cert_file",
        Kind::File(|o| &mut o.cert_file),
        "",
        "PEM file with the certificate that this client shows to servers, and those that vouch for it",
    ),
    row(
        "key_file",
        Kind::File(|o| &mut o.key_file),
        "",
        "PEM file with the key of that certificate; empty: it is in cert_file",
    ),
    row(
        "server_name",
        Kind::Text(|o| &mut o.server_name),
        "",
        "name that servers' certificates must be for; empty: the endpoint's host",
    ),
    row(
        "namespace",
        Kind::Text(|o| &mut o.namespace),
        "",
        "put before every key (and lock name) on its way to the servers and taken off on its way back, so \
         that the program sees only keys that start with it",
    ),
    row(
        "path_keys",
        Kind::Bool(|o| &mut o.path_keys),
        "false",
        "put a / before every key of the classic functions that has none, as etcd's v2 API did",
    ),
];

impl Options {
    /// The table's defaults, whatever the environment says.
    pub fn new() -> Self {
        let mut options = Options {
            endpoints: String::new(),
            default_port: 0,
            default_scheme: DefaultScheme::Auto,
            request_timeout: Duration::ZERO,
            connect_timeout: Duration::ZERO,
            retry_limit: 0,
            retry_budget: 0,
            sync_interval: Duration::ZERO,
            max_request_bytes: 0,
            max_reply_bytes: 0,
            user: String::new(),
            password: Secret::default(),
            password_file: String::new(),
            token: Secret::default(),
            token_file: String::new(),
            ca_file: String::new(),
            cert_file: String::new(),
            key_file: String::new(),
            server_name: String::new(),
            namespace: String::new(),
            path_keys: false,
        };
        for row in TABLE {
            let set = row.kind.set(&mut options, row.default);
            debug_assert!(set.is_some(), "bad default of {}", row.name);
        }
        options
    }

    /// The defaults, with what the environment says on top. A variable that is set to nothing says nothing.
    ///
    /// # Errors
    /// `InvalidArgument` when a variable holds something that can't be right.
    pub fn from_env() -> Result<Self> {
        let mut options = Self::new();
        for row in TABLE {
            let variable = row.variable();
            match std::env::var(&variable) {
                Ok(value) if value.is_empty() => {}
                Ok(value) => options.set_row(row, &variable, &value)?,
                Err(VarError::NotPresent) => {}
                Err(VarError::NotUnicode(_)) => {
                    return Err(Error::invalid(format!("{variable} is no UTF-8")));
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
                Err(Error::invalid(format!("no option {name:?}; there are: {}", names.join(", "))))
            }
        }
    }

    pub(crate) fn set_row(&mut self, row: &OptionSpec, given_by: &str, value: &str) -> Result<()> {
        // Spaces around a password or a prefix of keys may belong to it.
        let verbatim = matches!(row.kind, Kind::Text(_) | Kind::Secret(_));
        let value = if verbatim { value } else { value.trim() };
        row.kind
            .set(self, value)
            .ok_or_else(|| Error::invalid(format!("{given_by} is {value:?}; allowed: {}", row.kind.values())))
    }

    /// The password, wherever it was given; empty: there is none.
    ///
    /// # Errors
    /// `InvalidArgument` when it is given twice, or for nobody, or not at all for a user, or its file can't be read.
    pub fn read_password(&self) -> Result<Secret> {
        let password = read_secret("password", &self.password, "password_file", &self.password_file)?;
        if !password.is_empty() && self.user.is_empty() {
            return Err(Error::invalid("there is a password but no user; set user, too"));
        }
        let has_token = !self.token.is_empty() || !self.token_file.is_empty();
        let has_password = !self.password.is_empty() || !self.password_file.is_empty();
        if !self.user.is_empty() && !has_password && !has_token {
            return Err(Error::invalid(
                "there is a user but no password; set password or password_file, too",
            ));
        }
        Ok(password)
    }

    /// The token, wherever it was given; empty: there is none.
    ///
    /// # Errors
    /// `InvalidArgument` when it is given twice, or with a user, or its file can't be read.
    pub fn read_token(&self) -> Result<Secret> {
        let token = read_secret("token", &self.token, "token_file", &self.token_file)?;
        if !token.is_empty() && !self.user.is_empty() {
            return Err(Error::invalid("both a token and a user are set; set one of them"));
        }
        Ok(token)
    }
}

fn read_secret(name: &str, given: &Secret, file_name: &str, file: &str) -> Result<Secret> {
    if file.is_empty() {
        return Ok(given.clone());
    }
    if !given.is_empty() {
        return Err(Error::invalid(format!("both {name} and {file_name} are set; set one of them")));
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::invalid(format!("{file_name} {file:?}: {error}")))?;
    Ok(Secret::new(text.strip_suffix('\n').unwrap_or(&text)))
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// The table as a document: `CONFIGURATION.md`.
pub fn document() -> String {
    let mut text = String::from(ABOUT);
    for row in TABLE {
        let default = if row.default.is_empty() { String::new() } else { format!("`{}`", row.default) };
        text += &format!(
            "| `{}` | {} | {default} | `{}` | {} |\n",
            row.name,
            row.kind.name(),
            row.variable(),
            row.help
        );
    }
    text += "\nWhat the values may be:\n\n";
    for row in
        TABLE.iter().filter(|row| matches!(row.kind, Kind::Number(..) | Kind::Word(..) | Kind::Bool(_)))
    {
        text += &format!("- `{}`: {}\n", row.name, row.kind.values());
    }
    text += &format!("- every time in milliseconds: 1 to {LONGEST_MS}\n");
    text
}

const ABOUT: &str = "\
# Configuration

Every option has a name, a default and an environment variable. The variable gives the default of every session
and client that a process opens, so that programs that know only the classic functions, or that can't be changed,
can be given TLS, a user or a namespace from outside. The command-line tool has a flag for each option, with `-`
for `_` (`--request-timeout-ms 500`), which counts more than the variable; a password is taken from a variable or
a file only, since command lines can be read by others.

A name that is not in this table, or a value that is not allowed, is an error that says what is.

| option | type | default | variable | what it is for |
|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_itself() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(Options::new().set(row.name, row.default).is_ok(), "{}", row.name);
            assert!(TABLE[..at].iter().all(|other| other.name != row.name), "{} is there twice", row.name);
            assert!(document().contains(&format!("| `{}` |", row.name)));
        }
        assert_eq!(Options::new().request_timeout, Duration::from_secs(5));
        assert_eq!(TABLE[1].variable(), "ETCD_API_DEFAULT_PORT");
    }

    #[test]
    fn bad_names_and_values_list_what_is_allowed() {
        let mut options = Options::new();
        let name = options.set("nope", "1").unwrap_err().to_string();
        assert!(name.contains("default_port") && name.contains("nope"), "{name}");
        let bad = [
            ("default_port", "0"),
            ("default_port", "65536"),
            ("default_port", "+1"),
            ("default_port", ""),
            ("default_scheme", "ftp"),
            ("request_timeout_ms", "0"),
            ("request_timeout_ms", "-1"),
            ("request_timeout_ms", "86400001"),
            ("retry_limit", "1001"),
            ("path_keys", "yes"),
        ];
        for (name, value) in bad {
            let error = options.set(name, value).unwrap_err().to_string();
            assert!(error.contains("allowed") && error.contains(value) && error.contains(name), "{error}");
        }
        assert_eq!(options, Options::new());
    }

    #[test]
    fn spaces_around_a_value_are_dropped_where_they_can_mean_nothing() {
        let mut options = Options::new();
        for (name, value) in
            [("default_port", " 7 "), ("ca_file", " a b "), ("namespace", "x "), ("password", " p ")]
        {
            options.set(name, value).unwrap();
        }
        assert_eq!((options.default_port, options.ca_file.as_str()), (7, "a b"));
        assert_eq!((options.namespace.as_str(), options.password.reveal()), ("x ", " p "));
    }

    #[test]
    fn a_password_comes_from_one_place_for_somebody_and_is_never_shown() {
        let mut options = Options::new();
        assert_eq!(options.read_password().unwrap(), Secret::default());
        options.set("password", "hunter2").unwrap();
        assert!(options.read_password().unwrap_err().to_string().contains("user"));
        options.set("user", "me").unwrap();
        options.set("password", "").unwrap();
        assert!(options.read_password().unwrap_err().to_string().contains("password_file"));
        options.set("password", "hunter2").unwrap();
        assert_eq!(options.read_password().unwrap().reveal(), "hunter2");
        assert!(!format!("{options:?}").contains("hunter2"));
        options.set("password_file", "/nonexistent/file").unwrap();
        assert!(options.read_password().unwrap_err().to_string().contains("both"));
        options.set("password", "").unwrap();
        assert!(options.read_password().unwrap_err().to_string().contains("/nonexistent/file"));
    }
}
