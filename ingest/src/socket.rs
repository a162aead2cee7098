//! Socket: a connection's TCP stream. The runtime watches it, or it is left alone between the looks of its owner.
//!
//! A watched socket costs a wake-up whenever something arrives. One that is left alone costs none: what arrives waits in the kernel,
//! in order, until its owner looks. The peer sees no difference but acknowledgements that come some milliseconds later.

mod peeks;

use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Instant;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use self::peeks::Peeks;

/// A connected, non-blocking stream.
#[derive(Debug)]
pub(crate) struct Socket {
    state: State,
    peeks: Option<Peeks>,
}

#[derive(Debug)]
enum State {
    Watched(TcpStream),
    LeftAlone(std::net::TcpStream),
    /// The runtime would not have it. Every use fails.
    Lost,
}

/// What may be worth trying now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Read,
    Write,
}

fn lost() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl Socket {
    /// Watched from the start.
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self { state: State::Watched(stream), peeks: None }
    }

    pub(crate) const fn is_watched(&self) -> bool {
        matches!(self.state, State::Watched(_))
    }

    /// Lets the runtime watch again.
    ///
    /// # Errors
    /// The operating system's, when it cannot be watched. The socket is of no more use then.
    pub(crate) fn watch(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::LeftAlone(stream) => self.state = State::Watched(TcpStream::from_std(stream)?),
            other => self.state = other,
        }
        Ok(())
    }

    /// Stops watching: from now on only [`Socket::try_read`] tells what there is.
    ///
    /// # Errors
    /// As [`Socket::watch`].
    pub(crate) fn leave_alone(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Watched(stream) => self.state = State::LeftAlone(stream.into_std()?),
            other => self.state = other,
        }
        Ok(())
    }

    /// Resolves when it is worth trying to read, or to write where `writes` says so; never while it is left alone.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        reads: bool,
        writes: bool,
    ) -> Poll<io::Result<Ready>> {
        let stream = match &self.state {
            State::Watched(stream) => stream,
            State::LeftAlone(_) => return Poll::Pending,
            State::Lost => return Poll::Ready(Err(lost())),
        };
        if reads && let Poll::Ready(ready) = stream.poll_read_ready(cx) {
            return Poll::Ready(ready.map(|()| Ready::Read));
        }
        if writes && let Poll::Ready(ready) = stream.poll_write_ready(cx) {
            return Poll::Ready(ready.map(|()| Ready::Write));
        }
        Poll::Pending
    }

    /// Reads what is there. `WouldBlock` when nothing is; 0 when the peer has closed.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8], now: Instant) -> io::Result<usize> {
        let (peeks, wanted) = (&mut self.peeks, buffer.len());
        let mut read = |socket: SockRef<'_>| match peeks {
            Some(peeks) => peeks.read(&socket, buffer, now),
            None => (&*socket).read(buffer),
        };
        let stream = match &self.state {
            State::Watched(stream) => stream,
            State::LeftAlone(stream) => return read(SockRef::from(stream)),
            State::Lost => return Err(lost()),
        };
        // Less than was asked for: the kernel has no more, and will say so when it has. Without this every message would cost a
        // second read, only to hear that. The readiness is of before the read, so nothing that comes meanwhile is missed.
        let mut part = None;
        let whole = stream.try_io(Interest::READABLE, || {
            let n = read(SockRef::from(stream))?;
            if n > 0 && n < wanted {
                part = Some(n);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(n)
        });
        part.map_or(whole, Ok)
    }

    /// From now on what is read stays in the kernel's queue for a moment, so that much of it is acknowledged at once
    /// ([`peeks`]). Where the kernel cannot do that, nothing changes.
    pub(crate) fn begin_peeking(&mut self) {
        self.peeks = self.with_ref(|socket| Peeks::begin(&socket)).ok();
    }

    /// Takes what was read out of the kernel's queue. To be called at [`Socket::takes_at`].
    pub(crate) fn take(&mut self) {
        if let Some(mut peeks) = self.peeks.take() {
            // A socket that has failed says so at the next read.
            let _failed = self.with_ref(|socket| peeks.take(&socket));
            self.peeks = Some(peeks);
        }
    }

    /// When what was read must leave the kernel's queue, even if nothing more comes; `None` when it has.
    pub(crate) fn takes_at(&self) -> Option<Instant> {
        self.peeks.as_ref().and_then(Peeks::takes_at)
    }

    /// What is read is taken, as everywhere.
    pub(crate) fn end_peeking(&mut self) {
        if let Some(peeks) = self.peeks.take() {
            // As in `take`.
            let _failed = self.with_ref(|socket| peeks.end(&socket));
        }
    }

    /// Writes what the kernel takes. `WouldBlock` when it takes nothing.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // Not `writev`: it looks at the file of the socket besides, which is one of many and never in a cache.
        let write = |socket: SockRef<'_>| socket.send_vectored(slices);
        match &self.state {
            State::Watched(stream) => stream.try_io(Interest::WRITABLE, || write(SockRef::from(stream))),
            State::LeftAlone(stream) => write(SockRef::from(stream)),
            State::Lost => Err(lost()),
        }
    }

    /// Says that nothing more will be written: FIN after the last byte.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.with_ref(|socket| socket.shutdown(Shutdown::Write))
    }

    /// Whether the kernel acknowledges at once what was read. Linux forgets the former by itself, so it has to be said after
    /// every read.
    pub(crate) fn acknowledge_at_once(&self, at_once: bool) {
        // Without it everything works, only later, or with more packets.
        let _unsupported = self.with_ref(|socket| socket.set_tcp_quickack(at_once));
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.state {
            State::Watched(stream) => stream.peer_addr(),
            State::LeftAlone(stream) => stream.peer_addr(),
            State::Lost => Err(lost()),
        }
    }

    fn with_ref<T>(&self, f: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        match &self.state {
            State::Watched(stream) => f(SockRef::from(stream)),
            State::LeftAlone(stream) => f(SockRef::from(stream)),
            State::Lost => Err(lost()),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // To close a socket with something left in its queue is to reset it, and a reset destroys our last words in the peer's.
        self.end_peeking();
    }
}
