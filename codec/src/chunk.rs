//! Chunks: the headers by which messages of many chunk streams share one connection (RTMP 1.0 §5.3.1).
//!
//! The parsers are streaming: `Incomplete` means "wait for more bytes" and consumes nothing. A header is read as one
//! unit of at most [`HEADER_BYTES_MAX`] bytes. What needs memory of earlier chunks is in [`reader`].

pub mod reader;
pub mod writer;

use nom::number::streaming::{be_u8, be_u24, be_u32, le_u16, le_u32};
use nom::{IResult, Parser};

pub use reader::{ChunkReader, ExtendedTimestamps, ReaderStats};
pub use writer::{ChunkWriter, MessageHeader, media_to_wire};

/// The longest header: basic 3, message 11, extended timestamp 4.
pub const HEADER_BYTES_MAX: usize = 18;

/// Payload bytes per chunk until a Set Chunk Size says otherwise (RTMP 1.0 §5.4.1).
pub const CHUNK_SIZE_DEFAULT: u32 = 128;

/// The longest message, hence the largest chunk size that has an effect.
pub const MESSAGE_BYTES_MAX: u32 = 0xFF_FFFF;

/// The time field that says "see the extended timestamp" (RTMP 1.0 §5.3.1.3).
pub(crate) const EXTENDED: u32 = 0xFF_FFFF;

/// How much of the message header is sent (RTMP 1.0 §5.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Type 0: everything.
    Full,
    /// Type 1: no message stream id; the time is a delta.
    SameMessageStream,
    /// Type 2: only a time delta.
    TimeOnly,
    /// Type 3: nothing.
    Nothing,
}

impl Format {
    /// The two-bit number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Full => 0,
            Self::SameMessageStream => 1,
            Self::TimeOnly => 2,
            Self::Nothing => 3,
        }
    }
}

/// The first part of a chunk header: format and chunk stream id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicHeader {
    /// What follows.
    pub format: Format,
    /// 2 to 65 599.
    pub chunk_stream_id: u32,
}

/// The second part of a chunk header, by format. Times are the 24-bit fields as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessagePart {
    Full { time: u32, length: u32, type_id: u8, message_stream_id: u32 },
    SameMessageStream { delta: u32, length: u32, type_id: u8 },
    TimeOnly { delta: u32 },
    Nothing,
}

/// ```text
/// format 2 bits · selector 6 bits
/// selector 2..63: the id itself
/// selector 0:     id - 64 as u8          (64..319)
/// selector 1:     id - 64 as u16 LE      (64..65599)
/// ```
/// RTMP 1.0 §5.3.1.1. Longer forms than needed are legal and read alike.
pub fn basic_header(input: &[u8]) -> IResult<&[u8], BasicHeader> {
    let (input, first) = be_u8(input)?;
    let format = match first >> 6 {
        0 => Format::Full,
        1 => Format::SameMessageStream,
        2 => Format::TimeOnly,
        _ => Format::Nothing,
    };
    let (input, chunk_stream_id) = match first & 0x3F {
        0 => be_u8.map(|low| 64 + u32::from(low)).parse(input)?,
        1 => le_u16.map(|low| 64 + u32::from(low)).parse(input)?,
        id => (input, u32::from(id)),
    };
    Ok((input, BasicHeader { format, chunk_stream_id }))
}

/// ```text
/// type 0: time u24 · length u24 · type u8 · message stream id u32 LE
/// type 1: delta u24 · length u24 · type u8
/// type 2: delta u24
/// type 3: -
/// ```
/// RTMP 1.0 §5.3.1.2. The message stream id is the one little-endian number of the protocol.
pub(crate) fn message_part(format: Format, input: &[u8]) -> IResult<&[u8], MessagePart> {
    match format {
        Format::Full => (be_u24, be_u24, be_u8, le_u32)
            .map(|(time, length, type_id, message_stream_id)| MessagePart::Full {
                time,
                length,
                type_id,
                message_stream_id,
            })
            .parse(input),
        Format::SameMessageStream => (be_u24, be_u24, be_u8)
            .map(|(delta, length, type_id)| MessagePart::SameMessageStream { delta, length, type_id })
            .parse(input),
        Format::TimeOnly => be_u24.map(|delta| MessagePart::TimeOnly { delta }).parse(input),
        Format::Nothing => Ok((input, MessagePart::Nothing)),
    }
}

/// The 32-bit time behind a message header whose 24-bit field is all ones (RTMP 1.0 §5.3.1.3).
pub(crate) fn extended_timestamp(input: &[u8]) -> IResult<&[u8], u32> {
    be_u32(input)
}

/// Writes a basic header in its shortest form. Ids beyond the range of the wire are clamped into it.
pub(crate) fn write_basic_header(out: &mut Vec<u8>, format: Format, chunk_stream_id: u32) {
    let format = format.number() << 6;
    match chunk_stream_id.clamp(2, 65_599) {
        id @ 2..=63 => out.push(format | id as u8),
        id @ 64..=319 => out.extend_from_slice(&[format, (id - 64) as u8]),
        id => {
            let [low, high, ..] = (id - 64).to_le_bytes();
            out.extend_from_slice(&[format | 1, low, high]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_stream_id_survives_its_shortest_form() {
        for id in 2..=65_599 {
            let mut wire = Vec::new();
            write_basic_header(&mut wire, Format::TimeOnly, id);
            let (rest, header) = basic_header(&wire).unwrap();
            assert!(rest.is_empty());
            assert_eq!(header, BasicHeader { format: Format::TimeOnly, chunk_stream_id: id });
        }
    }

    #[test]
    fn a_longer_form_than_needed_is_read_alike() {
        assert_eq!(basic_header(&[0x01, 0x00, 0x00]).unwrap().1.chunk_stream_id, 64);
        assert_eq!(basic_header(&[0x01, 0xff, 0x00]).unwrap().1.chunk_stream_id, 319);
    }

    #[test]
    fn a_cut_header_waits_for_more() {
        for cut in [&[][..], &[0x00], &[0x01], &[0x01, 0x00], &[0x40], &[0xc1, 0xff]] {
            assert!(matches!(basic_header(cut), Err(nom::Err::Incomplete(_))), "{cut:?}");
        }
    }
}
