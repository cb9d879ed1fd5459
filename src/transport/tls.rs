//! TLS for every transport: which certificates are trusted, which is shown, and what its failures mean.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore};

use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::options::Options;
use crate::transport::timed::Timed;
use crate::wait::lock;

/// What a connection is for, as both sides agree on when they shake hands.
const HTTP_1: &[u8] = b"http/1.1";
/// The same for gRPC.
pub const HTTP_2: &[u8] = b"h2";

/// What all connections of a client share.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    /// Instead of the endpoint's host.
    server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the files that the options name.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the option and what is wrong with its file.
    pub fn open(options: &Options) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Error::invalid(format!("TLS: {error}")))?;
        let builder = builder.with_root_certificates(trusted(options)?);
        let mut config = match own_certificate(options)? {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| bad_file("key_file", &options.key_file, &error))?,
        };
        config.alpn_protocols = vec![HTTP_1.into()];
        let server_name = match options.server_name.as_str() {
            "" => None,
            name => Some(server_name(name)?),
        };
        Ok(Tls { config: Arc::new(config), server_name })
    }

    /// The same for connections on which HTTP/2 is spoken.
    pub fn for_http2(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![HTTP_2.into()];
        Tls { config: Arc::new(config), server_name: self.server_name.clone() }
    }

    /// A connection over this socket. Nothing is sent before [`TlsStream::shake_hands`].
    ///
    /// # Errors
    /// When `host` is no name that a certificate could be for.
    pub fn start(&self, host: &str, socket: TcpStream) -> io::Result<TlsStream> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host).map_err(|error| io::Error::other(error.fault().to_owned()))?,
        };
        let session = ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        Ok(TlsStream { session: Mutex::new(session), socket })
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned())
        .map_err(|_| Error::invalid(format!("server_name {name:?} is neither a host name nor an IP address")))
}

fn trusted(options: &Options) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if !options.ca_file.is_empty() {
        for certificate in certificates("ca_file", &options.ca_file)? {
            roots.add(certificate).map_err(|error| bad_file("ca_file", &options.ca_file, &error))?;
        }
        return Ok(roots);
    }
    // Some systems have files among them that no library can read; what can be read counts.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::invalid("this system trusts no certificate authority; set ca_file"));
    }
    Ok(roots)
}

type Chain = Vec<CertificateDer<'static>>;

fn own_certificate(options: &Options) -> Result<Option<(Chain, PrivateKeyDer<'static>)>> {
    if options.cert_file.is_empty() {
        return match options.key_file.as_str() {
            "" => Ok(None),
            _ => Err(Error::invalid("key_file is set, but no cert_file; set both")),
        };
    }
    let chain = certificates("cert_file", &options.cert_file)?;
    let (option, file) = match options.key_file.as_str() {
        "" => ("cert_file", &options.cert_file),
        _ => ("key_file", &options.key_file),
    };
    let key = PrivateKeyDer::from_pem_file(file).map_err(|error| bad_file(option, file, &error))?;
    Ok(Some((chain, key)))
}

fn certificates(option: &str, file: &str) -> Result<Chain> {
    let read =
        CertificateDer::pem_file_iter(file).and_then(|found| found.collect::<std::result::Result<_, _>>());
    let found: Chain = read.map_err(|error| bad_file(option, file, &error))?;
    if found.is_empty() { Err(bad_file(option, file, &"there is no certificate in it")) } else { Ok(found) }
}

fn bad_file(option: &str, file: &str, fault: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("{option} {file:?}: {fault}"))
}

/// A connection that is encrypted. One thread uses it at a time; another one may cut its socket.
pub struct TlsStream {
    session: Mutex<ClientConnection>,
    socket: TcpStream,
}

