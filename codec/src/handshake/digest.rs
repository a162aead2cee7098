//! The digest form of the handshake: blocks signed with HMAC-SHA256 under well-known keys.
//!
//! It proves nothing, since everyone knows the keys, but Flash Player and some set-top players want it. A block
//! carries a 32-byte digest over the rest of itself, at a place that four of its bytes choose:
//! `(b[base] + b[base+1] + b[base+2] + b[base+3]) mod 728 + base + 4`.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::BLOCK_BYTES;

/// Length of a digest.
pub const DIGEST_BYTES: usize = 32;

/// Which half of the block the digest lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Base 8: `FFmpeg`, later Flash Players.
    DigestFirst,
    /// Base 772: the first half is the key block of RTMPE.
    KeyFirst,
}

/// Whose key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The player's: C1 and C2.
    Client,
    /// The server's: S1 and S2.
    Server,
}

const CLIENT_NAME: &[u8] = b"Genuine Adobe Flash Player 001";
const SERVER_NAME: &[u8] = b"Genuine Adobe Flash Media Server 001";

/// Both full keys are the name followed by these bytes.
const KEY_TAIL: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57, 0x6E,
    0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];

impl Key {
    /// The short key, which signs blocks 1.
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Client => CLIENT_NAME,
            Self::Server => SERVER_NAME,
        }
    }
}

impl Scheme {
    const ALL: [Self; 2] = [Self::KeyFirst, Self::DigestFirst];

    const fn base(self) -> usize {
        match self {
            Self::DigestFirst => 8,
            Self::KeyFirst => 772,
        }
    }

    /// Where the digest of this block lies. At most 1531 - 32, whatever the block says.
    fn offset(self, block: &[u8]) -> usize {
        let base = self.base();
        let sum: usize = block[base..base + 4].iter().map(|&byte| usize::from(byte)).sum();
        sum % 728 + base + 4
    }
}

/// The digest of a block 1 and its scheme, if one of the two places holds a valid one. `None` also for a slice that
/// is not [`BLOCK_BYTES`] long.
pub fn find(block: &[u8], key: Key) -> Option<(Scheme, [u8; DIGEST_BYTES])> {
    if block.len() != BLOCK_BYTES {
        return None;
    }
    Scheme::ALL.into_iter().find_map(|scheme| {
        let digest = block_digest(block, scheme, key);
        let offset = scheme.offset(block);
        (block[offset..offset + DIGEST_BYTES] == digest).then_some((scheme, digest))
    })
}

/// Writes the digest of a block 1 into its place and returns it.
pub fn sign(block: &mut [u8; BLOCK_BYTES], scheme: Scheme, key: Key) -> [u8; DIGEST_BYTES] {
    let digest = block_digest(block, scheme, key);
    let offset = scheme.offset(block);
    block[offset..offset + DIGEST_BYTES].copy_from_slice(&digest);
    digest
}

/// Writes the signature of a block 2 into its last 32 bytes. `peer_digest` is that of the block 1 it answers.
pub fn sign_response(block: &mut [u8; BLOCK_BYTES], peer_digest: &[u8; DIGEST_BYTES], key: Key) {
    let (signed, signature) = block.split_at_mut(BLOCK_BYTES - DIGEST_BYTES);
    signature.copy_from_slice(&response_signature(signed, peer_digest, key));
}

/// Whether a block 2 is the signed answer to the block 1 that had `digest`.
pub fn verify_response(block: &[u8], digest: &[u8; DIGEST_BYTES], key: Key) -> bool {
    if block.len() != BLOCK_BYTES {
        return false;
    }
    let (signed, signature) = block.split_at(BLOCK_BYTES - DIGEST_BYTES);
    signature == response_signature(signed, digest, key)
}

/// Over the block without the digest's own place, under the short key.
fn block_digest(block: &[u8], scheme: Scheme, key: Key) -> [u8; DIGEST_BYTES] {
    let offset = scheme.offset(block);
    hmac(key.name(), &[&block[..offset], &block[offset + DIGEST_BYTES..]])
}

/// Under a key of its own, which is the digest of the peer's digest under the full key.
fn response_signature(signed: &[u8], peer_digest: &[u8; DIGEST_BYTES], key: Key) -> [u8; DIGEST_BYTES] {
    let full_key = [key.name(), &KEY_TAIL].concat();
    hmac(&hmac(&full_key, &[peer_digest]), &[signed])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    // HMAC takes keys of every length; the error type exists for other MACs.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; DIGEST_BYTES] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
