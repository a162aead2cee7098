use std::time::{Duration, Instant};

use bytes::Bytes;
use onair_cluster::{Epoch, RoomId};
use onair_codec::MediaKind;

use super::*;
use crate::reactor::bell::Ears;

const WAIT: Duration = Duration::from_secs(20);
const REJOIN: Duration = Duration::from_secs(30);

struct Stage {
    rooms: Rooms,
    id: RoomId,
    now: Instant,
}

impl Stage {
    fn new() -> Self {
        Self {
            rooms: Rooms::new(1 << 20, Duration::ZERO),
            id: RoomId::parse("room").unwrap(),
            now: Instant::now(),
        }
    }
    fn publish(&self, epoch: u64) -> Source {
        self.rooms.publish(&self.id, Epoch(epoch), self.now).unwrap()
    }
    fn read(&self) -> Reader {
        self.rooms.read(&self.id, self.now)
    }
    fn push(&self, source: &mut Source, kind: FrameKind, timestamp: u32, text: &'static str) -> Pushed {
        let media = match kind {
            FrameKind::Sound | FrameKind::Header(HeaderKey::Audio(_)) => MediaKind::Audio,
            FrameKind::Header(HeaderKey::Metadata) | FrameKind::Other => MediaKind::Data,
            _ => MediaKind::Video,
        };
        source.push(media, kind, timestamp, Bytes::from_static(text.as_bytes()), self.now)
    }
}

/// What a reader gets, as text.
fn texts(reader: &mut Reader) -> String {
    let mut out = Vec::new();
    reader.collect(&mut out, 1000, 1 << 20);
    out.iter().map(|f| String::from_utf8_lossy(&f.payload).into_owned()).collect::<Vec<_>>().join(" ")
}

const VIDEO: FrameKind = FrameKind::Header(HeaderKey::Video(0));
const AUDIO: FrameKind = FrameKind::Header(HeaderKey::Audio(0));
const META: FrameKind = FrameKind::Header(HeaderKey::Metadata);

#[test]
fn a_late_reader_starts_with_headers_and_the_running_gop() {
    let stage = Stage::new();
    let mut source = stage.publish(1);
    for (kind, text) in [
        (VIDEO, "avcc"),
        (AUDIO, "asc"),
        (META, "meta"),
        (FrameKind::Keyframe, "K1"),
        (FrameKind::Picture, "p1"),
        (FrameKind::Keyframe, "K2"),
        (FrameKind::Sound, "s2"),
        (FrameKind::Picture, "p2"),
    ] {
        stage.push(&mut source, kind, 100, text);
    }
    let mut reader = stage.read();
    assert_eq!(texts(&mut reader), "meta avcc asc K2 s2 p2");
    stage.push(&mut source, FrameKind::Picture, 133, "p3");
    assert_eq!(texts(&mut reader), "p3");
    assert_eq!(texts(&mut reader), "");
}

#[test]
fn an_early_reader_gets_everything_once() {
    let stage = Stage::new();
    let mut reader = stage.read();
    assert_eq!(texts(&mut reader), "");
    let mut source = stage.publish(1);
    stage.push(&mut source, VIDEO, 0, "avcc");
    assert_eq!(texts(&mut reader), "");
    stage.push(&mut source, FrameKind::Keyframe, 40, "K1");
    assert_eq!(texts(&mut reader), "avcc K1");
}

#[test]
fn pictures_before_the_first_keyframe_reach_nobody() {
    let stage = Stage::new();
    let mut source = stage.publish(1);
    let mut reader = stage.read();
    assert_eq!(stage.push(&mut source, FrameKind::Picture, 0, "p"), Pushed::Dropped);
    stage.push(&mut source, FrameKind::Keyframe, 40, "K1");
    assert_eq!(texts(&mut reader), "K1");
    source.interrupted();
    assert_eq!(stage.push(&mut source, FrameKind::Picture, 80, "p"), Pushed::Dropped);
    stage.push(&mut source, FrameKind::Keyframe, 120, "K2");
    assert_eq!(texts(&mut reader), "K2");
}

#[test]
fn sound_alone_starts_at_once() {
    let stage = Stage::new();
    let mut source = stage.publish(1);
    stage.push(&mut source, AUDIO, 0, "asc");
    stage.push(&mut source, FrameKind::Sound, 0, "s1");
    let mut reader = stage.read();
    assert_eq!(texts(&mut reader), "asc");
    stage.push(&mut source, FrameKind::Sound, 20, "s2");
    assert_eq!(texts(&mut reader), "s2");
}

