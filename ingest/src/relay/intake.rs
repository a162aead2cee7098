//! Intake: what a pull receives, on its way into the room. It outlives the connection, so that a pull which breaks and comes back
//! within an epoch goes on where it stopped: players see no frame twice.

use std::time::Instant;

use bytes::Bytes;
use onair_cluster::Epoch;
use onair_codec::amf0::AmfLimits;
use onair_codec::{Media, MediaKind};

use crate::probe::{Probe, Seen};
use crate::room::{FrameKind, Pushed, Source};

/// What a server says to every player before the first frame, as an AMF0 string. Our own door says it to ours.
const SAMPLE_ACCESS: &[u8] = b"\x02\x00\x11|RtmpSampleAccess";

/// The room has a higher epoch, or a publisher of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fenced;

/// One epoch of one room.
#[derive(Debug)]
pub(super) struct Intake {
    source: Source,
    epoch: Epoch,
    probe: Probe,
    heard: Instant,
    has_video: bool,
    /// The last keyframe, and the last frame of all.
    gop: Option<Mark>,
    last: Option<Mark>,
    /// The connection is new and sends what we have already.
    is_catching_up: bool,
    is_first: bool,
}

/// A frame, to be known again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    kind: MediaKind,
    timestamp: u32,
    payload: Bytes,
}

impl Mark {
    fn of(media: &Media) -> Self {
        Self { kind: media.kind, timestamp: media.timestamp.0, payload: media.payload.clone() }
    }

    fn is(&self, media: &Media) -> bool {
        self.timestamp == media.timestamp.0 && self.kind == media.kind && self.payload == media.payload
    }
}

