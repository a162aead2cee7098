//! Floor: the cheapest that a server could be: bare sockets, the same reads and the same writes, and nothing else. What a real
//! server costs above it is its own doing.
//!
//! It says of RTMP what a client needs to hear, from answers made beforehand. Then it passes on what a publisher wrote, byte by byte
//! as it came, to the players of the room: a write for each read, which is one for each message unless reads are gathered. It chunks nothing anew,
//! checks nothing, remembers nothing, and players begin in the middle: only a load test can live with it. Of what publishers
//! send it looks at the chunk headers, since players must begin between two messages; that is less than a hundredth of its time.

mod peer;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use peer::{Heard, Peer};

/// Bytes read at once, shared by all connections.
const READ_BYTES: usize = 256 * 1024;
const EVENTS: usize = 1024;
const LISTENER: Token = Token(usize::MAX);
/// How long a stop may go unnoticed.
const IDLE_MAX: Duration = Duration::from_millis(100);

/// A floor that listens.
#[derive(Debug)]
pub struct Floor {
    listener: TcpListener,
    poll: Poll,
    /// How long it sleeps between two looks at its sockets while everybody is publishing or playing, so that what came meanwhile is one
    /// read and one write for each player.
    gather: Duration,
    /// Connections that neither publish nor play yet: those are not kept waiting.
    asking: usize,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    rooms: Vec<Room>,
    names: HashMap<Vec<u8>, usize>,
    buffer: Vec<u8>,
}

/// Who watches a room.
#[derive(Debug, Default)]
struct Room {
    players: Vec<usize>,
    /// Players who begin with the next message.
    waiting: Vec<usize>,
}

impl Floor {
    /// Listens at `address`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn bind(address: SocketAddr, gather: Duration) -> io::Result<Self> {
        let mut listener = TcpListener::bind(address)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            listener,
            poll,
            gather,
            asking: 0,
            peers: Vec::new(),
            free: Vec::new(),
            rooms: Vec::new(),
            names: HashMap::new(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is set.
    ///
    /// # Errors
    /// When the poll fails. Connections that fail are closed.
    pub fn run(mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while !stop.load(Ordering::Relaxed) {
            if self.asking == 0 && !self.gather.is_zero() {
                std::thread::sleep(self.gather);
            }
            match self.poll.poll(&mut events, Some(IDLE_MAX)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept();
                } else if self.serve(event).is_err() {
                    self.close(event.token().0);
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        // Whatever else may be wrong with one connection, the next may be good; and none waits when there is nothing more.
        while let Ok((mut socket, _)) = self.listener.accept() {
            let at = self.free.pop().unwrap_or(self.peers.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            if socket.set_nodelay(true).is_err()
                || self.poll.registry().register(&mut socket, Token(at), interest).is_err()
            {
                self.free.push(at);
                continue;
            }
            if at >= self.peers.len() {
                self.peers.resize_with(at + 1, || None);
            }
            self.peers[at] = Some(Peer::new(socket));
            self.asking += 1;
        }
    }

    fn serve(&mut self, event: &Event) -> io::Result<()> {
        let at = event.token().0;
        let Some(Some(peer)) = self.peers.get_mut(at) else { return Ok(()) };
        if event.is_writable() {
            peer.flush()?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.read(at, &mut buffer, event.is_read_closed());
        self.buffer = buffer;
        read
    }

    fn read(&mut self, at: usize, buffer: &mut [u8], has_ended: bool) -> io::Result<()> {
        loop {
            let Some(peer) = &mut self.peers[at] else { return Ok(()) };
            let n = match peer.socket.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            match peer.hear(&buffer[..n])? {
                Heard::Nothing => {}
                Heard::Publish(name) => {
                    let room = self.room(name);
                    self.grant(at, room, true)?;
                }
                Heard::Play(name) => {
                    let room = self.room(name);
                    self.grant(at, room, false)?;
                    self.rooms[room].waiting.push(at);
                }
                Heard::Media(room, is_between) => self.relay(room, &buffer[..n], is_between),
            }
            // Less than there was room for: the next bytes make a new event.
            if n < buffer.len() && !has_ended {
                return Ok(());
            }
        }
    }

    fn grant(&mut self, at: usize, room: usize, is_publisher: bool) -> io::Result<()> {
        self.asking -= 1;
        self.peers[at].as_mut().map_or(Ok(()), |peer| peer.grant(room, is_publisher))
    }

    fn room(&mut self, name: Vec<u8>) -> usize {
        *self.names.entry(name).or_insert_with(|| {
            self.rooms.push(Room::default());
            self.rooms.len() - 1
        })
    }

    fn relay(&mut self, at: usize, bytes: &[u8], is_between: bool) {
        self.write(at, bytes);
        let room = &mut self.rooms[at];
        if is_between {
            room.players.append(&mut room.waiting);
        }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let mut failed = Vec::new();
        for &player in &self.rooms[at].players {
            if let Some(Some(peer)) = self.peers.get_mut(player)
                && peer.write(bytes).is_err()
            {
                failed.push(player);
            }
        }
        for player in failed {
            self.close(player);
        }
    }

    fn close(&mut self, at: usize) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::take) else { return };
        match peer.room() {
            Some(room) => {
                let room = &mut self.rooms[room];
                room.players.retain(|player| *player != at);
                room.waiting.retain(|player| *player != at);
            }
            None => self.asking -= 1,
        }
        self.free.push(at);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    /// What the load test finds of a floor.
    fn load(gather: Duration) -> crate::report::Report {
        let floor = Floor::bind("127.0.0.1:0".parse().unwrap(), gather).unwrap();
        let address = floor.local_addr().unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| floor.run(&stop));
            let line = format!(
                "onair-loadtest publish --rooms 3 --players 9 --kbps 6000 --seconds 1s --warm-up 300ms --publish rtmp://{address}/live/{{n}}"
            );
            let cli = Cli::parse_from(line.split_whitespace());
            let report = crate::run::run(&cli, &AtomicBool::new(false)).unwrap();
            stop.store(true, Ordering::Relaxed);
            serving.join().unwrap().unwrap();
            report
        })
    }

    #[test]
    fn what_publishers_write_reaches_their_players_whole_and_in_order() {
        for gather in [Duration::ZERO, Duration::from_millis(50)] {
            let report = load(gather);
            assert!(report.verdict.holds(), "{report}");
            assert_eq!((report.counts["publishes"], report.counts["plays"]), (3, 9), "{report}");
            assert!(report.counts["pictures received"] > 9, "{report}");
        }
    }
}