#[test]
fn a_new_publisher_goes_on_in_front_of_the_same_reader() {
    let stage = Stage::new();
    let mut reader = stage.read();
    let mut first = stage.publish(1);
    stage.push(&mut first, VIDEO, 0, "avcc1");
    stage.push(&mut first, FrameKind::Keyframe, 5_000, "K1");
    assert_eq!(texts(&mut reader), "avcc1 K1");
    let mut second = stage.publish(2);
    assert_eq!(stage.push(&mut first, FrameKind::Picture, 5_040, "p1"), Pushed::Fenced);
    stage.push(&mut second, VIDEO, 0, "avcc2");
    assert_eq!(stage.push(&mut second, FrameKind::Picture, 0, "p2"), Pushed::Dropped);
    stage.push(&mut second, FrameKind::Keyframe, 33, "K2");
    let mut out = Vec::new();
    reader.collect(&mut out, 10, 1 << 20);
    let seen: Vec<_> = out.iter().map(|f| (f.payload.as_ref(), f.timestamp)).collect();
    assert_eq!(seen, [(b"avcc2".as_ref(), 5_040), (b"K2".as_ref(), 5_040)]);
    drop(first);
    assert!(reader.give_up_at(WAIT, REJOIN).is_none(), "the old source's end is not the room's");
}

#[test]
fn an_older_epoch_is_refused() {
    let stage = Stage::new();
    let _second = stage.publish(2);
    assert!(stage.rooms.publish(&stage.id, Epoch(1), stage.now).is_none());
}

#[test]
fn a_slow_reader_goes_on_at_the_newest_keyframe() {
    let stage = Stage::new();
    let mut source = stage.publish(1);
    let mut reader = stage.read();
    stage.push(&mut source, VIDEO, 0, "avcc");
    stage.push(&mut source, FrameKind::Keyframe, 0, "K");
    assert_eq!(texts(&mut reader), "avcc K");
    for n in 1..2_000 {
        stage.push(&mut source, FrameKind::Picture, n * 33, "p");
    }
    stage.push(&mut source, FrameKind::Keyframe, 99_000, "K9");
    stage.push(&mut source, FrameKind::Picture, 99_033, "p9");
    // The GOP of 2 000 frames is over: only some of the past is owed.
    assert_eq!(texts(&mut reader), "avcc K9 p9");
    assert!(reader.skipped() > 1_000, "{}", reader.skipped());
}

#[test]
fn a_repeated_header_is_not_sent_again_and_a_changed_one_is() {
    let stage = Stage::new();
    let mut source = stage.publish(1);
    let mut reader = stage.read();
    stage.push(&mut source, VIDEO, 0, "avcc1");
    stage.push(&mut source, FrameKind::Keyframe, 0, "K1");
    assert_eq!(texts(&mut reader), "avcc1 K1");
    assert_eq!(stage.push(&mut source, VIDEO, 0, "avcc1"), Pushed::Dropped);
    stage.push(&mut source, VIDEO, 0, "avcc2");
    let mut late = stage.read();
    assert_eq!(texts(&mut late), "", "nobody starts in pictures of the old configuration");
    stage.push(&mut source, FrameKind::Keyframe, 0, "K2");
    assert_eq!(texts(&mut reader), "avcc2 K2");
    assert_eq!(texts(&mut late), "avcc2 K2");
}

#[test]
fn readers_of_an_ended_broadcast_are_let_go_by_how_it_ended() {
    let stage = Stage::new();
    let mut waiting = stage.read();
    texts(&mut waiting);
    assert_eq!(waiting.give_up_at(WAIT, REJOIN), Some(stage.now + WAIT));
    let source = stage.publish(1);
    texts(&mut waiting);
    assert_eq!(waiting.give_up_at(WAIT, REJOIN), None);
    drop(source);
    texts(&mut waiting);
    assert!(waiting.give_up_at(WAIT, REJOIN).unwrap() >= stage.now + REJOIN);
    stage.publish(2).end_for_good();
    texts(&mut waiting);
    assert!(waiting.give_up_at(WAIT, REJOIN).unwrap() <= Instant::now());
}

#[test]
fn a_paused_reader_comes_back_with_a_keyframe_and_unwanted_sound_is_left_out() {
    let stage = Stage::new();
    let mut source = stage.publish(1);
    let mut reader = stage.read();
    stage.push(&mut source, VIDEO, 0, "avcc");
    stage.push(&mut source, FrameKind::Keyframe, 0, "K1");
    reader.set_wants(Wants { paused: true, ..Wants::default() });
    assert_eq!(texts(&mut reader), "");
    stage.push(&mut source, FrameKind::Keyframe, 0, "K2");
    stage.push(&mut source, FrameKind::Sound, 0, "s");
    reader.set_wants(Wants { audio: false, ..Wants::default() });
    assert_eq!(texts(&mut reader), "avcc K2");
}

