//! The handshake: C0, C1, C2 against S0, S1, S2, as steps that each know how many bytes they await (RTMP 1.0 §5.2).
//!
//! ```text
//! C0 S0: version u8 = 3
//! C1 S1: time u32 · zero u32 (a version when the digest form is spoken) · 1528 bytes random
//! C2 S2: peer's time u32 · own time u32 · 1528 bytes echo of the peer's random
//! ```
//! We are strict about size (and, in the peers, about time) and about nothing else: no client can be refused for the
//! content of its C2, since half of them send no exact echo.

pub mod digest;
mod random;

use nom::bytes::streaming::take;
use nom::number::streaming::be_u8;
use nom::{IResult, Parser};

use crate::error::HandshakeError;
use digest::{DIGEST_BYTES, Key, Scheme};
use random::Random;

/// Size of C1, S1, C2 and S2.
pub const BLOCK_BYTES: usize = 1536;

/// The version we speak.
const VERSION: u8 = 3;

/// First byte of a TLS handshake record.
const TLS_RECORD: u8 = 0x16;

/// From this value on a first byte is no version at all: text protocols begin there (RTMP 1.0 §5.2.2).
const FIRST_NON_VERSION: u8 = 32;

/// Where a handshake stands after some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed; all input was taken.
    Waiting,
    /// Done. The rest of the input belongs to the chunk layer.
    Done,
}

/// The server's half.
#[derive(Debug)]
pub struct ServerHandshake {
    random: Random,
    step: ServerStep,
}

#[derive(Debug)]
enum ServerStep {
    AwaitC0C1 { received: Vec<u8> },
    AwaitC2 { missing: usize },
    Done,
}

impl ServerHandshake {
    /// A handshake whose random bytes come from `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { random: Random::new(seed), step: ServerStep::AwaitC0C1 { received: Vec::new() } }
    }

    /// Takes input up to the end of the handshake and appends what must be sent to `out`.
    ///
    /// S0, S1 and S2 go out as soon as C1 is whole: `FFmpeg` and `GStreamer` read all three before they send C2.
    ///
    /// # Errors
    /// [`HandshakeError`] on the first byte of something that is not RTMP.
    pub fn read(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Progress, HandshakeError> {
        if let ServerStep::AwaitC0C1 { received } = &mut self.step {
            collect(received, 1 + BLOCK_BYTES, input);
            check_first_byte(received)?;
            let Ok((_, (_, c1))) = version_and_block(received) else { return Ok(Progress::Waiting) };
            answer(c1, &mut self.random, out);
            self.step = ServerStep::AwaitC2 { missing: BLOCK_BYTES };
        }
        if let ServerStep::AwaitC2 { missing } = &mut self.step {
            let taken = input.len().min(*missing);
            *input = &input[taken..];
            *missing -= taken;
            if *missing > 0 {
                return Ok(Progress::Waiting);
            }
            self.step = ServerStep::Done;
        }
        Ok(Progress::Done)
    }

    /// Whether C0 and C1 arrived as a whole.
    pub const fn has_c1(&self) -> bool {
        !matches!(self.step, ServerStep::AwaitC0C1 { .. })
    }
}

/// The client's half, in the simple form that every server understands.
#[derive(Debug)]
pub struct ClientHandshake {
    step: ClientStep,
}

#[derive(Debug)]
enum ClientStep {
    AwaitS0S1 { received: Vec<u8> },
    AwaitS2 { missing: usize },
    Done,
}

impl ClientHandshake {
    /// Appends C0 and C1 to `out`, with random bytes from `seed`.
    pub fn new(seed: [u8; 32], out: &mut Vec<u8>) -> Self {
        out.push(VERSION);
        out.extend_from_slice(&simple_block(&mut Random::new(seed)));
        Self { step: ClientStep::AwaitS0S1 { received: Vec::new() } }
    }

