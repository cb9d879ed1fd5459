//! That a proxy leaks no file descriptors; alone in its process, where nothing else opens any.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use faultproxy::{After, Fault, Proxy};

fn descriptors() -> usize {
    std::fs::read_dir("/dev/fd").expect("the process's descriptors").count()
}

/// An echo; its threads end with the process.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &socket, &mut &socket));
        }
    });
    port
}

/// One connection, ended in one of many ways.
fn use_once(proxy: &Proxy, way: usize) {
    proxy.set(Fault::Pass);
    if way == 0 {
        proxy.swallow("", 1, After::Reset);
    }
    let mut client = TcpStream::connect(proxy.servers()).expect("connected");
    client.write_all(b"hello").expect("an open connection");
    let _ = client.read(&mut [0; 5]);
    match way {
        1 => proxy.cut(),
        2 => proxy.reset_all(),
        3 => proxy.set(Fault::BlackHole),
        4 => proxy.set(Fault::HalfClose),
        5 => proxy.set(Fault::Refuse),
        _ => {}
    }
}

fn assert_back_to(before: usize) {
    let start = Instant::now();
    while descriptors() > before {
        assert!(start.elapsed() < Duration::from_secs(5), "{before} grew to {}", descriptors());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn descriptors_do_not_grow() {
    let server = echo();
    let none = descriptors();
    let proxy = Proxy::start(server);
    let before = descriptors();
    assert!(before > none, "a proxy has some");
    for number in 0..210 {
        use_once(&proxy, number % 7);
    }
    proxy.set(Fault::Pass);
    assert_back_to(before);
    assert!(proxy.connections() >= 200);
    drop(proxy);
    assert_back_to(none);
}
