//! A client and a server that speak gRPC over HTTP/2, without TLS.

use std::future::{Future, poll_fn};
use std::io::Result as IoResult;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use faultproxy::Proxy;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Ping, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::peers::{Found, LIMIT, QUIET};

/// Runs a test to its end, which must come soon.
pub fn run(test: impl Future<Output = ()>) {
    let limited = async { tokio::time::timeout(LIMIT, test).await.expect("an end") };
    runtime().block_on(limited);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A gRPC message.
pub fn message(text: &str) -> Bytes {
    [&[0], &(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat().into()
}

/// A socket that is written to in small pieces.
struct Pieces {
    socket: TcpStream,
    size: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, buffer: &mut ReadBuf) -> Poll<IoResult<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<IoResult<usize>> {
        let size = self.size.min(bytes.len());
        Pin::new(&mut self.socket).poll_write(cx, &bytes[..size])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<IoResult<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<IoResult<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

fn in_pieces(socket: TcpStream, size: usize) -> Pieces {
    socket.set_nodelay(true).expect("an open socket");
    Pieces { socket, size }
}

/// What a server does, and its tests know.
#[derive(Default)]
struct Work {
    /// What it has heard, by path.
    heard: Mutex<Vec<(String, Vec<u8>)>>,
    release: Notify,
}

/// A server that says what it hears: on paths with `stream` at once, on others at the end of the request, on those
/// with `held` when it is told to. Its thread ends with the tests' process.
pub struct Server {
    pub port: u16,
    work: Arc<Work>,
}

impl Server {
    pub fn start() -> Self {
        Self::in_pieces(usize::MAX)
    }

    /// One that writes so many bytes at a time.
    pub fn in_pieces(size: usize) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        listener.set_nonblocking(true).expect("an open socket");
        let work = Arc::new(Work::default());
        let server = Server { port, work: work.clone() };
        std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = TcpListener::from_std(listener).expect("a runtime");
                while let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(serve(in_pieces(socket, size), work.clone()));
                }
            });
        });
        server
    }

    /// Lets it answer one request that it holds.
    pub fn release(&self) {
        self.work.release.notify_one();
    }

    /// Waits until it has heard this, while its client runs.
    pub async fn until_heard(&self, path: &str, text: &str) {
        while self.heard(path, &message(text)) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// How often it has heard just this.
    pub fn heard(&self, path: &str, text: &[u8]) -> usize {
        let heard = self.work.heard.lock().expect("never poisoned");
        heard.iter().filter(|(to, what)| to == path && what == text).count()
    }
}

async fn serve(socket: Pieces, work: Arc<Work>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, work.clone()));
    }
}

/// None, if the client is gone.
async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    work: Arc<Work>,
) -> Option<()> {
    let path = request.uri().path().to_string();
    let heard = |bytes: &[u8]| work.heard.lock().expect("never poisoned").push((path.clone(), bytes.into()));
    // The second of these fields is one that header compression remembers.
    let response = Response::builder().header("content-type", "application/grpc").header("server", "a test");
    let response = response.body(()).expect("a response");
    let mut body = request.into_body();
    if path.contains("stream") {
        let mut stream = respond.send_response(response, false).ok()?;
        while let Some(bytes) = next(&mut body).await {
            heard(&bytes);
            stream.send_data(bytes, false).ok()?;
        }
        return end(stream);
    }
    let mut all = Vec::new();
    while let Some(bytes) = next(&mut body).await {
        all.extend_from_slice(&bytes);
    }
    heard(&all);
    if path.contains("held") {
        work.release.notified().await;
    }
    let mut stream = respond.send_response(response, false).ok()?;
    stream.send_data(all.into(), false).ok()?;
    end(stream)
}

fn end(mut stream: SendStream<Bytes>) -> Option<()> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    stream.send_trailers(trailers).ok()
}

async fn next(body: &mut RecvStream) -> Option<Bytes> {
    let bytes = body.data().await?.ok()?;
    body.flow_control().release_capacity(bytes.len()).ok()?;
    Some(bytes)
}

/// One connection.
pub struct Client {
    sender: SendRequest<Bytes>,
    ping: h2::PingPong,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    pub async fn connect(proxy: &Proxy) -> Self {
        Self::in_pieces(proxy, usize::MAX).await
    }

    /// One that writes so many bytes at a time.
    pub async fn in_pieces(proxy: &Proxy, size: usize) -> Self {
        let socket = TcpStream::connect(proxy.servers()).await.expect("connected");
        let (sender, mut connection) =
            h2::client::handshake(in_pieces(socket, size)).await.expect("a client");
        let ping = connection.ping_pong().expect("the first time");
        Client { sender, ping, connection: tokio::spawn(connection) }
    }

    /// Begins a stream.
    pub async fn open(&mut self, path: &str) -> Stream {
        poll_fn(|cx| self.sender.poll_ready(cx)).await.expect("an open connection");
        let request = Request::post(format!("http://test{path}")).header("content-type", "application/grpc");
        let request = request.body(()).expect("a request");
        let (response, body) = self.sender.send_request(request, false).expect("an open connection");
        Stream { response: Some(response), body, answer: None }
    }

    /// Sends a request with one message and ends it.
    pub async fn ask(&mut self, path: &str, text: &str) -> Stream {
        let mut stream = self.open(path).await;
        stream.body.send_data(message(text), true).expect("an open stream");
        stream
    }

    /// A request and its answer, which is right.
    pub async fn round_trip(&mut self, path: &str) {
        let mut stream = self.ask(path, "hello").await;
        stream.assert_answer("hello").await;
        assert_eq!(next(stream.answer.as_mut().expect("an answer")).await, None);
        let trailers = stream.answer.expect("an answer").trailers().await.expect("an end");
        assert_eq!(trailers.expect("trailers")["grpc-status"], "0");
    }

    /// Whether there is a pong.
    pub async fn ping(&mut self) -> bool {
        self.ping.ping(Ping::opaque()).await.is_ok()
    }

    pub fn is_open(&self) -> bool {
        !self.connection.is_finished()
    }

    /// How the connection ends.
    pub async fn end(self) -> Found {
        match self.connection.await.expect("no panic") {
            Err(error) if error.is_io() => Found::Reset,
            _ => Found::End,
        }
    }
}

/// A request, its answer and more of both.
pub struct Stream {
    response: Option<ResponseFuture>,
    pub body: SendStream<Bytes>,
    answer: Option<RecvStream>,
}

impl Stream {
    pub fn send(&mut self, bytes: Bytes) {
        self.body.send_data(bytes, false).expect("an open stream");
    }

    pub async fn headers(&mut self) -> Result<(), h2::Error> {
        if let Some(response) = &mut self.response {
            let response = response.await?;
            assert_eq!(response.headers()["server"], "a test");
            self.response = None;
            self.answer = Some(response.into_body());
        }
        Ok(())
    }

    pub async fn receive(&mut self, size: usize) -> Vec<u8> {
        self.headers().await.expect("headers");
        let mut bytes = Vec::new();
        while bytes.len() < size {
            bytes.extend(next(self.answer.as_mut().expect("an answer")).await.expect("more"));
        }
        bytes
    }

    /// That the next thing from the server is this message.
    pub async fn assert_answer(&mut self, text: &str) {
        let expected = message(text);
        assert_eq!(self.receive(expected.len()).await, expected);
    }

    /// That the server says nothing, for a while.
    pub async fn assert_silence(&mut self) {
        assert!(tokio::time::timeout(QUIET, self.receive(1)).await.is_err());
    }
}
