//! Protocol control messages, types 1, 2, 3, 5 and 6 (RTMP 1.0 §5.4).

use nom::IResult;
use nom::number::complete::{be_u8, be_u32};

use super::type_id;

/// A protocol control message. Recognised by its type id, on whatever chunk or message stream it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The sender's chunks carry this many payload bytes from the next chunk on (§5.4.1). The value as sent.
    SetChunkSize(u32),
    /// Drop the partial message of this chunk stream (§5.4.2).
    Abort(u32),
    /// The sender received this many bytes so far, modulo 2^32 (§5.4.3).
    Acknowledgement(u32),
    /// The sender wants an acknowledgement at least every so many bytes (§5.4.4).
    WindowAckSize(u32),
    /// The sender asks us to limit our output (§5.4.5).
    SetPeerBandwidth {
        /// Window in bytes.
        window: u32,
        /// 0 hard, 1 soft, 2 dynamic.
        limit_type: u8,
    },
}

impl Control {
    /// Reads a body of the given type. `None` for other types and for bodies that are too short; bytes beyond
    /// the defined length are ignored, as some cameras pad.
    pub fn parse(type_id: u8, body: &[u8]) -> Option<Self> {
        let word: IResult<&[u8], u32> = be_u32(body);
        let (rest, word) = word.ok()?;
        Some(match type_id {
            type_id::SET_CHUNK_SIZE => Self::SetChunkSize(word),
            type_id::ABORT => Self::Abort(word),
            type_id::ACKNOWLEDGEMENT => Self::Acknowledgement(word),
            type_id::WINDOW_ACK_SIZE => Self::WindowAckSize(word),
            type_id::SET_PEER_BANDWIDTH => {
                let limit: IResult<&[u8], u8> = be_u8(rest);
                Self::SetPeerBandwidth { window: word, limit_type: limit.ok()?.1 }
            }
            _ => return None,
        })
    }

    /// Message type id.
    pub const fn type_id(&self) -> u8 {
        match self {
            Self::SetChunkSize(_) => type_id::SET_CHUNK_SIZE,
            Self::Abort(_) => type_id::ABORT,
            Self::Acknowledgement(_) => type_id::ACKNOWLEDGEMENT,
            Self::WindowAckSize(_) => type_id::WINDOW_ACK_SIZE,
            Self::SetPeerBandwidth { .. } => type_id::SET_PEER_BANDWIDTH,
        }
    }

    /// The body to send.
    pub fn to_body(&self) -> Vec<u8> {
        match *self {
            Self::SetChunkSize(word)
            | Self::Abort(word)
            | Self::Acknowledgement(word)
            | Self::WindowAckSize(word) => word.to_be_bytes().to_vec(),
            Self::SetPeerBandwidth { window, limit_type } => {
                let mut body = window.to_be_bytes().to_vec();
                body.push(limit_type);
                body
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_body_is_read_and_a_short_one_is_not() {
        assert_eq!(
            Control::parse(3, &[0, 0x26, 0x25, 0xa0, 9, 9]),
            Some(Control::Acknowledgement(2_500_000))
        );
        assert_eq!(Control::parse(3, &[0, 0x26, 0x25]), None);
        assert_eq!(Control::parse(6, &[0, 0x26, 0x25, 0xa0]), None);
        assert_eq!(Control::parse(4, &[0, 0, 0, 0]), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for control in [
            Control::SetChunkSize(4096),
            Control::Abort(5),
            Control::Acknowledgement(10),
            Control::WindowAckSize(2_500_000),
            Control::SetPeerBandwidth { window: 2_500_000, limit_type: 2 },
        ] {
            assert_eq!(Control::parse(control.type_id(), &control.to_body()), Some(control));
        }
    }
}
