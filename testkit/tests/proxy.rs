//! The proxy's faults, seen from both ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use onair_testkit::proxy::{Direction, Proxy};

const SOON: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(20);

/// A proxy, and a connection through it: the client's end and the server's.
fn connected() -> (Proxy, TcpStream, TcpStream) {
    connected_to(&TcpListener::bind("127.0.0.1:0").expect("a port"))
}

fn connected_to(listener: &TcpListener) -> (Proxy, TcpStream, TcpStream) {
    let proxy = Proxy::to(listener.local_addr().expect("bound"));
    let client = TcpStream::connect(proxy.addr()).expect("the proxy accepts");
    let (server, _) = listener.accept().expect("the proxy connects");
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(LONG)).expect("a timeout");
    }
    (proxy, client, server)
}

fn assert_passes(mut from: &TcpStream, mut to: &TcpStream) {
    from.write_all(b"hello").expect("written");
    let mut bytes = [0; 5];
    to.read_exact(&mut bytes).expect("passed on");
    assert_eq!(&bytes, b"hello");
}

fn assert_silent(mut socket: &TcpStream) {
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    let outcome = socket.read(&mut [0]).map_err(|e| e.kind());
    assert_eq!(outcome, Err(ErrorKind::WouldBlock));
    socket.set_read_timeout(Some(LONG)).expect("a timeout");
}

fn assert_reset(mut socket: &TcpStream) {
    let outcome = socket.read(&mut [0]).map_err(|e| e.kind());
    assert_eq!(outcome, Err(ErrorKind::ConnectionReset));
}

#[test]
fn bytes_and_the_end_pass_both_ways() {
    let (_proxy, client, mut server) = connected();
    assert_passes(&client, &server);
    assert_passes(&server, &client);
    drop(client);
    assert_eq!(server.read(&mut [0]).expect("an end"), 0);
}

#[test]
fn what_was_sent_into_a_cut_arrives_once_it_is_healed() {
    let (proxy, mut client, mut server) = connected();
    proxy.cut();
    client.write_all(b"late").expect("the kernel takes it");
    assert_silent(&server);
    proxy.heal();
    let mut bytes = [0; 4];
    server.read_exact(&mut bytes).expect("passed on");
    assert_eq!(&bytes, b"late");
}

#[test]
fn a_cut_can_be_one_way() {
    let (proxy, client, mut server) = connected();
    proxy.cut_one_way(Direction::FromTarget);
    assert_passes(&client, &server);
    server.write_all(b"x").expect("the kernel takes it");
    assert_silent(&client);
}

#[test]
fn a_reset_is_seen_at_both_ends_and_newcomers_are_welcome() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (proxy, client, server) = connected_to(&listener);
    proxy.reset();
    assert_reset(&client);
    assert_reset(&server);
    let again = TcpStream::connect(proxy.addr()).expect("accepted");
    let (server, _) = listener.accept().expect("the proxy connects");
    server.set_read_timeout(Some(LONG)).expect("a timeout");
    assert_passes(&again, &server);
}

#[test]
fn a_reset_ends_what_is_cut_too() {
    let (proxy, mut client, server) = connected();
    proxy.cut();
    client.write_all(b"lost").expect("the kernel takes it");
    assert_silent(&server);
    proxy.reset();
    assert_reset(&client);
    assert_reset(&server);
}

#[test]
fn who_is_refused_is_reset() {
    let (proxy, client, _server) = connected();
    proxy.refuse();
    assert_reset(&client);
    let again = TcpStream::connect(proxy.addr()).expect("the kernel accepts");
    again.set_read_timeout(Some(LONG)).expect("a timeout");
    assert_reset(&again);
}

#[test]
fn a_delay_delays() {
    let (proxy, client, server) = connected();
    proxy.delay(Direction::ToTarget, SOON);
    let began = std::time::Instant::now();
    assert_passes(&client, &server);
    assert!(began.elapsed() >= SOON);
}

#[test]
fn a_dropped_proxy_ends_its_connections() {
    let (proxy, client, server) = connected();
    drop(proxy);
    assert_reset(&client);
    assert_reset(&server);
}
