//! Socket: a connection's TCP stream. Its reactor watches it, or it is left alone between the looks of its owner.
//!
//! A watched socket costs a wake-up whenever something arrives. One that is left alone costs none: what arrives waits in the kernel,
//! in order, until its owner looks. The peer sees no difference but acknowledgements that come some milliseconds later.

mod peeks;

use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use self::peeks::Peeks;

/// A connected, non-blocking stream.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    is_watched: bool,
    peeks: Option<Peeks>,
}

impl Socket {
    /// Left alone until [`Socket::watch`]. The stream must not block.
    pub(crate) fn new(stream: std::net::TcpStream) -> Self {
        Self { stream: TcpStream::from_std(stream), is_watched: false, peeks: None }
    }

    pub(crate) const fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// Lets the reactor watch it: events come when it becomes readable or writable, and at once if it is.
    ///
    /// # Errors
    /// The operating system's, when it cannot be watched.
    pub(crate) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if !self.is_watched {
            registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)?;
            self.is_watched = true;
        }
        Ok(())
    }

    /// Stops watching: from now on only [`Socket::try_read`] tells what there is.
    ///
    /// # Errors
    /// As [`Socket::watch`].
    pub(crate) fn leave_alone(&mut self, registry: &Registry) -> io::Result<()> {
        if self.is_watched {
            registry.deregister(&mut self.stream)?;
            self.is_watched = false;
        }
        Ok(())
    }

    /// Reads what is there. `WouldBlock` when nothing is; 0 when the peer has closed. Less than was asked for: the kernel has no
    /// more, and makes an event when it has.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8], now: Instant) -> io::Result<usize> {
        match &mut self.peeks {
            Some(peeks) => peeks.read(&SockRef::from(&self.stream), buffer, now),
            None => self.stream.read(buffer),
        }
    }

    /// From now on what is read stays in the kernel's queue for a moment, so that much of it is acknowledged at once
    /// ([`peeks`]). Where the kernel cannot do that, nothing changes.
    pub(crate) fn begin_peeking(&mut self) {
        self.peeks = Peeks::begin(&SockRef::from(&self.stream)).ok();
    }

    /// Takes what was read out of the kernel's queue. To be called at [`Socket::takes_at`].
    pub(crate) fn take(&mut self) {
        if let Some(peeks) = &mut self.peeks {
            // A socket that has failed says so at the next read.
            let _failed = peeks.take(&SockRef::from(&self.stream));
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
            let _failed = peeks.end(&SockRef::from(&self.stream));
        }
    }

    /// Writes what the kernel takes. `WouldBlock` when it takes nothing.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // Not `writev`: it looks at the file of the socket besides, which is one of many and never in a cache.
        let socket = SockRef::from(&self.stream);
        match slices {
            [slice] => socket.send(slice),
            _ => socket.send_vectored(slices),
        }
    }

    /// Says that nothing more will be written: FIN after the last byte.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Whether the kernel acknowledges at once what was read. Linux forgets the former by itself, so it has to be said after
    /// every read.
    pub(crate) fn acknowledge_at_once(&self, at_once: bool) {
        // Without it everything works, only later, or with more packets.
        let _unsupported = SockRef::from(&self.stream).set_tcp_quickack(at_once);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // To close a socket with something left in its queue is to reset it, and a reset destroys our last words in the peer's.
        self.end_peeking();
    }
}
