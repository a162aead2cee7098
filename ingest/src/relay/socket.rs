//! Socket: the TCP stream of a pull, watched by the runtime.

use std::io::{self, IoSlice, Read};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A connected stream.
#[derive(Debug)]
pub(super) struct Socket(TcpStream);

/// What may be worth trying now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Read,
    Write,
}

impl Socket {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    /// Resolves when it is worth trying to read, or to write where `writes` says so.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>, writes: bool) -> Poll<io::Result<Ready>> {
        if let Poll::Ready(ready) = self.0.poll_read_ready(cx) {
            return Poll::Ready(ready.map(|()| Ready::Read));
        }
        if writes && let Poll::Ready(ready) = self.0.poll_write_ready(cx) {
            return Poll::Ready(ready.map(|()| Ready::Write));
        }
        Poll::Pending
    }

    /// Reads what is there. `WouldBlock` when nothing is; 0 when the peer has closed.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // Less than was asked for: the kernel has no more, and will say so when it has. Without this every message would cost a
        // second read, only to hear that. The readiness is of before the read, so nothing that comes meanwhile is missed.
        let mut part = None;
        let read = self.0.try_io(Interest::READABLE, || {
            let read = (&*SockRef::from(&self.0)).read(buffer)?;
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
    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}
