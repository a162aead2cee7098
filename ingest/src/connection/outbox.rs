//! Outbox: bytes on their way into a socket, written with as few system calls as it takes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

/// Slices per system call. Linux takes 1 024; past 64 the gain is gone.
const SLICES_MAX: usize = 64;

/// Whole messages, in order; the first may be partly written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    parts: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.bytes += part.len();
            self.parts.push_back(part);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What is still to be written.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes by `write` until all is written or that would block. Returns the bytes written.
    pub(crate) fn write_to(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<u64> {
        let mut written = 0;
        while !self.parts.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.parts.len().min(SLICES_MAX);
            for (slice, part) in slices.iter_mut().zip(&self.parts) {
                *slice = IoSlice::new(part);
            }
            match write(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    written += n as u64;
                    self.advance(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn advance(&mut self, mut n: usize) {
        self.bytes -= n;
        while let Some(part) = self.parts.front_mut() {
            if n < part.len() {
                part.advance(n);
                return;
            }
            n -= part.len();
            self.parts.pop_front();
        }
    }
}

impl Extend<Bytes> for Outbox {
    fn extend<I: IntoIterator<Item = Bytes>>(&mut self, parts: I) {
        for part in parts {
            self.push(part);
        }
    }
}
