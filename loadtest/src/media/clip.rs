//! Clip: a synthetic broadcast serialised once as RTMP chunks and shared by all its publishers. What differs from one to the
//! next, the stamp, stands in a short head that is copied and patched; the weight behind it is only ever referred to.
//!
//! Chunks of a clip carry times as differences (type 1 headers), so that the same bytes serve at any time of any broadcast:
//! nothing grows past 24 bits, however long it runs. The first message of each chunk stream, which must be said in full, is
//! what `Clip::opening` writes.

use std::collections::HashMap;

use bytes::Bytes;
use onair_codec::Timestamp;
use onair_codec::chunk::{ChunkWriter, MessageHeader};
use onair_codec::message::type_id;

use super::stamp::{STAMP_END, Stamp};
use super::{Shape, aac};

const AUDIO_CSID: u8 = 4;
const VIDEO_CSID: u8 = 6;
const DATA_CSID: u8 = 7;
/// Bytes of a type 1 chunk header.
const HEADER_BYTES: usize = 8;
/// Payload bytes in a head: the stamp, and all that tells pictures of one size apart.
const HEAD_PAYLOAD: usize = 96;
/// A chunk must hold a head.
pub(crate) const CHUNK_SIZE_MIN: u32 = 128;

/// One message, ready to be sent.
#[derive(Debug)]
pub(crate) struct Item {
    /// A chunk header and the beginning of the payload; to be copied if it is to be stamped.
    pub(crate) head: Bytes,
    /// The rest, chunk headers between.
    pub(crate) body: Bytes,
}

impl Item {
    /// Cuts a message into chunks. The same bodies are kept once.
    fn new(csid: u8, kind: u8, delta: u32, payload: &[u8], chunk_size: usize, bodies: &mut Bodies) -> Self {
        let [_, delta @ ..] = delta.to_be_bytes();
        let [_, length @ ..] = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
        let (first, rest) = payload.split_at(payload.len().min(HEAD_PAYLOAD));
        let head = [&[1 << 6 | csid][..], &delta, &length, &[kind], first].concat();
        let mut body = Vec::with_capacity(rest.len() + rest.len() / chunk_size + 1);
        let mut room = chunk_size - first.len();
        let mut rest = rest;
        while !rest.is_empty() {
            if room == 0 {
                body.push(3 << 6 | csid);
                room = chunk_size;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            body.extend_from_slice(now);
            room -= now.len();
            rest = later;
        }
        let body = match bodies.get(&body) {
            Some(known) => known.clone(),
            None => {
                let shared = Bytes::from(body.clone());
                bodies.insert(body, shared.clone());
                shared
            }
        };
        Self { head: head.into(), body }
    }

    /// Bytes on the wire.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

type Bodies = HashMap<Vec<u8>, Bytes>;

/// A broadcast, serialised: it goes round for ever.
#[derive(Debug)]
pub struct Clip {
    shape: Shape,
    audio_kbps: u32,
    chunk_size: u32,
    video: Vec<Item>,
    /// Three frames of AAC at 48 kHz take 64 ms.
    audio: [Item; 3],
}

/// Which message of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Track {
    Video,
    Audio,
}

impl Clip {
    /// Makes a clip of `shape` with `audio_kbps` of sound beside the video, for chunks of `chunk_size` (at least 128).
    pub fn new(shape: Shape, audio_kbps: u32, chunk_size: u32) -> Self {
        let mut bodies = Bodies::new();
        let chunk_size = chunk_size.clamp(CHUNK_SIZE_MIN, 0xff_ffff);
        let chunk = usize::try_from(chunk_size).unwrap_or(usize::MAX);
        let fps = u64::from(shape.fps());
        // Two GOPs, since keyframes in a row differ; eight pictures, which vary in size; and a whole number of milliseconds.
        let round = [shape.gop() * 2, 8, fps / gcd(fps, 1000)].into_iter().fold(1, lcm).min(10_000);
        let video = (0..round)
            .map(|n| {
                // The delta of the first is right from the second round on; the opening makes up for it in the first.
                let delta = shape.millis(n + round) - shape.millis(n + round - 1);
                let delta = u32::try_from(delta).unwrap_or(0);
                Item::new(VIDEO_CSID, type_id::VIDEO, delta, &shape.payload(n), chunk, &mut bodies)
            })
            .collect();
        let bytes = u64::from(audio_kbps) * 125 * aac::FRAME_SAMPLES / aac::SAMPLE_RATE;
        let sound = aac::silence(usize::try_from(bytes).unwrap_or(0));
        let audio = [22, 21, 21]
            .map(|delta| Item::new(AUDIO_CSID, type_id::AUDIO, delta, &sound, chunk, &mut bodies));
        Self { shape, audio_kbps, chunk_size, video, audio }
    }

