//! Random: the filler bytes of handshake blocks, drawn from a seed that the caller provides.

use sha2::{Digest, Sha256};

/// SHA-256 of seed and counter, block after block: unpredictable without the seed, the same with it.
#[derive(Debug)]
pub(super) struct Random {
    seed: [u8; 32],
    counter: u64,
}

impl Random {
    pub(super) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(32) {
            let block =
                Sha256::new().chain_update(self.seed).chain_update(self.counter.to_be_bytes()).finalize();
            piece.copy_from_slice(&block[..piece.len()]);
            self.counter += 1;
        }
    }
}