impl Intake {
    pub(super) fn new(source: Source, epoch: Epoch, amf_limits: AmfLimits, now: Instant) -> Self {
        Self {
            source,
            epoch,
            probe: Probe::new(amf_limits),
            heard: now,
            has_video: false,
            gop: None,
            last: None,
            is_catching_up: false,
            is_first: true,
        }
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last media, or the start.
    pub(super) const fn heard(&self) -> Instant {
        self.heard
    }

    /// A new connection to the same epoch begins: with the headers, then the running GOP, as for any player.
    pub(super) fn begin_connection(&mut self, now: Instant) {
        self.heard = now;
        self.is_catching_up = self.last.is_some();
        self.is_first = true;
    }

    /// One message off the wire.
    pub(super) fn media(&mut self, media: Media, now: Instant) -> Result<(), Fenced> {
        #[cfg(feature = "fault-injection")]
        crate::faults::in_pull(&media);
        self.heard = now;
        let is_first = std::mem::replace(&mut self.is_first, false);
        if is_first && media.kind == MediaKind::Data && media.payload.starts_with(SAMPLE_ACCESS) {
            return Ok(());
        }
        let Seen::As(kind) = self.probe.see(&media) else { return Ok(()) };
        self.has_video |= media.kind == MediaKind::Video;
        if self.is_catching_up && self.is_known(kind, &media) {
            return Ok(());
        }
        if !matches!(kind, FrameKind::Header(_)) {
            self.last = Some(Mark::of(&media));
        }
        if kind == FrameKind::Keyframe {
            self.gop.clone_from(&self.last);
        }
        let pushed = self.source.push(media.kind, kind, media.timestamp.0, media.payload, now);
        self.source.ring(now);
        match pushed {
            Pushed::Fenced => Err(Fenced),
            Pushed::Forwarded | Pushed::Dropped => Ok(()),
        }
    }

    /// Whether a frame of the connection's beginning came before. The other node starts at its newest keyframe: if that is ours
    /// too, all is known up to our last frame; if it is another, or there are no pictures, all is new.
    fn is_known(&mut self, kind: FrameKind, media: &Media) -> bool {
        if matches!(kind, FrameKind::Header(_)) {
            // The room itself leaves out what it has.
            return false;
        }
        if self.last.as_ref().is_some_and(|last| last.is(media)) {
            self.is_catching_up = false;
            return true;
        }
        let is_new_gop = kind == FrameKind::Keyframe && !self.gop.as_ref().is_some_and(|gop| gop.is(media));
        if is_new_gop || !self.has_video {
            self.is_catching_up = false;
        }
        self.is_catching_up
    }

    /// The broadcast was meant to end: players need not wait.
    pub(super) fn end_for_good(self) {
        self.source.end_for_good();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use onair_cluster::RoomId;
    use onair_codec::Timestamp;

    use super::*;
    use crate::room::{Reader, Rooms};

    const AVC_HEADER: &[u8] = &[0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1e, 0xff];

    struct Stage {
        intake: Intake,
        reader: Reader,
        rooms: Rooms,
        now: Instant,
    }

    impl Stage {
        fn new() -> Self {
            let (rooms, now) = (Rooms::new(1 << 20, std::time::Duration::ZERO), Instant::now());
            let room = RoomId::parse("room").unwrap();
            let reader = rooms.read(&room, now);
            let source = rooms.relay(&room, Epoch(1), now).unwrap();
            let intake = Intake::new(source, Epoch(1), AmfLimits::default(), now);
            Self { intake, reader, rooms, now }
        }

        /// `h` a header, `K` a keyframe, `p` a picture, `s` sound, `a` what every server says first; then a number.
        fn receives(&mut self, frames: &str) {
            for frame in frames.split(' ') {
                let (letter, number) = frame.split_at(1);
                let number: u8 = number.parse().unwrap_or(0);
                let (kind, payload): (_, Vec<u8>) = match letter {
                    "h" => (MediaKind::Video, AVC_HEADER.into()),
                    "K" => (MediaKind::Video, vec![0x17, 1, 0, 0, 0, number]),
                    "p" => (MediaKind::Video, vec![0x27, 1, 0, 0, 0, number]),
                    "s" => (MediaKind::Audio, vec![0x2f, number]),
                    _ => (MediaKind::Data, [SAMPLE_ACCESS, &[1, 1, 1, 1]].concat()),
                };
                let timestamp = Timestamp(u32::from(number) * 40);
                let media = Media { kind, timestamp, payload: payload.into() };
                self.intake.media(media, self.now).unwrap();
            }
        }

        fn shows(&mut self) -> String {
            let mut out = Vec::new();
            self.reader.collect(&mut out, 1_000, 1 << 20);
            let name = |frame: Arc<crate::room::Frame>| {
                let number = frame.timestamp / 40;
                match (frame.kind, frame.media) {
                    (FrameKind::Header(_), _) => "h".to_owned(),
                    (FrameKind::Keyframe, _) => format!("K{number}"),
                    (_, MediaKind::Video) => format!("p{number}"),
                    (_, MediaKind::Audio) => format!("s{number}"),
                    (_, MediaKind::Data) => "a".to_owned(),
                }
            };
            out.into_iter().map(name).collect::<Vec<_>>().join(" ")
        }
    }

    #[test]
    fn a_pull_that_comes_back_goes_on_where_it_stopped() {
        let mut stage = Stage::new();
        stage.receives("a h K1 s1 p2 s2 p3");
        assert_eq!(stage.shows(), "h K1 s1 p2 s2 p3");
        stage.intake.begin_connection(stage.now);
        stage.receives("a h K1 s1 p2 s2 p3 s3 p4");
        assert_eq!(stage.shows(), "s3 p4");
    }

    #[test]
    fn a_pull_that_comes_back_in_a_later_gop_starts_with_its_keyframe() {
        let mut stage = Stage::new();
        stage.receives("a h K1 p2");
        stage.intake.begin_connection(stage.now);
        stage.receives("a h K9 p10");
        assert_eq!(stage.shows(), "h K9 p10");
        // Its last frame and the next keyframe may carry the same time.
        stage.receives("s11");
        stage.intake.begin_connection(stage.now);
        stage.receives("a h K11 p12");
        assert_eq!(stage.shows(), "s11 K11 p12");
    }

    #[test]
    fn a_pull_that_comes_back_after_its_only_keyframe_repeats_nothing() {
        let mut stage = Stage::new();
        stage.receives("a h K1");
        stage.intake.begin_connection(stage.now);
        stage.receives("a h K1 p2");
        assert_eq!(stage.shows(), "h K1 p2");
    }

    #[test]
    fn sound_alone_goes_on_with_whatever_comes() {
        let mut stage = Stage::new();
        stage.receives("a s0");
        assert_eq!(stage.shows(), "", "who comes to sound alone hears what comes next");
        stage.receives("s1 s2");
        stage.intake.begin_connection(stage.now);
        stage.receives("a s5 s6");
        assert_eq!(stage.shows(), "s1 s2 s5 s6");
    }

    #[test]
    fn what_a_server_says_first_is_not_media() {
        let mut stage = Stage::new();
        stage.receives("a h K1 a p2");
        assert_eq!(stage.shows(), "h K1 a p2", "only the first is the server's own");
    }

    #[test]
    fn a_higher_epoch_fences_the_intake() {
        let mut stage = Stage::new();
        stage.rooms.raise(&RoomId::parse("room").unwrap(), Epoch(2));
        let payload = Bytes::from_static(&[0x17, 1, 0, 0, 0, 1]);
        let media = Media { kind: MediaKind::Video, timestamp: Timestamp(0), payload };
        assert_eq!(stage.intake.media(media, stage.now), Err(Fenced));
    }
}
