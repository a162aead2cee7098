//! Golden vectors of the chunk layer: bytes worked out by hand from the specifications, or taken from encoders, and
//! what each must be read as. Every row is fed whole, byte by byte, and cut at every place.

// A test fails by panicking, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use onair_codec::chunk::{ChunkReader, basic_header};
use onair_codec::message::control::Control;
use onair_codec::message::user_control::UserControl;
use onair_codec::message::{Message, aggregate, type_id};
use onair_codec::{ChunkError, ExtendedTimestamps, Limits, Timestamp};
use support::Server;
use support::hex::hex;

/// `(chunk stream, type, message stream, time, length)`
type Header = (u32, u8, u32, u32, usize);

fn header(message: &Message) -> Header {
    let Message { chunk_stream_id, type_id, message_stream_id, timestamp, payload } = message;
    (*chunk_stream_id, *type_id, *message_stream_id, timestamp.0, payload.len())
}

struct Read {
    messages: Vec<Message>,
    chunk_size: u32,
    error: Option<ChunkError>,
}

fn read_pieces<'a>(extended: ExtendedTimestamps, pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let now = Server::new().start;
    let mut reader = ChunkReader::new(Limits::default(), extended);
    let mut read = Read { messages: Vec::new(), chunk_size: 0, error: None };
    'pieces: for mut piece in pieces {
        loop {
            match reader.read(now, &mut piece) {
                Ok(Some(message)) => read.messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    read.error = Some(error);
                    break 'pieces;
                }
            }
        }
    }
    read.chunk_size = reader.chunk_size();
    read
}

/// Reads bytes in every way they can arrive in two pieces or in crumbs; all must agree.
fn read_with(extended: ExtendedTimestamps, bytes: &[u8]) -> Read {
    let whole = read_pieces(extended, [bytes]);
    let crumbs = read_pieces(extended, bytes.chunks(1));
    assert_eq!((&whole.messages, whole.error), (&crumbs.messages, crumbs.error));
    for cut in 0..=bytes.len() {
        let (before, after) = bytes.split_at(cut);
        let cut_read = read_pieces(extended, [before, after]);
        assert_eq!((&whole.messages, whole.error), (&cut_read.messages, cut_read.error), "cut at {cut}");
    }
    whole
}

fn read(bytes: &[u8]) -> Read {
    read_with(ExtendedTimestamps::Heuristic, bytes)
}

fn headers(text: &str) -> Vec<Header> {
    let read = read(&hex(text));
    assert_eq!(read.error, None, "{text}");
    read.messages.iter().map(header).collect()
}

fn times(text: &str) -> Vec<u32> {
    headers(text).into_iter().map(|header| header.3).collect()
}

fn error(text: &str) -> ChunkError {
    read(&hex(text)).error.unwrap()
}

fn only(text: &str) -> Message {
    let mut read = read(&hex(text));
    assert_eq!((read.error, read.messages.len()), (None, 1), "{text}");
    read.messages.remove(0)
}

fn control(text: &str) -> Option<Control> {
    let message = only(text);
    Control::parse(message.type_id, &message.payload)
}

fn user_control(text: &str) -> Option<UserControl> {
    let message = only(text);
    assert_eq!(message.type_id, type_id::USER_CONTROL);
    UserControl::parse(&message.payload)
}

/// Payload byte i = i mod 256.
fn ramp(range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|i| (i % 256) as u8).collect()
}

#[test]
fn basic_headers_of_every_form_are_read() {
    let rows: [(u32, [&str; 4], Option<&str>); 7] = [
        (2, ["02", "42", "82", "c2"], None),
        (3, ["03", "43", "83", "c3"], None),
        (63, ["3f", "7f", "bf", "ff"], None),
        (64, ["0000", "4000", "8000", "c000"], Some("010000")),
        (319, ["00ff", "40ff", "80ff", "c0ff"], Some("01ff00")),
        (320, ["010001", "410001", "810001", "c10001"], None),
        (65_599, ["01ffff", "41ffff", "81ffff", "c1ffff"], None),
    ];
    for (id, forms, longer) in rows {
        for (number, form) in (0..).zip(forms) {
            let bytes = hex(form);
            let (rest, header) = basic_header(&bytes).unwrap();
            assert!(rest.is_empty());
            assert_eq!((header.chunk_stream_id, header.format.number()), (id, number), "{form}");
        }
        if let Some(longer) = longer {
            assert_eq!(basic_header(&hex(longer)).unwrap().1.chunk_stream_id, id);
        }
    }
}