impl TlsStream {
    /// The socket under it.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The socket and what is known of TLS on it, for whoever waits for the socket in another way.
    pub fn into_parts(self) -> (TcpStream, ClientConnection) {
        (self.socket, self.session.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// What must be done before anything is read or written.
    ///
    /// # Errors
    /// What [`fault_of`] makes an error of, and those of the socket.
    pub fn shake_hands(&self, until: Option<Instant>) -> io::Result<()> {
        let mut session = lock(&self.session);
        let mut socket = Timed { socket: &self.socket, until };
        let shaken = session.complete_io(&mut socket);
        shaken.map(|_| ()).map_err(|error| match why(&mut session, &mut socket, error) {
            // What a server without TLS does with the first message.
            error if has_hung_up(&error) => io::Error::other(rustls::Error::General(
                "the server hung up on us, as one that does not speak TLS".into(),
            )),
            error => error,
        })
    }

    /// Reads what was decrypted, waiting for more only when there is nothing.
    ///
    /// # Errors
    /// Those of the socket, and of TLS.
    pub fn read(&self, buffer: &mut [u8], until: Option<Instant>) -> io::Result<usize> {
        let mut session = lock(&self.session);
        let mut socket = Timed { socket: &self.socket, until };
        rustls::Stream::new(&mut *session, &mut socket).read(buffer)
    }

    /// Reads without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; those of the socket, and of TLS.
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = lock(&self.session);
        self.socket.set_nonblocking(true)?;
        let read = rustls::Stream::new(&mut *session, &mut &self.socket).read(buffer);
        self.socket.set_nonblocking(false)?;
        read
    }

    /// Encrypts and sends.
    ///
    /// # Errors
    /// Those of the socket, and of TLS.
    pub fn write_all(&self, bytes: &[u8], until: Option<Instant>) -> io::Result<()> {
        let mut session = lock(&self.session);
        let mut socket = Timed { socket: &self.socket, until };
        let mut stream = rustls::Stream::new(&mut *session, &mut socket);
        let written = stream.write_all(bytes).and_then(|()| stream.flush());
        written.map_err(|error| why(&mut session, &mut socket, error))
    }
}

fn has_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// A server that refuses us says why before it hangs up.
fn why(session: &mut ClientConnection, socket: &mut impl Read, error: io::Error) -> io::Error {
    if !has_hung_up(&error) {
        return error;
    }
    let said = session.read_tls(socket).and_then(|_| session.process_new_packets().map_err(io::Error::other));
    said.err().filter(|reason| fault_of(reason).is_some()).unwrap_or(error)
}

/// The error of a TLS failure; `None` when it is another one.
pub fn fault_of(error: &io::Error) -> Option<Error> {
    use rustls::Error as E;
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let fault = match error {
        E::InvalidCertificate(fault) => certificate_fault(fault),
        E::AlertReceived(alert) => return Some(refusal(*alert)),
        E::InvalidMessage(_) => "what answers there does not speak TLS".into(),
        E::General(fault) => fault.clone(),
        other => format!("TLS: {other}"),
    };
    // Before the hands are shaken nothing was sent, which whoever connects knows; later, that is not known.
    Some(Error::new(ErrorKind::Tls, fault).outcome_is(Outcome::Unknown))
}

fn certificate_fault(fault: &CertificateError) -> String {
    use CertificateError as C;
    let text = match fault {
        C::UnknownIssuer => "is from an authority that is not trusted",
        C::Expired | C::ExpiredContext { .. } => "has expired",
        C::NotValidYet | C::NotValidYetContext { .. } => "is not valid yet",
        C::NotValidForName | C::NotValidForNameContext { .. } => "is for another name",
        other => return format!("the server's certificate can't be accepted: {other}"),
    };
    format!("the server's certificate {text}")
}

/// What an alert says.
fn refusal(alert: AlertDescription) -> Error {
    use AlertDescription as A;
    let fault = match alert {
        A::CertificateRequired => "the server wants a certificate from this client",
        A::BadCertificate | A::UnknownCA | A::CertificateUnknown | A::UnsupportedCertificate => {
            "the server does not accept the certificate of this client, or wants one"
        }
        A::CertificateExpired => "the certificate of this client has expired",
        A::CertificateRevoked => "the certificate of this client was revoked",
        other => {
            let error = Error::new(ErrorKind::Tls, format!("the server refused TLS: {other:?}"));
            return error.outcome_is(Outcome::Unknown);
        }
    };
    // Servers look at certificates before they look at requests, even when both have come.
    Error::new(ErrorKind::Tls, fault)
}
