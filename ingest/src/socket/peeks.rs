//! Peeks: bytes that were read and not taken yet, so that the kernel acknowledges many reads with one packet.
//!
//! Linux sends an acknowledgement from inside a read that empties a socket's queue when two segments lay in it, whatever delayed
//! acknowledgements mean elsewhere. For an encoder's small messages that packet costs more than reading them. A queue that is not emptied
//! is acknowledged by the kernel's own timer instead (RFC 9293 §3.8.6.3), so bytes are read by peeking (`SO_PEEK_OFF`, for TCP since Linux
//! 6.10) and leave the queue together, a few times a second.
//!
//! What was read counts against the receive window until then. So it is bounded, in bytes and in time: a queue that stays half full would
//! close the window, and the sender could not end that.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::SetStruct;
use nix::sys::socket::{MsgFlags, SetSockOpt, recv};

/// Bytes that may lie in the queue: a quarter of the smallest receive buffer that a system usually grants.
const SEEN_MAX: usize = 32 * 1024;
/// One read that finds so much is a burst: it is taken at once, to leave the window to what follows.
const BURST: usize = 16 * 1024;
/// Reads after a burst that take what they read. Where every other message is one, peeking would save no acknowledgement and cost a
/// second call each time.
const PLAIN_READS: u32 = 8;
/// How long they may lie there while more comes, and how long at all.
const LIES_FOR: Duration = Duration::from_millis(150);
const LIES_AT_MOST: Duration = Duration::from_millis(500);

/// Off.
const NO_PEEKING: i32 = -1;

thread_local! {
    /// What the kernel is told to read into when it is to read nothing.
    static UNTOUCHED: RefCell<Box<[u8]>> = RefCell::new(vec![0; SEEN_MAX].into_boxed_slice());
}

/// Where in the queue a peek begins; each peek moves it on, each byte that is taken moves it back.
#[derive(Clone, Copy, Debug)]
struct PeekOffset;

nix::setsockopt_impl!(PeekOffset, libc::SOL_SOCKET, libc::SO_PEEK_OFF, i32, SetStruct<'_, i32>);

#[derive(Debug)]
pub(super) struct Peeks {
    /// Bytes that were read and lie in the queue still.
    seen: usize,
    /// When the first of them was read.
    since: Instant,
    /// Reads that still take what they read. Nothing is seen and not taken meanwhile.
    plain: u32,
}

impl Peeks {
    /// # Errors
    /// When the kernel cannot do it.
    pub(super) fn begin(socket: &socket2::Socket) -> io::Result<Self> {
        PeekOffset.set(socket, &0)?;
        Ok(Self { seen: 0, since: Instant::now(), plain: 0 })
    }

    /// Reads on behind what was read before, as `recv` does.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn read(
        &mut self,
        socket: &socket2::Socket,
        buffer: &mut [u8],
        now: Instant,
    ) -> io::Result<usize> {
        if self.plain > 0 {
            let n = recv(socket.as_raw_fd(), buffer, MsgFlags::empty())?;
            self.plain = if n >= BURST { PLAIN_READS } else { self.plain - 1 };
            return Ok(n);
        }
        let n = recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_PEEK)?;
        if self.seen == 0 {
            self.since = now;
        }
        self.seen += n;
        let has_lain = now.saturating_duration_since(self.since) >= LIES_FOR;
        let is_burst = n >= BURST.min(buffer.len());
        if is_burst || self.seen >= SEEN_MAX || has_lain {
            self.take(socket)?;
        }
        if is_burst {
            self.plain = PLAIN_READS;
        }
        Ok(n)
    }

    /// Takes all that was read.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn take(&mut self, socket: &socket2::Socket) -> io::Result<()> {
        let mut left = std::mem::take(&mut self.seen);
        UNTOUCHED.with_borrow_mut(|untouched| {
            while left > 0 {
                let part = left.min(untouched.len());
                // Of a stream, bytes that are truncated are taken and copied nowhere: tcp(7).
                match recv(socket.as_raw_fd(), &mut untouched[..part], MsgFlags::MSG_TRUNC)? {
                    0 => break,
                    n => left -= n.min(left),
                }
            }
            Ok(())
        })
    }

    pub(super) fn takes_at(&self) -> Option<Instant> {
        (self.seen > 0).then(|| self.since + LIES_AT_MOST)
    }

    /// Takes all that was read, and lets reads be reads again.
    ///
    /// # Errors
    /// As [`Peeks::take`].
    pub(super) fn end(mut self, socket: &socket2::Socket) -> io::Result<()> {
        self.take(socket)?;
        Ok(PeekOffset.set(socket, &NO_PEEKING)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use socket2::SockRef;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    fn queued(socket: &SockRef<'_>) -> usize {
        recv(socket.as_raw_fd(), &mut [0; 64 * 1024], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)
            .unwrap_or(0)
    }

    #[test]
    fn what_was_read_stays_until_it_is_taken_and_is_read_once() {
        let (mut near, far) = pair();
        let socket = SockRef::from(&far);
        let mut peeks = Peeks::begin(&socket).unwrap();
        let (now, mut buffer) = (Instant::now(), [0; 1024]);
        for text in [b"one", b"two"] {
            near.write_all(text).unwrap();
            let n = peeks.read(&socket, &mut buffer, now).unwrap();
            assert_eq!(&buffer[..n], text);
        }
        assert!(peeks.takes_at().is_some());
        near.write_all(b"three").unwrap();
        peeks.take(&socket).unwrap();
        assert!(peeks.takes_at().is_none());
        peeks.end(&socket).unwrap();
        let n = (&far).read(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"three");
    }

    #[test]
    fn what_lies_too_long_or_is_too_much_is_taken() {
        let (mut near, far) = pair();
        let socket = SockRef::from(&far);
        let mut peeks = Peeks::begin(&socket).unwrap();
        let (now, mut buffer) = (Instant::now(), vec![0; 64 * 1024]);
        near.write_all(b"one").unwrap();
        peeks.read(&socket, &mut buffer, now).unwrap();
        near.write_all(b"two").unwrap();
        peeks.read(&socket, &mut buffer, now + LIES_FOR).unwrap();
        assert_eq!((peeks.takes_at(), queued(&socket)), (None, 0));
        let mut read = 0;
        near.write_all(&[7; SEEN_MAX]).unwrap();
        while read < SEEN_MAX {
            read += peeks.read(&socket, &mut buffer[..BURST - 1], now).unwrap();
        }
        assert_eq!((peeks.takes_at(), queued(&socket)), (None, 0));
    }

    #[test]
    fn a_sender_that_never_pauses_is_never_stopped() {
        let (mut near, far) = pair();
        let sent: Vec<u8> = (0..8_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let all = sent.clone();
        let sending = std::thread::spawn(move || {
            let mut rest = &all[..];
            for length in (0..).map(|n: usize| [300, 20_000, 1, 4_096, 90_000][n % 5]) {
                let (now, later) = rest.split_at(length.min(rest.len()));
                near.write_all(now).unwrap();
                rest = later;
                if rest.is_empty() {
                    return;
                }
            }
        });
        let socket = SockRef::from(&far);
        let mut peeks = Peeks::begin(&socket).unwrap();
        let (mut got, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        loop {
            let n = peeks.read(&socket, &mut buffer, Instant::now()).unwrap();
            if n == 0 {
                break;
            }
            got.extend_from_slice(&buffer[..n]);
        }
        sending.join().unwrap();
        assert!(got == sent, "{} of {} bytes, or others", got.len(), sent.len());
    }
}