#[test]
fn an_incomplete_basic_header_consumes_nothing() {
    for cut in ["", "00", "01", "0100", "40", "c1ff"] {
        assert!(matches!(basic_header(&hex(cut)), Err(nom::Err::Incomplete(_))), "{cut}");
    }
}

#[test]
fn set_chunk_size_is_obeyed_and_bounded() {
    let size = |text: &str| read(&hex(text)).chunk_size;
    assert_eq!(size("02 000000 000004 01 00000000 00001000"), 4096);
    assert_eq!(size("02 000000 000004 01 00000000 00010000"), 65_536);
    assert_eq!(size("02 000000 000004 01 00000000 7fffffff"), 0xFF_FFFF);
    assert_eq!(error("02 000000 000004 01 00000000 00000000"), ChunkError::ChunkSizeInvalid { announced: 0 });
    assert_eq!(
        error("02 000000 000004 01 00000000 80000000"),
        ChunkError::ChunkSizeInvalid { announced: 0x8000_0000 }
    );
}

#[test]
fn control_messages_are_read() {
    assert_eq!(control("02 000000 000004 02 00000000 00000005"), Some(Control::Abort(5)));
    assert_eq!(control("02 000000 000004 03 00000000 002625a0"), Some(Control::Acknowledgement(2_500_000)));
    assert_eq!(control("02 000000 000004 03 00000000 0000000a"), Some(Control::Acknowledgement(10)));
    assert_eq!(control("02 000000 000004 05 00000000 002625a0"), Some(Control::WindowAckSize(2_500_000)));
    assert_eq!(
        control("02 000000 000005 06 00000000 002625a002"),
        Some(Control::SetPeerBandwidth { window: 2_500_000, limit_type: 2 })
    );
}

#[test]
fn user_control_events_are_read() {
    let read = |body: &str| user_control(&format!("02 000000 {:06x} 04 00000000 {body}", hex(body).len()));
    assert_eq!(read("000000000001"), Some(UserControl::StreamBegin(1)));
    assert_eq!(read("000100000001"), Some(UserControl::StreamEof(1)));
    assert_eq!(
        read("00030000000100000bb8"),
        Some(UserControl::SetBufferLength { message_stream_id: 1, buffer_ms: 3000 })
    );
    assert_eq!(read("000612345678"), Some(UserControl::PingRequest(0x1234_5678)));
    assert_eq!(read("000712345678"), Some(UserControl::PingResponse(0x1234_5678)));
    assert_eq!(read("002000000001"), Some(UserControl::Other(32)));
}

#[test]
fn type_1_may_open_a_chunk_stream_and_types_2_and_3_may_not() {
    let text = "42 000000 000006 04 000600000d0f";
    assert_eq!(headers(text), [(2, 4, 0, 0, 6)]);
    assert_eq!(user_control(text), Some(UserControl::PingRequest(0x0d0f)));
    let fresh = |format| ChunkError::NothingToInherit { chunk_stream_id: 6, format };
    assert_eq!(error("86 000028 ff"), fresh(2));
    assert_eq!(error("c6 ff"), fresh(3));
}

#[test]
fn timestamps_around_the_extended_form_are_read() {
    assert_eq!(times("04 fffffe 000004 08 01000000 af01aabb"), [16_777_214]);
    assert_eq!(times("04 ffffff 000004 08 01000000 00ffffff af01aabb"), [16_777_215]);
    assert_eq!(times("04 ffffff 000004 08 01000000 01000000 af01aabb"), [16_777_216]);
    assert_eq!(times("04 ffffff 000004 08 01000000 ffffffff af01aabb"), [4_294_967_295]);
}

