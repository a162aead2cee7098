//! User control messages, type 4: stream begin and end, buffer length, ping (RTMP 1.0 §7.1.7).

use nom::IResult;
use nom::number::complete::{be_u16, be_u32};

/// A user control event. Events that we have no use for are [`UserControl::Other`] and are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserControl {
    /// A message stream becomes usable.
    StreamBegin(u32),
    /// Playback on this message stream is over.
    StreamEof(u32),
    /// No more data on this message stream for now.
    StreamDry(u32),
    /// The player's buffer.
    SetBufferLength {
        /// Message stream.
        message_stream_id: u32,
        /// Buffer in milliseconds.
        buffer_ms: u32,
    },
    /// The message stream plays a recording.
    StreamIsRecorded(u32),
    /// Asks for a ping response with the same value.
    PingRequest(u32),
    /// The answer to a ping request.
    PingResponse(u32),
    /// An event of a kind we do not know.
    Other(u16),
}

impl UserControl {
    /// Reads a body. `None` when it is too short for its event; bytes beyond the defined length are ignored.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let event: IResult<&[u8], u16> = be_u16(body);
        let (rest, event) = event.ok()?;
        let word = || -> Option<(&[u8], u32)> {
            let word: IResult<&[u8], u32> = be_u32(rest);
            word.ok()
        };
        Some(match event {
            0 => Self::StreamBegin(word()?.1),
            1 => Self::StreamEof(word()?.1),
            2 => Self::StreamDry(word()?.1),
            3 => {
                let (rest, message_stream_id) = word()?;
                let buffer: IResult<&[u8], u32> = be_u32(rest);
                Self::SetBufferLength { message_stream_id, buffer_ms: buffer.ok()?.1 }
            }
            4 => Self::StreamIsRecorded(word()?.1),
            6 => Self::PingRequest(word()?.1),
            7 => Self::PingResponse(word()?.1),
            other => Self::Other(other),
        })
    }

    /// The body to send.
    pub fn to_body(&self) -> Vec<u8> {
        let (event, word, extra): (u16, Option<u32>, Option<u32>) = match *self {
            Self::StreamBegin(id) => (0, Some(id), None),
            Self::StreamEof(id) => (1, Some(id), None),
            Self::StreamDry(id) => (2, Some(id), None),
            Self::SetBufferLength { message_stream_id, buffer_ms } => {
                (3, Some(message_stream_id), Some(buffer_ms))
            }
            Self::StreamIsRecorded(id) => (4, Some(id), None),
            Self::PingRequest(value) => (6, Some(value), None),
            Self::PingResponse(value) => (7, Some(value), None),
            Self::Other(event) => (event, None, None),
        };
        let mut body = event.to_be_bytes().to_vec();
        for word in word.into_iter().chain(extra) {
            body.extend_from_slice(&word.to_be_bytes());
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for event in [
            UserControl::StreamBegin(1),
            UserControl::StreamEof(1),
            UserControl::StreamDry(1),
            UserControl::SetBufferLength { message_stream_id: 1, buffer_ms: 3000 },
            UserControl::StreamIsRecorded(1),
            UserControl::PingRequest(0x1234_5678),
            UserControl::PingResponse(0x1234_5678),
            UserControl::Other(32),
        ] {
            assert_eq!(UserControl::parse(&event.to_body()), Some(event));
        }
    }

    #[test]
    fn an_event_cut_short_is_nothing() {
        assert_eq!(UserControl::parse(&[0]), None);
        assert_eq!(UserControl::parse(&[0, 6, 0, 0]), None);
        assert_eq!(UserControl::parse(&[0, 3, 0, 0, 0, 1]), None);
    }
}
