//! Together: what all readers who keep up are due, as one piece of bytes that they share.
//!
//! After each ring most readers of a room are due the same frames. Put together once, they are one clone and one buffer for each of them,
//! instead of one for each frame.

use bytes::{Bytes, BytesMut};

use super::ring::Ring;

/// Frames in one piece, and bytes: what one reader is given at once anyway.
const FRAMES_MAX: u64 = 64;
const BYTES_MAX: usize = 256 * 1024;

/// The last piece. Room for one: it is of this moment, or of no use.
#[derive(Debug, Default)]
pub(super) struct Together {
    first: u64,
    head: u64,
    chunk_size: u32,
    bytes: Bytes,
}

impl Together {
    /// The frames from `first` to the ring's head, as chunks of message stream 1. `None` for who is behind: a piece of its own would cost more
    /// than its frames.
    pub(super) fn from(&mut self, first: u64, ring: &Ring, chunk_size: u32) -> Option<Bytes> {
        let head = ring.head();
        if (self.first, self.head, self.chunk_size) != (first, head, chunk_size) {
            let is_behind = first < self.head;
            if is_behind || head - first > FRAMES_MAX {
                return None;
            }
            let frames = || (first..head).filter_map(|number| ring.get(number));
            let size: usize = frames().map(|frame| frame.wire(chunk_size).len()).sum();
            if size > BYTES_MAX {
                return None;
            }
            let mut bytes = BytesMut::with_capacity(size);
            frames().for_each(|frame| bytes.extend_from_slice(frame.wire(chunk_size)));
            *self = Self { first, head, chunk_size, bytes: bytes.freeze() };
        }
        Some(self.bytes.clone())
    }

    /// Nothing is shared any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
