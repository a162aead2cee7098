//! Carry: the bytes of a header that was cut by the end of the input.

use crate::chunk::HEADER_BYTES_MAX;

/// At most one header's worth of bytes, a few of which may turn out to be payload.
#[derive(Default)]
pub(super) struct Carry {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
}

impl Carry {
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Copies as much of `input` as fits and returns how much that was. The input is left alone.
    pub(super) fn fill_from(&mut self, input: &[u8]) -> usize {
        let added = input.len().min(HEADER_BYTES_MAX - self.len);
        self.bytes[self.len..self.len + added].copy_from_slice(&input[..added]);
        self.len += added;
        added
    }

    /// Moves the rest of the input in. The rest is an unfinished header, so it fits.
    pub(super) fn take_all(&mut self, input: &mut &[u8]) {
        let added = self.fill_from(input);
        *input = &input[added..];
    }

    /// Forgets what was added behind the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Removes the first `count` bytes.
    pub(super) fn skip(&mut self, count: usize) {
        self.bytes.copy_within(count..self.len, 0);
        self.len -= count;
    }
}

impl std::fmt::Debug for Carry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Carry({} bytes)", self.len)
    }
}