#[test]
fn a_room_goes_with_its_last_user() {
    let stage = Stage::new();
    let reader = stage.read();
    let source = stage.publish(1);
    assert_eq!((stage.rooms.map.len(), source.players()), (1, 1));
    drop(reader);
    assert_eq!((stage.rooms.map.len(), source.players()), (1, 0));
    drop(source);
    assert!(stage.rooms.map.is_empty());
}

#[test]
fn sound_that_comes_back_comes_back_with_its_header() {
    let stage = Stage::new();
    let mut source = stage.publish(1);
    let mut reader = stage.read();
    reader.set_wants(Wants { audio: false, ..Wants::default() });
    for (kind, text) in [(VIDEO, "avcc"), (AUDIO, "asc"), (FrameKind::Keyframe, "K1")] {
        stage.push(&mut source, kind, 0, text);
    }
    assert_eq!(texts(&mut reader), "avcc K1");
    reader.set_wants(Wants::default());
    stage.push(&mut source, FrameKind::Sound, 0, "s1");
    assert_eq!(texts(&mut reader), "avcc asc K1 s1");
}

#[test]
fn a_header_of_absurd_length_is_kept_for_nobody() {
    let stage = Stage::new();
    let mut source = stage.publish(1);
    let huge = Bytes::from(vec![0; 1 << 20]);
    assert_eq!(source.push(MediaKind::Video, VIDEO, 0, huge, stage.now), Pushed::Dropped);
    stage.push(&mut source, FrameKind::Keyframe, 0, "K1");
    assert_eq!(texts(&mut stage.read()), "K1");
}

#[test]
fn nobody_is_left_in_a_room_that_others_cannot_find() {
    let rooms = Rooms::new(1 << 20, Duration::ZERO);
    let id = RoomId::parse("busy").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let ticket = rooms.enter(&id);
                    let found = rooms.map.get(&id).map(|room| Arc::ptr_eq(&room, &ticket.room));
                    assert_eq!(found, Some(true), "this room is an orphan");
                }
            });
        }
    });
    assert!(rooms.map.is_empty());
}

#[test]
fn a_relay_reads_one_epoch_to_its_end_and_nothing_of_the_next() {
    let stage = Stage::new();
    assert!(stage.rooms.read_epoch(&stage.id, Epoch(1), stage.now).is_none(), "nobody is on air");
    let mut first = stage.publish(1);
    assert!(stage.rooms.read_epoch(&stage.id, Epoch(2), stage.now).is_none(), "another epoch is");
    let mut relay = stage.rooms.read_epoch(&stage.id, Epoch(1), stage.now).unwrap();
    stage.push(&mut first, VIDEO, 0, "avcc1");
    stage.push(&mut first, FrameKind::Keyframe, 0, "K1");
    assert_eq!(texts(&mut relay), "avcc1 K1");
    assert_eq!((first.players(), relay.give_up_at(WAIT, REJOIN)), (0, None));
    let mut second = stage.publish(2);
    stage.push(&mut second, VIDEO, 0, "avcc2");
    stage.push(&mut second, FrameKind::Keyframe, 0, "K2");
    assert_eq!(texts(&mut relay), "");
    assert!(relay.give_up_at(WAIT, REJOIN).unwrap() <= Instant::now());
    assert!(!relay.ended_for_good());
    let mut relay = stage.rooms.read_epoch(&stage.id, Epoch(2), stage.now).unwrap();
    stage.push(&mut second, FrameKind::Picture, 40, "p2");
    second.end_for_good();
    assert_eq!(texts(&mut relay), "avcc2 K2 p2");
    assert!(relay.ended_for_good());
}

#[test]
fn what_comes_from_elsewhere_is_not_passed_on_and_yields_to_a_publisher_here() {
    let stage = Stage::new();
    let mut player = stage.read();
    let mut pulled = stage.rooms.relay(&stage.id, Epoch(1), stage.now).unwrap();
    assert!(stage.rooms.read_epoch(&stage.id, Epoch(1), stage.now).is_none(), "no chains");
    stage.push(&mut pulled, FrameKind::Keyframe, 0, "K1");
    assert_eq!(texts(&mut player), "K1");
    let mut here = stage.publish(2);
    assert_eq!(stage.push(&mut pulled, FrameKind::Picture, 40, "p1"), Pushed::Fenced);
    assert!(stage.rooms.relay(&stage.id, Epoch(3), stage.now).is_none(), "the publisher is here");
    drop(pulled);
    stage.push(&mut here, FrameKind::Keyframe, 0, "K2");
    assert_eq!(texts(&mut player), "K2");
}

