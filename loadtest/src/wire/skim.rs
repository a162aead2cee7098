//! Skimmer: finds messages in a chunk stream without assembling them. Of commands and control messages it keeps everything
//! (within bounds), of pictures the beginning with the stamp, of all else only the length.

use onair_codec::message::type_id;
use thiserror::Error;

use crate::media::STAMP_END;

/// The longest chunk header: basic 3, message 11, extended timestamp 4.
const HEADER_MAX: usize = 18;
/// More chunk streams than any server uses.
const SLOTS_MAX: usize = 64;
/// The longest command that is kept.
const COMMAND_MAX: usize = 16 * 1024;

/// The server does not speak RTMP as we know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum SkimError {
    #[error("chunk size {0}")]
    ChunkSize(u32),
    #[error("a chunk that refers to a message that was never begun")]
    Orphan,
    #[error("more than {SLOTS_MAX} chunk streams")]
    Slots,
}

/// A message that has come in whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skimmed<'a> {
    pub(crate) type_id: u8,
    pub(crate) length: u32,
    /// Its first bytes; all of them for commands and control messages.
    pub(crate) head: &'a [u8],
}

/// The state of one direction of one connection; some 200 bytes while it plays.
#[derive(Debug)]
pub(crate) struct Skimmer {
    chunk_size: u32,
    slots: Vec<Slot>,
    /// The chunk that is being read: which slot, and payload bytes to come.
    current: Option<(usize, u32)>,
    /// A header that was cut by the end of a read.
    cut: [u8; HEADER_MAX],
    cut_len: usize,
}

/// A chunk stream.
#[derive(Debug, Default)]
struct Slot {
    csid: u32,
    length: u32,
    type_id: u8,
    /// The extended timestamp that stands in every chunk of the message.
    extended: Option<u32>,
    /// Bytes of the message still to come; 0 between messages.
    left: u32,
    /// How many of its first bytes are kept.
    wanted: usize,
    head: Vec<u8>,
}

/// A header as it stands on the wire.
struct Header {
    format: u8,
    csid: u32,
    length: u32,
    type_id: u8,
    extended: Option<u32>,
    bytes: usize,
}

impl Default for Skimmer {
    fn default() -> Self {
        Self { chunk_size: 128, slots: Vec::new(), current: None, cut: [0; HEADER_MAX], cut_len: 0 }
    }
}

impl Skimmer {
    /// Takes bytes as they come and hands over each message that they complete.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on: impl FnMut(Skimmed<'_>),
    ) -> Result<(), SkimError> {
        while !bytes.is_empty() {
            let Some((at, left)) = self.current else {
                if !self.header(&mut bytes)? {
                    return Ok(());
                }
                // A message without a payload is complete already.
                if let Some((at, 0)) = self.current {
                    self.current = None;
                    self.complete(at, &mut on)?;
                }
                continue;
            };
            let take = bytes.len().min(left as usize);
            let (now, later) = bytes.split_at(take);
            bytes = later;
            let slot = &mut self.slots[at];
            let missing = slot.wanted.saturating_sub(slot.head.len());
            if missing > 0 {
                slot.head.extend_from_slice(&now[..now.len().min(missing)]);
            }
            let taken = u32::try_from(take).unwrap_or(u32::MAX);
            slot.left -= taken;
            let is_whole = slot.left == 0;
            self.current = (left > taken).then_some((at, left - taken));
            if is_whole {
                self.complete(at, &mut on)?;
            }
        }
        Ok(())
    }

    /// Whether what came in ends between two messages.
    pub(crate) fn is_between(&self) -> bool {
        self.current.is_none() && self.cut_len == 0 && self.slots.iter().all(|slot| slot.left == 0)
    }

    /// Reads a chunk header. `false` when there is not enough of it yet; what there is has been kept.
    fn header(&mut self, bytes: &mut &[u8]) -> Result<bool, SkimError> {
        let header = if self.cut_len == 0 {
            self.parse(bytes)
        } else {
            let room = &mut self.cut[self.cut_len..];
            let more = room.len().min(bytes.len());
            room[..more].copy_from_slice(&bytes[..more]);
            self.parse(&self.cut[..self.cut_len + more])
        };
        let Some(header) = header else {
            let more = bytes.len();
            if self.cut_len == 0 {
                self.cut[..more].copy_from_slice(bytes);
            }
            self.cut_len += more;
            *bytes = &[];
            return Ok(false);
        };
        *bytes = &bytes[header.bytes - self.cut_len..];
        self.cut_len = 0;
        self.begin(&header)?;
        Ok(true)
    }

    fn parse(&self, bytes: &[u8]) -> Option<Header> {
        let first = *bytes.first()?;
        let format = first >> 6;
        let (csid, mut at) = match first & 0x3f {
            0 => (64 + u32::from(*bytes.get(1)?), 2),
            1 => (64 + u32::from(*bytes.get(1)?) + 256 * u32::from(*bytes.get(2)?), 3),
            id => (u32::from(id), 1),
        };
        let slot = self.slots.iter().find(|slot| slot.csid == csid);
        let part = bytes.get(at..at + [11, 7, 3, 0][usize::from(format)])?;
        at += part.len();
        let u24 = |at: usize| u32::from_be_bytes([0, part[at], part[at + 1], part[at + 2]]);
        let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let extended = match format {
            3 => match slot.and_then(|slot| slot.extended) {
                // Some senders leave it out of continuations. Payload that looks like it by chance is one in four billion.
                Some(known) if slot.is_some_and(|slot| slot.left > 0) => {
                    let found = word(at)?;
                    at += if found == known { 4 } else { 0 };
                    Some(known)
                }
                Some(_) => {
                    let found = word(at)?;
                    at += 4;
                    Some(found)
                }
                None => None,
            },
            _ if u24(0) == 0xff_ffff => {
                let found = word(at)?;
                at += 4;
                Some(found)
            }
            _ => None,
        };
        let (length, type_id) = match format {
            0 | 1 => (u24(3), part[6]),
            _ => slot.map_or((0, 0), |slot| (slot.length, slot.type_id)),
        };
        Some(Header { format, csid, length, type_id, extended, bytes: at })
    }

    fn begin(&mut self, header: &Header) -> Result<(), SkimError> {
        let known = self.slots.iter().position(|slot| slot.csid == header.csid);
        let at = match known {
            Some(at) => at,
            None if header.format >= 2 => return Err(SkimError::Orphan),
            None if self.slots.len() >= SLOTS_MAX => return Err(SkimError::Slots),
            None => {
                self.slots.push(Slot { csid: header.csid, ..Slot::default() });
                self.slots.len() - 1
            }
        };
        let slot = &mut self.slots[at];
        if slot.left == 0 || header.format != 3 {
            slot.length = header.length;
            slot.type_id = header.type_id;
            slot.left = header.length;
            slot.extended = header.extended;
            slot.head.clear();
            slot.wanted = wanted(header.type_id);
        }
        self.current = Some((at, slot.left.min(self.chunk_size)));
        Ok(())
    }

    fn complete(&mut self, at: usize, on: &mut impl FnMut(Skimmed<'_>)) -> Result<(), SkimError> {
        let slot = &mut self.slots[at];
        let word = || Some(u32::from_be_bytes(slot.head.get(..4)?.try_into().ok()?));
        match slot.type_id {
            type_id::SET_CHUNK_SIZE => {
                let size = word().unwrap_or(0);
                if size == 0 || size > 0x7fff_ffff {
                    return Err(SkimError::ChunkSize(size));
                }
                self.chunk_size = size;
            }
            type_id::ABORT => {
                let csid = word();
                if let Some(slot) = self.slots.iter_mut().find(|slot| Some(slot.csid) == csid) {
                    slot.left = 0;
                }
            }
            type_id => on(Skimmed { type_id, length: slot.length, head: &slot.head }),
        }
        let slot = &mut self.slots[at];
        if slot.head.capacity() > 256 {
            slot.head = Vec::new();
        }
        Ok(())
    }
}

