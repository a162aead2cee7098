//! Aggregate messages, type 22: several audio, video and data messages in one body (RTMP 1.0 §7.1.6).

use bytes::Bytes;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u24, be_u32};
use nom::{IResult, Parser};

use super::{Message, type_id};

/// More messages than these in one aggregate are refused: each costs us more memory than its 15 bytes of headers.
const SUB_MESSAGES_MAX: usize = 1024;

/// Splits an aggregate into its messages. Their bodies are copied: a slice would keep the whole aggregate in memory for as
/// long as anyone keeps the smallest part of it.
///
/// The first one takes the time of the aggregate and the others keep their distance to it; the message stream is
/// that of the aggregate. `None` when the body does not consist of whole sub-messages of known media types: a
/// nested aggregate is refused here too, since nobody sends one and it would multiply work.
pub fn split(aggregate: &Message) -> Option<impl Iterator<Item = Message> + '_> {
    let mut subs = Vec::new();
    let mut rest = &aggregate.payload[..];
    while !rest.is_empty() {
        let (after, sub) = sub_message(rest).ok()?;
        let known =
            matches!(sub.type_id, type_id::AUDIO | type_id::VIDEO | type_id::DATA_AMF0 | type_id::DATA_AMF3);
        if !known || subs.len() == SUB_MESSAGES_MAX {
            return None;
        }
        subs.push(sub);
        rest = after;
    }
    let first = subs.first().map_or(0, |sub| sub.timestamp);
    Some(subs.into_iter().map(move |sub| Message {
        chunk_stream_id: aggregate.chunk_stream_id,
        type_id: sub.type_id,
        message_stream_id: aggregate.message_stream_id,
        timestamp: aggregate.timestamp + sub.timestamp.wrapping_sub(first),
        payload: Bytes::copy_from_slice(sub.body),
    }))
}

struct SubMessage<'a> {
    type_id: u8,
    timestamp: u32,
    body: &'a [u8],
}

/// `type u8 · length u24 · time u24 · time high u8 · message stream id u24 (ignored) · body · back pointer u32`
fn sub_message(input: &[u8]) -> IResult<&[u8], SubMessage<'_>> {
    let (rest, (type_id, length, low, high)) = (be_u8, be_u24, be_u24, be_u8).parse(input)?;
    let (rest, (_, body, _)) = (be_u24, take(length), be_u32).parse(rest)?;
    Ok((rest, SubMessage { type_id, timestamp: u32::from(high) << 24 | low, body }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    fn aggregate(payload: &[u8]) -> Message {
        Message {
            chunk_stream_id: 4,
            type_id: type_id::AGGREGATE,
            message_stream_id: 1,
            timestamp: Timestamp(5000),
            payload: Bytes::copy_from_slice(payload),
        }
    }

    #[test]
    fn times_are_relative_to_the_first_sub_message() {
        let body = [
            8, 0, 0, 3, 0, 3, 0xe8, 0, 0, 0, 0, 0xaf, 1, 1, 0, 0, 0, 0x0e, //
            9, 0, 0, 5, 0, 3, 0xf2, 0, 0, 0, 0, 0x27, 1, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let aggregate = aggregate(&body);
        let parts: Vec<_> = split(&aggregate).unwrap().collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (parts[0].type_id, parts[0].timestamp.0, &parts[0].payload[..]),
            (8, 5000, &[0xaf, 1, 1][..])
        );
        assert_eq!((parts[1].type_id, parts[1].timestamp.0), (9, 5010));
    }

    #[test]
    fn a_nested_or_cut_aggregate_is_refused_as_a_whole() {
        let nested = [22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b];
        assert!(split(&aggregate(&nested)).is_none());
        let past_the_end = [8, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1];
        assert!(split(&aggregate(&past_the_end)).is_none());
        let no_back_pointer = [8, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
        assert!(split(&aggregate(&no_back_pointer)).is_none());
    }
}
