//! A publisher of our own, for what encoders cannot be made to do: come from another address, try again every 200 ms,
//! time its own start, ask for a fault. It is the codec's client peer on a blocking socket.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use onair_codec::{
    ClientAction, ClientConfig, ClientEvent, ClientPeer, Input, Media, MediaKind, Output, Secret, Timestamp,
};
use socket2::{Domain, Socket, Type};

use super::node::{Address, Node};

/// A granted publish.
pub struct Publisher {
    link: Link,
    /// From before the TCP connection to `NetStream.Publish.Start`.
    pub start_took: Duration,
}

/// A refused one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For instance `NetStream.Publish.BadName`; empty if the server said nothing.
    pub code: String,
    pub description: String,
}

struct Link {
    socket: TcpStream,
    peer: ClientPeer,
    events: VecDeque<ClientEvent>,
    is_closed: bool,
}

impl Publisher {
    /// Publishes to `address` from 127.0.0.1.
    pub fn start(node: &Node, address: &Address) -> Result<Self, Refusal> {
        Self::start_from([127, 0, 0, 1].into(), node, &address.room, &address.live_key)
    }

    /// Publishes `key` into `room` from the local address `from`.
    pub fn start_from(from: IpAddr, node: &Node, room: &str, key: &str) -> Result<Self, Refusal> {
        Self::start_at(from, node.rtmp, room, key).expect("a TCP connection")
    }

    /// The same at an address where perhaps nobody listens.
    pub fn start_at(
        from: IpAddr,
        to: SocketAddr,
        room: &str,
        key: &str,
    ) -> io::Result<Result<Self, Refusal>> {
        let began = Instant::now();
        let mut link = Link::open(from, to, room, key)?;
        link.socket.set_read_timeout(Some(super::LONG))?;
        loop {
            match link.events.pop_front() {
                Some(ClientEvent::Started) => {
                    let start_took = began.elapsed();
                    link.socket.set_nonblocking(true)?;
                    return Ok(Ok(Self { link, start_took }));
                }
                Some(ClientEvent::Refused { code, description }) => {
                    link.expect_close();
                    return Ok(Err(Refusal { code, description }));
                }
                Some(_) => {}
                None if link.is_closed => {
                    return Ok(Err(Refusal { code: String::new(), description: String::new() }));
                }
                None => link.read(),
            }
        }
    }

    /// Sends one message, and takes in what the server said meanwhile. `Err` once the server has cut us.
    pub fn send(&mut self, media: &Media) -> io::Result<()> {
        self.link.read();
        self.link.peer.send_media(media).map_err(|_| io::Error::from(ErrorKind::NotConnected))?;
        self.link.write_pending()?;
        if self.link.is_closed { Err(ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    /// Whether the server has closed the connection by now.
    pub fn is_cut(&mut self) -> bool {
        self.link.read();
        self.link.is_closed
    }

    /// Says goodbye as encoders do.
    pub fn unpublish(mut self) {
        self.link.peer.unpublish();
        let _ = self.link.write_pending();
    }

    /// Sends `tags` in real time, over and over, from a thread of its own.
    pub fn keep_sending(self, tags: Arc<Vec<Media>>) -> Steady {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = stop.clone();
            move || send_until(self, &tags, &stop)
        });
        Steady { stop, thread: Some(thread) }
    }
}

/// A publisher that sends in the background until told to stop, or cut.
pub struct Steady {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Publisher>>>,
}

impl Steady {
    pub fn is_sending(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops sending; the publisher if it had not been cut before.
    pub fn stop(mut self) -> io::Result<Publisher> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("only here").join().expect("no panic")
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn send_until(mut publisher: Publisher, tags: &[Media], stop: &AtomicBool) -> io::Result<Publisher> {
    let began = Instant::now();
    let length = tags.last().map_or(0, |tag| tag.timestamp.0) + 33;
    for round in 0_u32.. {
        // A file repeated: its sequence headers too, as some cameras do.
        for tag in tags {
            let timestamp = tag.timestamp.0 + round * length;
            let due = began + Duration::from_millis(u64::from(timestamp));
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if stop.load(Ordering::Relaxed) {
                return Ok(publisher);
            }
            publisher.send(&Media { timestamp: Timestamp(timestamp), ..tag.clone() })?;
        }
    }
    Ok(publisher)
}

impl Link {
    fn open(from: IpAddr, to: SocketAddr, room: &str, key: &str) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.set_tcp_nodelay(true)?;
        socket.connect(&to.into())?;
        let action = ClientAction::Publish { name: Secret::from(key.as_bytes().to_vec()) };
        let config = ClientConfig::new(room, format!("rtmp://{to}/{room}"), action);
        let peer = ClientPeer::new(config, [7; 32], Instant::now());
        let mut link = Self { socket: socket.into(), peer, events: VecDeque::new(), is_closed: false };
        link.write_pending()?;
        Ok(link)
    }

    /// Takes in what is there (what comes, if the socket blocks) and answers it.
    fn read(&mut self) {
        let mut buffer = [0; 16 << 10];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.is_closed = true,
            Ok(n) => {
                if self.peer.handle(Instant::now(), Input::Bytes(&buffer[..n])).is_err() {
                    self.is_closed = true;
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.is_closed = true,
        }
        if self.write_pending().is_err() {
            self.is_closed = true;
        }
    }

    fn write_pending(&mut self) -> io::Result<()> {
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Transmit(bytes) => self.write_all(&bytes)?,
                Output::Event(event) => self.events.push_back(event),
                // The server's FIN tells the same.
                Output::Close(_) => {}
            }
        }
        Ok(())
    }

    /// A full socket buffer is waited out, since the server always reads.
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// After a refusal the server must close, or an encoder would wait for ever.
    fn expect_close(&mut self) {
        self.socket.set_read_timeout(Some(super::LONG)).expect("a timeout");
        let mut rest = Vec::new();
        match self.socket.read_to_end(&mut rest) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => panic!("refused, but the connection stays open"),
            _ => self.is_closed = true,
        }
    }
}

/// The media of an FLV file, as an encoder would send it.
pub fn tags(flv: &Path) -> Arc<Vec<Media>> {
    let bytes = std::fs::read(flv).expect("a sample");
    let mut tags = Vec::new();
    // FLV: a header of 9 bytes, then each tag (11 bytes of header) between two lengths of 4 bytes.
    let mut rest = &bytes[13..];
    while rest.len() > 11 {
        let size = usize::from(rest[1]) << 16 | usize::from(rest[2]) << 8 | usize::from(rest[3]);
        let timestamp = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
        let payload = Bytes::copy_from_slice(&rest[11..11 + size]);
        let kind = match rest[0] {
            8 => MediaKind::Audio,
            9 => MediaKind::Video,
            _ => MediaKind::Data,
        };
        tags.push(Media { kind, timestamp: Timestamp(timestamp), payload });
        rest = &rest[11 + size + 4..];
    }
    Arc::new(tags)
}

/// A data message that asks a node built with `fault-injection` to panic in `part` of this connection.
pub fn fault(part: &str) -> Media {
    let name = format!("onairFault:{part}");
    let mut payload = vec![2, 0, u8::try_from(name.len()).expect("a short name")];
    payload.extend_from_slice(name.as_bytes());
    Media { kind: MediaKind::Data, timestamp: Timestamp(0), payload: payload.into() }
}