/// How many bytes from its beginning a message of this type is kept with.
const fn wanted(type_id: u8) -> usize {
    match type_id {
        type_id::COMMAND_AMF0 | type_id::COMMAND_AMF3 => COMMAND_MAX,
        type_id::VIDEO => STAMP_END,
        1..=6 => 16,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use onair_codec::Timestamp;
    use onair_codec::chunk::{ChunkWriter, MessageHeader};

    use super::*;

    type Kept = (u8, u32, Vec<u8>);

    /// Messages of many kinds, interleaved as a server would, and what should be found of them.
    fn conversation() -> (Vec<u8>, Vec<Kept>) {
        let mut writer = ChunkWriter::new();
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        let mut put = |writer: &mut ChunkWriter, csid, kind, at, body: &[u8]| {
            let header = MessageHeader {
                chunk_stream_id: csid,
                type_id: kind,
                message_stream_id: 1,
                timestamp: Timestamp(at),
            };
            writer.write(&mut wire, header, body);
            if kind > type_id::ABORT {
                let kept = body[..body.len().min(wanted(kind))].to_vec();
                expected.push((kind, u32::try_from(body.len()).unwrap(), kept));
            }
        };
        let body: Vec<u8> = (0..=255_u8).cycle().take(5000).collect();
        put(&mut writer, 3, type_id::COMMAND_AMF0, 0, &body[..300]);
        put(&mut writer, 6, type_id::VIDEO, 40, &body[..129]);
        put(&mut writer, 2, type_id::SET_CHUNK_SIZE, 0, &1000_u32.to_be_bytes());
        writer.set_chunk_size(1000);
        put(&mut writer, 6, type_id::VIDEO, 80, &body);
        put(&mut writer, 70, type_id::AUDIO, 81, &[]);
        put(&mut writer, 700, type_id::AUDIO, 82, &body[..3]);
        // Past 24 bits every chunk says its time in full.
        put(&mut writer, 6, type_id::VIDEO, 0x0100_0000, &body);
        put(&mut writer, 6, type_id::VIDEO, 0x0300_0000, &body[..2500]);
        put(&mut writer, 6, type_id::VIDEO, 0x0300_0021, &body[..2500]);
        put(&mut writer, 3, type_id::COMMAND_AMF0, 0, &body[..10]);
        (wire, expected)
    }

    fn skim(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<Kept> {
        let mut skimmer = Skimmer::default();
        let mut found = Vec::new();
        for piece in pieces {
            skimmer.feed(&piece, |m| found.push((m.type_id, m.length, m.head.to_vec()))).unwrap();
        }
        found
    }

    #[test]
    fn the_same_messages_are_found_wherever_reads_are_cut() {
        let (wire, expected) = conversation();
        assert_eq!(skim(std::iter::once(wire.clone())), expected);
        assert_eq!(skim(wire.iter().map(|byte| vec![*byte])), expected);
        for size in [2, 3, 7, 17, 18, 19, 500] {
            assert_eq!(skim(wire.chunks(size).map(<[u8]>::to_vec)), expected, "{size}");
        }
    }

    #[test]
    fn what_is_no_chunk_stream_is_said_to_be_none() {
        assert_eq!(Skimmer::default().feed(&[0xc3, 1], |_| {}), Err(SkimError::Orphan));
        let zero = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Skimmer::default().feed(&zero, |_| {}), Err(SkimError::ChunkSize(0)));
    }
}
