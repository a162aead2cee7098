//! Socket: a connection's TCP stream. The runtime watches it, or it is left alone between the looks of its owner.
//!
//! A watched socket costs a wake-up whenever something arrives. One that is left alone costs none: what arrives waits in the kernel,
//! in order, until its owner looks. The peer sees no difference but acknowledgements that come some milliseconds later.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A connected, non-blocking stream.
#[derive(Debug)]
pub(crate) struct Socket(State);

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
        Self(State::Watched(stream))
    }

    pub(crate) const fn is_watched(&self) -> bool {
        matches!(self.0, State::Watched(_))
    }

    /// Lets the runtime watch again.
    ///
    /// # Errors
    /// The operating system's, when it cannot be watched. The socket is of no more use then.
    pub(crate) fn watch(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.0, State::Lost) {
            State::LeftAlone(stream) => self.0 = State::Watched(TcpStream::from_std(stream)?),
            other => self.0 = other,
        }
        Ok(())
    }

    /// Stops watching: from now on only [`Socket::try_read`] tells what there is.
    ///
    /// # Errors
    /// As [`Socket::watch`].
    pub(crate) fn leave_alone(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.0, State::Lost) {
            State::Watched(stream) => self.0 = State::LeftAlone(stream.into_std()?),
            other => self.0 = other,
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
        let stream = match &self.0 {
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
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let stream = match &self.0 {
            State::Watched(stream) => stream,
            State::LeftAlone(stream) => return { stream }.read(buffer),
            State::Lost => return Err(lost()),
        };
        // Less than was asked for: the kernel has no more, and will say so when it has. Without this every message would cost a
        // second read, only to hear that. The readiness is of before the read, so nothing that comes meanwhile is missed.
        let mut part = None;
        let read = stream.try_io(Interest::READABLE, || {
            let read = (&*SockRef::from(stream)).read(buffer)?;
            if read > 0 && read < buffer.len() {
                part = Some(read);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(read)
        });
        part.map_or(read, Ok)
    }

    /// Writes what the kernel takes. `WouldBlock` when it takes nothing.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.0 {
            State::Watched(stream) => stream.try_write_vectored(slices),
            State::LeftAlone(stream) => { stream }.write_vectored(slices),
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
        match &self.0 {
            State::Watched(stream) => stream.peer_addr(),
            State::LeftAlone(stream) => stream.peer_addr(),
            State::Lost => Err(lost()),
        }
    }

    fn with_ref<T>(&self, f: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        match &self.0 {
            State::Watched(stream) => f(SockRef::from(stream)),
            State::LeftAlone(stream) => f(SockRef::from(stream)),
            State::Lost => Err(lost()),
        }
    }
}
