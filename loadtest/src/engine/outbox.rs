//! Outbox: what a connection has still to write. As long as the socket takes everything, nothing is kept and nothing copied.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};

use bytes::Bytes;
use mio::net::TcpStream;

/// Slices in one write.
pub(super) const SLICES_MAX: usize = 32;

/// A piece of what is to be written.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    /// Copied if it must wait.
    Own(&'a [u8]),
    /// Shared if it must wait.
    Shared(&'a Bytes),
}

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    fn keep_from(&self, at: usize) -> Bytes {
        match self {
            Self::Own(bytes) => Bytes::copy_from_slice(&bytes[at..]),
            Self::Shared(bytes) => bytes.slice(at..),
        }
    }
}

/// Bytes that wait for the socket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    /// Bytes that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes `parts`, at most [`SLICES_MAX`], behind what waits, as far as the socket takes them; the rest waits.
    pub(super) fn write(&mut self, socket: &mut TcpStream, parts: &[Part<'_>]) -> io::Result<()> {
        let mut taken = if self.waiting.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            for (slice, part) in slices.iter_mut().zip(parts) {
                *slice = IoSlice::new(part.bytes());
            }
            attempt(socket, &slices[..parts.len().min(SLICES_MAX)])?
        } else {
            0
        };
        for part in parts {
            let length = part.bytes().len();
            if taken >= length {
                taken -= length;
                continue;
            }
            self.waiting.push_back(part.keep_from(taken));
            self.bytes += length - taken;
            taken = 0;
        }
        Ok(())
    }

    /// Writes what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        while !self.waiting.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.waiting.len().min(SLICES_MAX);
            for (slice, bytes) in slices.iter_mut().zip(&self.waiting) {
                *slice = IoSlice::new(bytes);
            }
            let mut taken = attempt(socket, &slices[..count])?;
            if taken == 0 {
                return Ok(());
            }
            self.bytes -= taken;
            while let Some(first) = self.waiting.front_mut() {
                if first.len() > taken {
                    *first = first.slice(taken..);
                    break;
                }
                taken -= first.len();
                self.waiting.pop_front();
            }
        }
        // A burst must not be remembered in memory.
        self.waiting.shrink_to(8);
        Ok(())
    }
}

fn attempt(socket: &mut TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        // A single slice takes the shorter way through the kernel.
        let wrote = match slices {
            [one] => socket.write(one),
            many => socket.write_vectored(many),
        };
        match wrote {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(0),
            other => return other,
        }
    }
}