    /// A clip of so many kilobits per second in all, with the sound that a streamer would choose beside it.
    pub fn of_kbps(kbps: u32, fps: u32, gop_seconds: f64, chunk_size: u32) -> Self {
        let audio = match kbps {
            0..100 => 0,
            100..500 => 32,
            _ => 128,
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds times pictures")]
        let gop = (f64::from(fps) * gop_seconds).round().max(1.0) as u32;
        Self::new(Shape { kbps: kbps - audio, fps, gop }, audio, chunk_size)
    }

    /// One small picture a second, so that nobody is taken for dead.
    pub fn quiet(chunk_size: u32) -> Self {
        Self::new(Shape { kbps: 1, fps: 1, gop: 1 }, 0, chunk_size)
    }

    /// Payload bytes per chunk.
    pub const fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// Bits per second in all, in thousands.
    pub const fn kbps(&self) -> u32 {
        self.shape.kbps + self.audio_kbps
    }

    /// What it is, in words.
    pub fn describe(&self) -> String {
        let Shape { kbps, fps, gop } = self.shape;
        let size = self.shape.size();
        let (wide, high) = (size.width(), size.height);
        let seconds = f64::from(gop) / f64::from(fps.max(1));
        let sound = self.audio_kbps;
        format!(
            "H.264 {wide}x{high}, {fps} fps, GOP {seconds} s, {kbps} kb/s; AAC {sound} kb/s; chunks of {}",
            self.chunk_size
        )
    }

    /// What a publisher sends first: metadata, and the headers of both codecs. The chunk size was said before `connect`.
    pub(crate) fn opening(&self, message_stream_id: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let mut writer = ChunkWriter::new();
        writer.set_chunk_size(self.chunk_size);
        let mut put = |csid: u8, type_id, body: &[u8]| {
            let header = MessageHeader {
                chunk_stream_id: csid.into(),
                type_id,
                message_stream_id,
                timestamp: Timestamp(0),
            };
            writer.write(&mut out, header, body);
        };
        put(DATA_CSID, type_id::DATA_AMF0, &self.shape.metadata());
        if self.audio_kbps > 0 {
            put(AUDIO_CSID, type_id::AUDIO, aac::CONFIGURATION);
        }
        put(VIDEO_CSID, type_id::VIDEO, &self.shape.video_configuration());
        out
    }

    /// The message of `track` with this number, counted from the beginning of a broadcast.
    pub(crate) fn item(&self, track: Track, number: u64) -> &Item {
        let at = |length: usize| usize::try_from(number % length as u64).unwrap_or(0);
        match track {
            Track::Video => &self.video[at(self.video.len())],
            Track::Audio => &self.audio[at(3)],
        }
    }

    /// Microseconds from the beginning of a broadcast to this message: absolute, so that nothing drifts. `None` when there is
    /// no such track.
    pub(crate) fn due(&self, track: Track, number: u64) -> Option<u64> {
        match track {
            Track::Video => Some(number * 1_000_000 / u64::from(self.shape.fps())),
            Track::Audio if self.audio_kbps == 0 => None,
            Track::Audio => Some(number * aac::FRAME_SAMPLES * 1_000_000 / aac::SAMPLE_RATE),
        }
    }
}

impl Clip {
    /// The message that comes after so many pictures and sounds, and when it is due.
    pub(crate) fn next(&self, [pictures, sounds]: [u64; 2]) -> Option<(u64, Track, u64)> {
        let video = self.due(Track::Video, pictures).map(|due| (due, Track::Video, pictures));
        let audio = self.due(Track::Audio, sounds).map(|due| (due, Track::Audio, sounds));
        match (video, audio) {
            (Some(video), Some(audio)) if audio.0 < video.0 => Some(audio),
            (video, audio) => video.or(audio),
        }
    }
}

/// Appends the head of a picture to `out`, stamped.
pub(crate) fn stamp_head(out: &mut Vec<u8>, head: &[u8], stamp: &Stamp) {
    let at = out.len();
    out.extend_from_slice(head);
    stamp.write(&mut out[at + HEADER_BYTES.min(head.len())..]);
}

const _: () = assert!(HEAD_PAYLOAD > STAMP_END && HEAD_PAYLOAD < CHUNK_SIZE_MIN as usize);

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

const fn lcm(a: u64, b: u64) -> u64 {
    a / gcd(a, b) * b
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use onair_codec::Limits;
    use onair_codec::chunk::{ChunkReader, ExtendedTimestamps};

    use super::*;

    /// What a server reads of the first `count` messages of each track.
    fn read(clip: &Clip, count: u64) -> Vec<onair_codec::message::Message> {
        let mut wire = vec![2, 0, 0, 0, 0, 0, 4, type_id::SET_CHUNK_SIZE, 0, 0, 0, 0];
        wire.extend_from_slice(&clip.chunk_size().to_be_bytes());
        wire.extend(clip.opening(1));
        let mut order: Vec<_> = (0..count)
            .flat_map(|n| [Track::Video, Track::Audio].map(|track| (clip.due(track, n), track, n)))
            .filter_map(|(due, track, n)| Some((due?, track == Track::Audio, n)))
            .collect();
        order.sort_unstable();
        for (_, is_audio, n) in order {
            let item = clip.item(if is_audio { Track::Audio } else { Track::Video }, n);
            if is_audio {
                wire.extend_from_slice(&item.head);
            } else {
                stamp_head(&mut wire, &item.head, &Stamp { room: 3, source: 9, number: n, sent: 1 });
            }
            wire.extend_from_slice(&item.body);
        }
        let mut reader = ChunkReader::new(Limits::default(), ExtendedTimestamps::Heuristic);
        let mut input = &wire[..];
        let mut messages = Vec::new();
        while let Some(message) = reader.read(Instant::now(), &mut input).unwrap() {
            messages.push(message);
        }
        assert!(input.is_empty(), "nothing is left over");
        messages
    }

    #[test]
    fn a_strict_reader_finds_every_message_at_its_time_with_its_stamp() {
        for chunk_size in [128, 4096, 65_536] {
            let clip = Clip::of_kbps(1000, 30, 2.0, chunk_size);
            let messages = read(&clip, 500);
            let video: Vec<_> = messages.iter().filter(|m| m.type_id == type_id::VIDEO).skip(1).collect();
            assert_eq!(video.len(), 500);
            for (n, message) in (0_u64..).zip(video) {
                // The first delta counts from the header at 0.
                let expected = n * 1000 / 30 + 34;
                assert!(
                    u64::from(message.timestamp.0).abs_diff(expected) <= 1,
                    "{n}: {:?}",
                    message.timestamp
                );
                assert_eq!(
                    Stamp::read(&message.payload).map(|s| (s.room, s.source, s.number)),
                    Some((3, 9, n))
                );
            }
            let audio: Vec<_> = messages.iter().filter(|m| m.type_id == type_id::AUDIO).skip(1).collect();
            assert_eq!(audio.last().unwrap().timestamp.0, 22 + 499 * 64 / 3);
        }
    }

    #[test]
    fn the_bit_rate_is_what_was_asked_for_and_memory_does_not_follow_it() {
        for kbps in [200, 1000, 6000] {
            let clip = Clip::of_kbps(kbps, 30, 2.0, 4096);
            let bytes: usize = (0..240).map(|n| clip.item(Track::Video, n).bytes()).sum::<usize>()
                + (0..375).map(|n| clip.item(Track::Audio, n).bytes()).sum::<usize>();
            let measured = u32::try_from(bytes).unwrap() / 1000;
            assert!(measured.abs_diff(kbps) * 20 < kbps, "{measured} instead of {kbps}");
            let mut bodies: Vec<_> = clip.video.iter().map(|item| item.body.as_ptr()).collect();
            bodies.sort_unstable();
            bodies.dedup();
            assert!(bodies.len() < 16, "{} bodies", bodies.len());
        }
    }
}