    /// Takes input up to the end of the handshake and appends what must be sent to `out`.
    ///
    /// # Errors
    /// [`HandshakeError`] on the first byte of something that is not RTMP.
    pub fn read(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Progress, HandshakeError> {
        if let ClientStep::AwaitS0S1 { received } = &mut self.step {
            collect(received, 1 + BLOCK_BYTES, input);
            check_first_byte(received)?;
            let Ok((_, (_, s1))) = version_and_block(received) else { return Ok(Progress::Waiting) };
            out.extend_from_slice(s1);
            self.step = ClientStep::AwaitS2 { missing: BLOCK_BYTES };
        }
        if let ClientStep::AwaitS2 { missing } = &mut self.step {
            let taken = input.len().min(*missing);
            *input = &input[taken..];
            *missing -= taken;
            if *missing > 0 {
                return Ok(Progress::Waiting);
            }
            self.step = ClientStep::Done;
        }
        Ok(Progress::Done)
    }
}

/// Moves input into `received` until that holds `wanted` bytes.
fn collect(received: &mut Vec<u8>, wanted: usize, input: &mut &[u8]) {
    let (taken, rest) = input.split_at(input.len().min(wanted - received.len()));
    received.extend_from_slice(taken);
    *input = rest;
}

fn version_and_block(input: &[u8]) -> IResult<&[u8], (u8, &[u8])> {
    (be_u8, take(BLOCK_BYTES)).parse(input)
}

/// Versions 0 to 31 are answered with 3, and the client decides (RTMP 1.0 §5.2.2); RTMPE's 6 and 8 are among them.
fn check_first_byte(received: &[u8]) -> Result<(), HandshakeError> {
    match received.first() {
        Some(&TLS_RECORD) => Err(HandshakeError::Tls),
        Some(&first_byte) if first_byte >= FIRST_NON_VERSION => Err(HandshakeError::NotRtmp { first_byte }),
        _ => Ok(()),
    }
}

/// S0, S1 and S2. The digest form is spoken only to a client that speaks it: non-zero version, digest verifies.
fn answer(c1: &[u8], random: &mut Random, out: &mut Vec<u8>) {
    out.push(VERSION);
    let asks_for_digest = c1[4..8] != [0; 4];
    if let Some((scheme, c1_digest)) = asks_for_digest.then(|| digest::find(c1, Key::Client)).flatten() {
        out.extend_from_slice(&digest_block(random, scheme));
        let mut s2 = [0; BLOCK_BYTES];
        random.fill(&mut s2[..BLOCK_BYTES - DIGEST_BYTES]);
        digest::sign_response(&mut s2, &c1_digest, Key::Server);
        out.extend_from_slice(&s2);
        return;
    }
    // S1 bytes 4..8 stay zero: from 3 on, FFmpeg players demand a digest. S2 is the plain echo of C1, which is
    // what every client that looks at it accepts.
    out.extend_from_slice(&simple_block(random));
    out.extend_from_slice(c1);
}

/// Time 0, no version, random bytes.
fn simple_block(random: &mut Random) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    random.fill(&mut block[8..]);
    block
}

/// An S1 that carries a version and a digest. The version is that of a late Flash Media Server; it only has to be
/// non-zero.
fn digest_block(random: &mut Random, scheme: Scheme) -> [u8; BLOCK_BYTES] {
    let mut block = simple_block(random);
    block[4..8].copy_from_slice(&[4, 5, 0, 1]);
    digest::sign(&mut block, scheme, Key::Server);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 32] = [7; 32];

    fn server_answer(c1: &[u8; BLOCK_BYTES]) -> Vec<u8> {
        let mut out = Vec::new();
        let wire = [&[VERSION][..], c1].concat();
        let mut input = &wire[..];
        let progress = ServerHandshake::new(SEED).read(&mut input, &mut out).unwrap();
        assert_eq!(progress, Progress::Waiting);
        out
    }

    #[test]
    fn the_server_answers_before_c2_and_echoes_c1() {
        let c1 = simple_block(&mut Random::new([1; 32]));
        let out = server_answer(&c1);
        assert_eq!(out.len(), 1 + 2 * BLOCK_BYTES);
        assert_eq!(out[0], 3);
        assert_eq!(out[5..9], [0; 4]);
        assert_eq!(out[1 + BLOCK_BYTES..], c1);
    }

    #[test]
    fn a_version_without_a_valid_digest_gets_the_simple_form() {
        let mut c1 = simple_block(&mut Random::new([1; 32]));
        c1[4..8].copy_from_slice(&[9, 0, 0x7c, 2]);
        let out = server_answer(&c1);
        assert_eq!(out[5..9], [0; 4]);
    }

    #[test]
    fn a_signed_c1_gets_a_signed_answer_of_the_same_scheme() {
        for scheme in [Scheme::DigestFirst, Scheme::KeyFirst] {
            let mut c1 = simple_block(&mut Random::new([1; 32]));
            c1[4..8].copy_from_slice(&[9, 0, 0x7c, 2]);
            let c1_digest = digest::sign(&mut c1, scheme, Key::Client);
            let out = server_answer(&c1);
            let (s1, s2) = out[1..].split_at(BLOCK_BYTES);
            assert_eq!(digest::find(s1, Key::Server).unwrap().0, scheme);
            assert!(digest::verify_response(s2, &c1_digest, Key::Server));
        }
    }

    #[test]
    fn both_halves_meet_byte_by_byte_and_leave_the_rest_alone() {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        let mut client = ClientHandshake::new([1; 32], &mut to_server);
        let mut server = ServerHandshake::new(SEED);
        for byte in &to_server {
            server.read(&mut &[*byte][..], &mut to_client).unwrap();
        }
        let mut c2 = Vec::new();
        let mut progress = Progress::Waiting;
        for byte in &to_client {
            progress = client.read(&mut &[*byte][..], &mut c2).unwrap();
        }
        assert_eq!(progress, Progress::Done);
        c2.extend_from_slice(b"chunks");
        let mut input = &c2[..];
        assert_eq!(server.read(&mut input, &mut Vec::new()).unwrap(), Progress::Done);
        assert_eq!(input, b"chunks");
    }

    #[test]
    fn other_protocols_are_told_apart_by_their_first_byte() {
        let read = |first: u8| ServerHandshake::new(SEED).read(&mut &[first][..], &mut Vec::new());
        assert_eq!(read(0x16), Err(HandshakeError::Tls));
        assert_eq!(read(b'G'), Err(HandshakeError::NotRtmp { first_byte: b'G' }));
        assert_eq!(read(32), Err(HandshakeError::NotRtmp { first_byte: 32 }));
        for version in [3, 6, 8, 31] {
            assert_eq!(read(version), Ok(Progress::Waiting));
        }
    }
}
