//! Slow and greedy clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use onair_manager::config::HttpLimits;

use crate::support::{Api, Setup, TOKEN};

async fn hasty() -> Api {
    let limits = HttpLimits {
        head_timeout: Duration::from_millis(200),
        body_timeout: Duration::from_millis(200),
        ..HttpLimits::default()
    };
    Setup { limits, ..Setup::new() }.start().await
}

/// Sends the parts, then reads until the server closes.
fn talk(api: &Api, request: &str) -> String {
    let mut socket = TcpStream::connect(api.handle.http_addr()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is a close, too.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let api = hasty().await;
    let answer = talk(&api, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let api = hasty().await;
    let answer = talk(&api, "");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off_and_told() {
    let api = hasty().await;
    let request = format!(
        "POST /v1/rooms/r/end HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{"
    );
    let answer = talk(&api, &request);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_refused_before_it_is_sent() {
    let api = Api::start().await;
    let request = format!(
        "POST /v1/rooms/r/end HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1000000000\r\n\r\n"
    );
    let answer = talk(&api, &request);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn what_is_no_http_is_answered_400_and_closed() {
    let api = hasty().await;
    let answer = talk(&api, "\x03 this is RTMP, more or less\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}