#[test]
fn the_highest_chunk_stream_is_read() {
    assert_eq!(headers("01ffff 000007 000004 08 01000000 af01aabb"), [(65_599, 8, 1, 7, 4)]);
}

#[test]
fn deltas_go_back_and_over_the_wrap() {
    let back = "04 0003e8 000004 08 01000000 af01aabb / 44 ffffff 000004 08 fffffffb af01aabb";
    assert_eq!(times(back), [1000, 995]);
    let wrap = "04 ffffff 000004 08 01000000 fffffff0 af01aabb / 44 000020 000004 08 af01aabb";
    assert_eq!(times(wrap), [0xFFFF_FFF0, 0x10]);
}

#[test]
fn type_3_messages_repeat_the_delta() {
    assert_eq!(times("04 00001a 000004 08 01000000 af01aabb / c4 af01aabb"), [26, 52]);
    let mixed = "04 00001a 000004 08 01000000 af01aabb / 44 000014 000004 08 af01aabb / c4 af01aabb /
                 84 000017 af01aabb / c4 af01aabb";
    assert_eq!(times(mixed), [26, 46, 66, 89, 112]);
    let extended = "04 000000 000004 08 01000000 af01aabb / 44 ffffff 000004 08 01312c7b af01aabb /
                    c4 01312c7b af01aabb";
    assert_eq!(times(extended), [0, 19_999_867, 39_999_734]);
}

#[test]
fn a_large_type_0_timestamp_is_not_repeated_as_a_delta() {
    // 10 000 001 ms, and an extended one: nobody means "again as much later" by that.
    assert_eq!(times("04 989681 000004 08 01000000 af01aabb / c4 af01aabb"), [10_000_001, 10_000_001]);
    let extended = "04 ffffff 000004 08 01000000 01000000 af01aabb / c4 01000000 af01aabb";
    assert_eq!(times(extended), [16_777_216, 16_777_216]);
}

#[test]
fn continuations_with_the_extended_timestamp_are_read() {
    let wire = [
        hex("06 ffffff 00012c 09 01000000 01000000"),
        ramp(0..128),
        hex("c6 01000000"),
        ramp(128..256),
        hex("c6 01000000"),
        ramp(256..300),
    ]
    .concat();
    assert_eq!(wire.len(), 326);
    for extended in [ExtendedTimestamps::Heuristic, ExtendedTimestamps::Strict] {
        let read = read_with(extended, &wire);
        assert_eq!(read.messages.iter().map(header).collect::<Vec<_>>(), [(6, 9, 1, 0x0100_0000, 300)]);
        assert_eq!(read.messages[0].payload, ramp(0..300));
    }
}

#[test]
fn continuations_of_old_librtmp_without_it_are_read_too() {
    let wire = [
        hex("06 ffffff 00012c 09 01000000 01000000"),
        ramp(0..128),
        hex("c6"),
        ramp(128..256),
        hex("c6"),
        ramp(256..300),
    ]
    .concat();
    assert_eq!(wire.len(), 318);
    let read = read(&wire);
    assert_eq!(read.messages.iter().map(header).collect::<Vec<_>>(), [(6, 9, 1, 0x0100_0000, 300)]);
    assert_eq!(read.messages[0].payload, ramp(0..300));
}

#[test]
fn a_short_last_chunk_of_old_librtmp_is_delivered_without_waiting_for_more() {
    // 130 bytes: the last chunk has two, fewer than the field that might be there.
    let wire =
        [hex("06 ffffff 000082 09 01000000 01000000"), ramp(0..128), hex("c6"), ramp(128..130)].concat();
    assert_eq!(read(&wire).messages[0].payload, ramp(0..130));
}

#[test]
fn payload_that_looks_like_the_start_of_the_field_is_given_back() {
    // The last chunk begins like the field (01 00) and then differs: the two bytes were payload.
    let wire = [
        hex("06 ffffff 000085 09 01000000 01000000"),
        ramp(0..128),
        hex("c6 01000a0b0c"),
        hex("04 000000 000002 08 01000000 af01"),
    ]
    .concat();
    let read = read(&wire);
    assert_eq!(read.messages[0].payload[128..], hex("01000a0b0c"));
    assert_eq!(header(&read.messages[1]), (4, 8, 1, 0, 2));
}

