//! Media: a synthetic broadcast, H.264 and AAC by its headers. Each video payload carries whose broadcast it is, a number
//! without gaps and the time it was sent, so that a player can tell what was lost, mixed up or late.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use onair_codec::{Media, MediaKind, Timestamp};

/// Marks a stamped payload.
const MAGIC: &[u8; 8] = b"onairfrm";
/// Where the stamp stands: after the video tag's five bytes, a NAL unit's length and its header.
const STAMP_AT: usize = 5 + 4 + 1;
const STAMP_BYTES: usize = 8 + 8 + 8 + 8;

/// 640×360, baseline, as x264 writes it.
const AVC_CONFIG: &[u8] = &[
    0x17, 0x00, 0x00, 0x00, 0x00, 0x01, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0x00, 0x0f, 0x67, 0x42, 0xc0, 0x1e,
    0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x01, 0x00, 0x04, 0x68, 0xce,
    0x0f, 0xc8,
];
/// AAC-LC, 48 kHz, stereo.
const AAC_CONFIG: &[u8] = &[0xaf, 0x00, 0x11, 0x90];

/// The shape of a synthetic broadcast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Video bits per second, in thousands.
    pub kbps: u32,
    /// Pictures per second, 1 to 1000.
    pub fps: u32,
    /// Pictures per GOP.
    pub gop: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self { kbps: 300, fps: 30, gop: 60 }
    }
}

impl Shape {
    /// The time between two pictures.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.fps.clamp(1, 1000)
    }
}

/// A broadcast that has begun.
#[derive(Debug)]
pub struct Broadcast {
    shape: Shape,
    source: u64,
    picture: u64,
    filler: Bytes,
}

impl Broadcast {
    /// At its beginning.
    pub fn new(shape: Shape) -> Self {
        Self::of(shape, 0)
    }

    /// The same, stamped as the one of `source`, whatever number the caller gives its publishers.
    pub fn of(shape: Shape, source: u64) -> Self {
        let per_picture =
            usize::try_from(u64::from(shape.kbps) * 1000 / 8 / u64::from(shape.fps.max(1))).unwrap_or(0);
        // A keyframe is four times the size of the others, on average.
        let size = per_picture * shape.gop.max(1) as usize / (shape.gop.max(1) as usize + 3);
        Self { shape, source, picture: 0, filler: vec![0x55; size.max(STAMP_BYTES) * 4].into() }
    }

    /// What comes first.
    pub fn headers() -> [Media; 2] {
        [(MediaKind::Audio, AAC_CONFIG), (MediaKind::Video, AVC_CONFIG)].map(|(kind, bytes)| Media {
            kind,
            timestamp: Timestamp(0),
            payload: Bytes::from_static(bytes),
        })
    }

    /// The next picture, stamped with the time of the call, and a little sound beside it.
    pub fn next_picture(&mut self) -> [Media; 2] {
        let millis = self.picture * 1000 / u64::from(self.shape.fps.max(1));
        // RTMP time wraps; nothing else to do about it.
        let timestamp = Timestamp(u32::try_from(millis & 0xffff_ffff).unwrap_or(0));
        let key = self.picture.is_multiple_of(u64::from(self.shape.gop.max(1)));
        let size = if key { self.filler.len() } else { self.filler.len() / 4 };
        let mut payload = BytesMut::with_capacity(STAMP_AT + size);
        payload.put_slice(if key { &[0x17, 1, 0, 0, 0] } else { &[0x27, 1, 0, 0, 0] });
        payload.put_u32(u32::try_from(size + 1).unwrap_or(u32::MAX));
        payload.put_u8(if key { 0x65 } else { 0x41 });
        payload.put_slice(MAGIC);
        payload.put_u64(self.source);
        payload.put_u64(self.picture);
        payload.put_u64(now_micros());
        payload.put_slice(&self.filler[STAMP_BYTES.min(size)..size]);
        self.picture += 1;
        let sound = [0xaf, 0x01].iter().copied().chain(std::iter::repeat_n(0x21, 64)).collect();
        [
            Media { kind: MediaKind::Video, timestamp, payload: payload.freeze() },
            Media { kind: MediaKind::Audio, timestamp, payload: sound },
        ]
    }
}

/// What a payload says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Whose broadcast it is of.
    pub source: u64,
    /// The number of the picture.
    pub number: u64,
    /// How long it was under way.
    pub age: Duration,
}

/// Reads the stamp of a picture, if it has one.
pub fn read_stamp(media: &Media) -> Option<Stamp> {
    if media.kind != MediaKind::Video {
        return None;
    }
    let stamp = media.payload.get(STAMP_AT..STAMP_AT + STAMP_BYTES)?;
    if &stamp[..8] != MAGIC {
        return None;
    }
    let word = |at: usize| Some(u64::from_be_bytes(stamp.get(at..at + 8)?.try_into().ok()?));
    let (source, number, sent) = (word(8)?, word(16)?, word(24)?);
    Some(Stamp { source, number, age: Duration::from_micros(now_micros().saturating_sub(sent)) })
}

fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_has_the_bit_rate_it_was_asked_for_and_numbers_without_gaps() {
        let shape = Shape { kbps: 800, fps: 25, gop: 50 };
        let mut broadcast = Broadcast::of(shape, 7);
        let mut bytes = 0;
        for n in 0..250 {
            let [video, _] = broadcast.next_picture();
            assert_eq!(read_stamp(&video).map(|s| (s.source, s.number)), Some((7, n)));
            bytes += video.payload.len();
        }
        let kbps = bytes * 8 / 10 / 1000;
        assert!((760..=840).contains(&kbps), "{kbps}");
    }
}
