//! Header: one chunk header as read off the wire, and what we know about this sender's extended timestamps.
//!
//! RTMP 1.0 §5.3.1.3 puts the extended timestamp into type 3 chunks too. Senders built on old librtmp leave it out,
//! and nothing announces which kind a sender is.

use super::ExtendedTimestamps;
use super::assembly::Assembly;
use crate::chunk::{EXTENDED, Format, MessagePart, basic_header, extended_timestamp, message_part};
use crate::error::ChunkError;

/// A chunk header in which everything inherited is still missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) chunk_stream_id: u32,
    /// The place of its assembly, unless this is the first chunk of its chunk stream.
    pub(super) assembly: Option<usize>,
    pub(super) part: MessagePart,
    extended: Extended,
}

/// What a header says about the extended timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extended {
    /// Not in force.
    Off,
    /// In force and on the wire.
    Field(u32),
    /// In force, but this sender leaves it out of type 3 chunks.
    LeftOut,
}

impl Header {
    /// Parses a header and its length, or `None` when bytes are missing.
    pub(super) fn parse(
        bytes: &[u8],
        assemblies: &[Assembly],
        verdict: Verdict,
    ) -> Result<Option<(Self, usize)>, ChunkError> {
        let Ok((rest, basic)) = basic_header(bytes) else { return Ok(None) };
        let chunk_stream_id = basic.chunk_stream_id;
        let assembly = assemblies.iter().position(|assembly| assembly.chunk_stream_id == chunk_stream_id);
        if assembly.is_none() && matches!(basic.format, Format::TimeOnly | Format::Nothing) {
            return Err(ChunkError::NothingToInherit { chunk_stream_id, format: basic.format.number() });
        }
        let Ok((rest, part)) = message_part(basic.format, rest) else { return Ok(None) };
        let extended = match part {
            MessagePart::Full { time: EXTENDED, .. }
            | MessagePart::SameMessageStream { delta: EXTENDED, .. }
            | MessagePart::TimeOnly { delta: EXTENDED } => Extended::read(rest),
            MessagePart::Nothing => {
                let in_force = assembly.map(|index| &assemblies[index]).filter(|a| a.extended.is_some());
                in_force.map_or(Some(Extended::Off), |assembly| verdict.read_repeated(assembly, rest))
            }
            _ => Some(Extended::Off),
        };
        let Some(extended) = extended else { return Ok(None) };
        let length = bytes.len() - rest.len() + extended.length();
        Ok(Some((Self { chunk_stream_id, assembly, part, extended }, length)))
    }

    /// The extended timestamp, if one is there.
    pub(super) const fn extended(&self) -> Option<u32> {
        match self.extended {
            Extended::Field(field) => Some(field),
            Extended::Off | Extended::LeftOut => None,
        }
    }
}

impl Extended {
    /// `None` when bytes are missing.
    fn read(rest: &[u8]) -> Option<Self> {
        extended_timestamp(rest).ok().map(|(_, field)| Self::Field(field))
    }

    /// Bytes on the wire.
    const fn length(self) -> usize {
        match self {
            Self::Field(_) => 4,
            Self::Off | Self::LeftOut => 0,
        }
    }
}

/// What is known about this sender's type 3 chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not enough of them came yet; so many of them without the field.
    Guessing { absent: u8 },
    /// They carry the field.
    Present,
    /// They do not.
    Absent,
}

/// Chunks without the field after which a sender is known to leave it out.
const ABSENT_TO_CONCLUDE: u8 = 3;

impl Verdict {
    pub(super) const fn new(extended: ExtendedTimestamps) -> Self {
        match extended {
            ExtendedTimestamps::Heuristic => Self::Guessing { absent: 0 },
            ExtendedTimestamps::Strict => Self::Present,
        }
    }

    /// Reads the extended timestamp of a type 3 chunk whose message has one; `None` when bytes are missing.
    ///
    /// While we guess, the next four bytes are the field if they repeat a value that it could have. The decision
    /// falls on the first byte that differs: a last chunk with fewer than four payload bytes must not wait for ever.
    fn read_repeated(self, assembly: &Assembly, rest: &[u8]) -> Option<Extended> {
        match self {
            Self::Present => Extended::read(rest),
            Self::Absent => Some(Extended::LeftOut),
            Self::Guessing { .. } => {
                let time = assembly.timestamp;
                let field = assembly.extended.unwrap_or(time.0);
                let candidates = [field, time.0, (time + assembly.delta).0];
                let prefix = &rest[..rest.len().min(4)];
                if candidates.iter().any(|candidate| candidate.to_be_bytes().starts_with(prefix)) {
                    Extended::read(rest)
                } else {
                    Some(Extended::LeftOut)
                }
            }
        }
    }

    /// Draws the conclusion from a header.
    pub(super) fn learn(&mut self, header: &Header) {
        let Self::Guessing { absent } = *self else { return };
        if header.part != MessagePart::Nothing {
            return;
        }
        *self = match header.extended {
            Extended::Off => return,
            Extended::Field(_) => Self::Present,
            Extended::LeftOut if absent + 1 >= ABSENT_TO_CONCLUDE => Self::Absent,
            Extended::LeftOut => Self::Guessing { absent: absent + 1 },
        };
    }
}
