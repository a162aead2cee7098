//! Media: a synthetic broadcast that real decoders take: H.264 (grey, weighed down with filler) and AAC (silence). Each
//! picture carries whose it is, a number without gaps and the time it was sent, so that a player can tell what was lost,
//! mixed up or late.

mod aac;
mod bits;
pub mod clip;
mod h264;
mod stamp;

use std::time::Duration;

use bytes::Bytes;
use onair_codec::{Media, MediaKind, Timestamp, amf0};

pub(crate) use stamp::STAMP_END;
pub use stamp::{Stamp, now_micros};

/// The shape of a synthetic broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Video bits per second, in thousands. It also chooses the size of the picture: 1280×720 from 500 on.
    pub kbps: u32,
    /// Pictures per second, 1 to 1000.
    pub fps: u32,
    /// Pictures per GOP, at least 1.
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
        Duration::from_secs(1) / self.fps()
    }

    fn fps(&self) -> u32 {
        self.fps.clamp(1, 1000)
    }

    fn gop(&self) -> u64 {
        u64::from(self.gop.max(1))
    }

    /// A keyframe alone must not take more than its share.
    const fn size(&self) -> h264::Size {
        match self.kbps {
            0..150 => h264::Size::SMALL,
            150..500 => h264::Size::MIDDLE,
            _ => h264::Size::HD,
        }
    }

    const fn is_key(&self, picture: u64) -> bool {
        picture.is_multiple_of(if self.gop == 0 { 1 } else { self.gop as u64 })
    }

    /// Bytes that the payload of a picture should have. A keyframe has four times the mean of the others, and those vary.
    fn picture_bytes(&self, picture: u64) -> usize {
        /// In eighths of the mean; the eight of them make one mean.
        const SWING: [u64; 8] = [8, 6, 9, 7, 11, 6, 10, 7];
        let per_gop = u64::from(self.kbps) * 125 * self.gop() / u64::from(self.fps());
        let mean = per_gop / (self.gop() + 3);
        let bytes = if self.is_key(picture) {
            mean * 4
        } else {
            mean * SWING[usize::try_from(picture % 8).unwrap_or(0)] / 8
        };
        usize::try_from(bytes).unwrap_or(0)
    }

    /// The payload of a video message, with room for a stamp.
    fn payload(&self, picture: u64) -> Vec<u8> {
        let is_key = self.is_key(picture);
        let slice = if is_key {
            let id = picture / self.gop() % 2;
            h264::keyframe(self.size(), u32::try_from(id).unwrap_or(0))
        } else {
            h264::repetition(self.size(), u32::try_from(picture % self.gop()).unwrap_or(0))
        };
        let mut payload = vec![if is_key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
        let mut put = |nal: &[u8]| {
            payload.extend_from_slice(&u32::try_from(nal.len()).unwrap_or(u32::MAX).to_be_bytes());
            payload.extend_from_slice(nal);
        };
        put(&stamp::unit());
        put(&slice);
        let missing = self.picture_bytes(picture).saturating_sub(payload.len());
        if missing > 6 {
            let nal = h264::filler(missing - 4);
            payload.extend_from_slice(&u32::try_from(nal.len()).unwrap_or(u32::MAX).to_be_bytes());
            payload.extend_from_slice(&nal);
        }
        payload
    }

    fn video_configuration(&self) -> Vec<u8> {
        [&[0x17, 0, 0, 0, 0][..], &h264::configuration(self.size(), self.fps())].concat()
    }

    /// What encoders say of their broadcast first, as the body of a data message.
    fn metadata(&self) -> Vec<u8> {
        use amf0::Value;
        let size = self.size();
        let facts = Value::ecma_array([
            ("width", Value::Number(f64::from(size.width()))),
            ("height", Value::Number(f64::from(size.height))),
            ("framerate", Value::Number(f64::from(self.fps()))),
            ("videocodecid", Value::Number(7.0)),
            ("videodatarate", Value::Number(f64::from(self.kbps))),
            ("audiocodecid", Value::Number(10.0)),
            ("audiosamplerate", Value::Number(48_000.0)),
            ("audiosamplesize", Value::Number(16.0)),
            ("stereo", Value::Boolean(true)),
            ("encoder", Value::from_static("onair-loadtest")),
        ]);
        amf0::write_all(&[Value::from_static("@setDataFrame"), Value::from_static("onMetaData"), facts])
    }

    /// The time of a picture since the first, in milliseconds.
    fn millis(&self, picture: u64) -> u64 {
        picture * 1000 / u64::from(self.fps())
    }
}

/// A broadcast that has begun, message by message. For load there is [`clip::Clip`], which makes them once for all.
#[derive(Debug)]
pub struct Broadcast {
    shape: Shape,
    source: u64,
    picture: u64,
    sound: Bytes,
}

impl Broadcast {
    /// At its beginning.
    pub fn new(shape: Shape) -> Self {
        Self::of(shape, 0)
    }

    /// The same, stamped as the one of `source`, whatever number the caller gives its publishers.
    pub fn of(shape: Shape, source: u64) -> Self {
        Self { shape, source, picture: 0, sound: aac::silence(66).into() }
    }

    /// What comes first.
    pub fn headers(&self) -> [Media; 2] {
        let video = self.shape.video_configuration();
        [(MediaKind::Audio, aac::CONFIGURATION.to_vec()), (MediaKind::Video, video)]
            .map(|(kind, bytes)| Media { kind, timestamp: Timestamp(0), payload: bytes.into() })
    }

    /// The next picture, stamped with the time of the call, and a little sound beside it.
    pub fn next_picture(&mut self) -> [Media; 2] {
        // RTMP time wraps; nothing else to do about it.
        let millis = self.shape.millis(self.picture) & 0xffff_ffff;
        let timestamp = Timestamp(u32::try_from(millis).unwrap_or(0));
        let mut payload = self.shape.payload(self.picture);
        Stamp { room: 0, source: self.source, number: self.picture, sent: now_micros() }.write(&mut payload);
        self.picture += 1;
        [
            Media { kind: MediaKind::Video, timestamp, payload: payload.into() },
            Media { kind: MediaKind::Audio, timestamp, payload: self.sound.clone() },
        ]
    }
}

/// Reads the stamp of a picture, if it has one.
pub fn read_stamp(media: &Media) -> Option<Stamp> {
    if media.kind == MediaKind::Video { Stamp::read(&media.payload) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_has_the_bit_rate_it_was_asked_for_and_numbers_without_gaps() {
        for kbps in [100, 300, 800, 6000] {
            let mut broadcast = Broadcast::of(Shape { kbps, fps: 25, gop: 50 }, 7);
            let mut bytes = 0;
            for n in 0..250 {
                let [video, _] = broadcast.next_picture();
                assert_eq!(read_stamp(&video).map(|s| (s.source, s.number)), Some((7, n)));
                bytes += video.payload.len();
            }
            let measured = u32::try_from(bytes * 8 / 10 / 1000).unwrap();
            assert!(measured.abs_diff(kbps) * 20 <= kbps, "{measured} instead of {kbps}");
        }
    }
}