#[test]
fn a_sender_that_leaves_the_field_out_three_times_is_known() {
    // The fourth message's continuation begins with its own timestamp, and it is payload all the same.
    let mut wire = Vec::new();
    for fill in [0xAAu8, 0xBB, 0xCC] {
        wire.extend(hex("06 ffffff 000088 09 01000000 01000000"));
        wire.extend([fill; 128]);
        wire.extend(hex("c6"));
        wire.extend([fill; 8]);
    }
    wire.extend(hex("06 ffffff 000088 09 01000000 01000000"));
    wire.extend([0xDD; 128]);
    wire.extend(hex("c6 01000000 dddddddd"));
    let read = read(&wire);
    assert_eq!(read.messages.len(), 4);
    assert_eq!(read.messages[3].payload[128..], hex("01000000dddddddd"));
}

#[test]
fn interleaved_messages_are_kept_apart() {
    let wire = [
        hex("04 00000a 0000c8 08 01000000"),
        vec![0xa0; 128],
        hex("06 00000c 0000c8 09 01000000"),
        vec![0xb0; 128],
        hex("c4"),
        vec![0xa0; 72],
        hex("c6"),
        vec![0xb0; 72],
    ]
    .concat();
    assert_eq!(wire.len(), 426);
    let read = read(&wire);
    assert_eq!(
        read.messages.iter().map(header).collect::<Vec<_>>(),
        [(4, 8, 1, 10, 200), (6, 9, 1, 12, 200)]
    );
    assert_eq!(read.messages[0].payload, vec![0xa0; 200]);
    assert_eq!(read.messages[1].payload, vec![0xb0; 200]);
}

#[test]
fn a_new_chunk_size_holds_from_the_next_chunk_on() {
    let wire = [
        hex("06 000000 00012c 09 01000000"),
        ramp(0..128),
        hex("02 000000 000004 01 00000000 00001000"),
        hex("c6"),
        ramp(128..300),
    ]
    .concat();
    assert_eq!(wire.len(), 329);
    let read = read(&wire);
    assert_eq!(read.messages.iter().map(header).collect::<Vec<_>>(), [(2, 1, 0, 0, 4), (6, 9, 1, 0, 300)]);
    assert_eq!(read.messages[1].payload, ramp(0..300));
}

#[test]
fn an_aborted_message_is_dropped_and_its_time_still_counts() {
    let wire = [
        hex("06 000028 00012c 09 01000000"),
        ramp(0..128),
        hex("02 000000 000004 02 00000000 00000006"),
        hex("46 000005 000004 09 17020000"),
    ]
    .concat();
    let read = read(&wire);
    assert_eq!(read.messages.iter().map(header).collect::<Vec<_>>(), [(2, 2, 0, 0, 4), (6, 9, 1, 45, 4)]);
}

#[test]
fn an_abort_of_an_unknown_chunk_stream_is_ignored() {
    let text = "02 000000 000004 02 00000000 00000063 / 04 000000 000002 08 01000000 af01";
    assert_eq!(headers(text).len(), 2);
}

#[test]
fn a_message_without_payload_is_delivered_at_once() {
    assert_eq!(headers("04 0001f4 000000 08 01000000"), [(4, 8, 1, 500, 0)]);
    assert_eq!(headers("04 0001f4 000000 08 01000000 / 44 000005 000000 08").len(), 2);
}

#[test]
fn a_message_of_exactly_one_or_two_chunks_has_no_empty_trailer() {
    let one = [hex("06 000000 000080 09 01000000"), ramp(0..128)].concat();
    let two = [hex("46 000000 000100 09"), ramp(0..128), hex("c6"), ramp(128..256)].concat();
    let read = read(&[one, two, hex("46 000000 000001 09 aa")].concat());
    assert_eq!(read.messages.iter().map(|m| m.payload.len()).collect::<Vec<_>>(), [128, 256, 1]);
}