#[test]
fn an_older_epoch_is_refused_even_after_the_room_was_empty() {
    let stage = Stage::new();
    drop(stage.rooms.relay(&stage.id, Epoch(5), stage.now).unwrap());
    assert!(stage.rooms.map.is_empty());
    assert!(stage.rooms.relay(&stage.id, Epoch(4), stage.now).is_none());
    stage.rooms.raise(&stage.id, Epoch(7));
    assert!(stage.rooms.map.is_empty());
    assert_eq!(stage.rooms.audience(&stage.id).highest, Epoch(7));
    assert!(stage.rooms.publish(&stage.id, Epoch(6), stage.now).is_none());
}

#[test]
fn a_room_that_fell_off_air_is_silent_to_those_who_come_after() {
    let stage = Stage::new();
    let mut there = stage.read();
    let mut source = stage.publish(1);
    stage.push(&mut source, FrameKind::Keyframe, 0, "K1");
    drop(source);
    let mut late = stage.rooms.read(&stage.id, Instant::now());
    assert_eq!(texts(&mut late), "");
    assert_eq!(texts(&mut there), "K1", "it was there, only slow");
    let mut source = stage.publish(2);
    stage.push(&mut source, FrameKind::Keyframe, 0, "K2");
    assert_eq!((texts(&mut late), texts(&mut there)), ("K2".to_owned(), "K2".to_owned()));
}

#[test]
fn where_news_is_gathered_readers_are_told_at_once_and_then_once_in_a_while() {
    const GATHER: Duration = Duration::from_millis(30);
    let stage = Stage { rooms: Rooms::new(1 << 20, GATHER), ..Stage::new() };
    let mut source = stage.publish(1);
    let mut reader = stage.read();
    texts(&mut reader);
    let ears = Ears::new();
    reader.listen(ears.ear(7));
    let told = || ears.heard() == [7];
    let at = |ms| stage.now + Duration::from_millis(ms);
    assert!(!told() && source.rings_at().is_none());
    stage.push(&mut source, FrameKind::Keyframe, 0, "K1");
    source.ring(at(0));
    assert!(told(), "nobody was told for long");
    assert_eq!((texts(&mut reader).as_str(), source.rings_at()), ("K1", None));
    stage.push(&mut source, FrameKind::Picture, 10, "p1");
    source.ring(at(10));
    assert!(!told());
    assert_eq!(source.rings_at(), Some(at(28)), "a little early, since turns are a little late");
    stage.push(&mut source, FrameKind::Picture, 20, "p2");
    source.ring(at(20));
    assert!(!told());
    source.ring(at(30));
    assert!(told());
    assert_eq!((texts(&mut reader).as_str(), source.rings_at()), ("p1 p2", None));
    stage.push(&mut source, FrameKind::Picture, 40, "p3");
    source.end_for_good();
    assert!(told(), "an end waits for nothing");
    assert_eq!(texts(&mut reader), "p3");
}

#[test]
fn readers_who_keep_up_share_one_piece_and_who_does_not_gets_its_own() {
    const CHUNK: u32 = 4096;
    let stage = Stage::new();
    let mut source = stage.publish(1);
    let (mut one, mut other, mut late, mut deaf) = (stage.read(), stage.read(), stage.read(), stage.read());
    stage.push(&mut source, FrameKind::Keyframe, 0, "K1");
    deaf.set_wants(Wants { audio: false, ..Wants::default() });
    for reader in [&mut one, &mut other, &mut late, &mut deaf] {
        assert!(reader.collect_together(CHUNK).is_none(), "it has not begun");
        assert_eq!(texts(reader), "K1");
    }
    stage.push(&mut source, FrameKind::Picture, 10, "p1");
    assert!(one.collect_together(CHUNK).is_none(), "one frame is a piece by itself");
    stage.push(&mut source, FrameKind::Picture, 20, "p2");
    let piece = one.collect_together(CHUNK).unwrap();
    assert!(piece.windows(2).any(|w| w == b"p1") && piece.ends_with(b"p2"));
    assert_eq!(other.collect_together(CHUNK).unwrap().as_ptr(), piece.as_ptr(), "the same bytes");
    assert!(one.collect_together(CHUNK).is_none() && deaf.collect_together(CHUNK).is_none());
    stage.push(&mut source, FrameKind::Picture, 30, "p3");
    stage.push(&mut source, FrameKind::Picture, 40, "p4");
    assert!(one.collect_together(CHUNK).unwrap().ends_with(b"p4"));
    assert!(late.collect_together(CHUNK).is_none(), "it is two pieces behind");
    assert_eq!((texts(&mut late).as_str(), texts(&mut deaf).as_str()), ("p1 p2 p3 p4", "p1 p2 p3 p4"));
    assert!(other.collect_together(CHUNK).is_some());
}