#[test]
fn the_first_example_of_the_specification_is_read() {
    // RTMP 1.0 §5.3.2.1
    let body = "11".repeat(32);
    let text = format!("03 0003e8 000020 08 39300000 {body} 83 000014 {body} c3 {body} c3 {body}");
    assert_eq!(hex(&text).len(), 44 + 36 + 33 + 33);
    let expected = [1000, 1020, 1040, 1060].map(|at| (3, 8, 12_345, at, 32));
    assert_eq!(headers(&text), expected);
}

#[test]
fn the_second_example_of_the_specification_is_read() {
    // RTMP 1.0 §5.3.2.2
    let wire = [
        hex("04 0003e8 000133 09 3a300000"),
        ramp(0..128),
        hex("c4"),
        ramp(128..256),
        hex("c4"),
        ramp(256..307),
    ]
    .concat();
    assert_eq!(wire.len(), 140 + 129 + 52);
    let read = read(&wire);
    assert_eq!(header(&read.messages[0]), (4, 9, 12_346, 1000, 307));
}

#[test]
fn an_aggregate_is_split_on_its_own_timeline() {
    let message = only(
        "04 001388 000026 16 01000000 08 000003 0003e8 00 000000 af0101 0000000e
         09 000005 0003f2 00 000000 2701000000 00000010",
    );
    let parts: Vec<Message> = aggregate::split(&message).unwrap().collect();
    assert_eq!(parts.iter().map(header).collect::<Vec<_>>(), [(4, 8, 1, 5000, 3), (4, 9, 1, 5010, 5)]);
    assert_eq!(parts[0].payload, hex("af0101"));
    assert_eq!(parts[1].payload, hex("2701000000"));
}

#[test]
fn a_message_beyond_the_limit_of_its_type_is_refused_by_its_header() {
    let error = error("04 000000 ffffff 09 01000000");
    let limit = Limits::default().video_bytes_max;
    assert_eq!(error, ChunkError::MessageTooLong { type_id: 9, announced: 0xFF_FFFF, limit });
}

#[test]
fn the_31_bit_wrap_of_obs_and_ffmpeg_is_left_to_the_timeline() {
    let obs = "04 ffffff 000004 08 01000000 7ffffff3 af01aabb / 44 ffffff 000004 08 80000017 af01aabb";
    assert_eq!(times(obs), [2_147_483_635, 10]);
    assert_eq!(Timestamp(10).step_from(Timestamp(2_147_483_635)), 23);
    let ffmpeg = "06 ffffff 000004 09 01000000 7ffffff1 af01aabb / 06 000034 000004 09 01000000 af01aabb";
    assert_eq!(times(ffmpeg), [2_147_483_633, 52]);
    assert_eq!(Timestamp(52).step_from(Timestamp(2_147_483_633)), 67);
}

#[test]
fn a_type_0_chunk_within_a_message_begins_anew() {
    let wire =
        [hex("06 000000 00012c 09 01000000"), ramp(0..128), hex("06 000028 000004 09 01000000 27010203")]
            .concat();
    let read = read(&wire);
    assert_eq!(read.messages.iter().map(header).collect::<Vec<_>>(), [(6, 9, 1, 40, 4)]);
}

#[test]
fn a_type_1_or_2_chunk_that_says_the_same_again_continues() {
    for again in ["46 000005 00012c 09", "86 000005"] {
        let wire = [
            hex("06 000028 00012c 09 01000000"),
            ramp(0..128),
            hex(again),
            ramp(128..256),
            hex("c6"),
            ramp(256..300),
        ]
        .concat();
        let read = read(&wire);
        assert_eq!(read.messages.iter().map(header).collect::<Vec<_>>(), [(6, 9, 1, 40, 300)], "{again}");
        assert_eq!(read.messages[0].payload, ramp(0..300));
    }
}

#[test]
fn messages_of_unknown_types_are_read_past() {
    let shared_object = [hex("03 000000 0000c8 13 00000000"), ramp(0..128), hex("c3"), ramp(0..72)].concat();
    let wire = [shared_object, hex("04 000000 000002 08 01000000 af01")].concat();
    let read = read(&wire);
    assert_eq!(read.messages.iter().map(header).collect::<Vec<_>>(), [(4, 8, 1, 0, 2)]);
}
