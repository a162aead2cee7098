//! Ring: the last frames of a room, numbered, bounded, read by any number of readers at their own pace.
//!
//! A frame's number never changes; a reader is a number. What the ring forgets, a slow reader has lost: it goes on at the
//! newest keyframe. So a slow reader costs frames of its own, never memory and never the publisher's time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::frame::{Frame, FrameKind};

/// Frames kept behind the running GOP while somebody watches, so that a reader is not lost at each keyframe: about four
/// seconds of pictures and sound.
const BEHIND_MAX: u64 = 300;

/// What one frame costs beside its bytes; keeps a flood of empty messages bounded too.
const FRAME_OVERHEAD: usize = 128;

#[derive(Debug)]
pub(super) struct Ring {
    frames: VecDeque<Arc<Frame>>,
    /// The number of `frames[0]`.
    first: u64,
    bytes: usize,
    bytes_max: usize,
    /// The newest keyframe still kept.
    gop: Option<u64>,
}

impl Ring {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { frames: VecDeque::new(), first: 0, bytes: 0, bytes_max, gop: None }
    }

    /// The number that the next frame will get.
    pub(super) fn head(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    /// The oldest number still kept.
    pub(super) const fn tail(&self) -> u64 {
        self.first
    }

    /// Where a new or a lost reader starts: the newest keyframe, if it is still here.
    pub(super) const fn gop(&self) -> Option<u64> {
        self.gop
    }

    pub(super) fn get(&self, number: u64) -> Option<&Arc<Frame>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.frames.get(index)
    }

    /// Adds a frame and forgets what is no longer owed to anyone. `watched`: somebody reads.
    pub(super) fn push(&mut self, frame: Arc<Frame>, watched: bool) {
        if frame.kind == FrameKind::Keyframe {
            self.gop = Some(self.head());
        }
        self.bytes += cost(&frame);
        self.frames.push_back(frame);
        let behind = if watched { BEHIND_MAX } else { 0 };
        let owed_from = self.gop.unwrap_or_else(|| self.head()).min(self.head().saturating_sub(behind));
        while self.first < owed_from || (self.bytes > self.bytes_max && self.frames.len() > 1) {
            self.forget_oldest();
        }
    }

    /// A new publisher: nobody may start in the old one's pictures any more, though readers finish reading them.
    pub(super) const fn forget_gop(&mut self) {
        self.gop = None;
    }

    /// Nobody watches and nobody publishes: gives the memory back.
    pub(super) fn clear(&mut self) {
        self.first = self.head();
        self.frames = VecDeque::new();
        self.bytes = 0;
        self.gop = None;
    }

    fn forget_oldest(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= cost(&frame);
            if self.gop == Some(self.first) {
                self.gop = None;
            }
            self.first += 1;
        }
    }
}

fn cost(frame: &Frame) -> usize {
    // Twice: as it came, and as chunks once a player was sent it.
    2 * frame.payload.len() + FRAME_OVERHEAD
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use onair_codec::MediaKind;

    use super::*;

    fn frame(kind: FrameKind, size: usize) -> Arc<Frame> {
        Arc::new(Frame::new(0, MediaKind::Video, kind, Bytes::from(vec![0; size])))
    }

    #[test]
    fn without_readers_only_the_running_gop_is_kept() {
        let mut ring = Ring::new(1 << 20);
        for _ in 0..5 {
            ring.push(frame(FrameKind::Keyframe, 100), false);
            for _ in 0..9 {
                ring.push(frame(FrameKind::Picture, 10), false);
            }
        }
        assert_eq!((ring.tail(), ring.head(), ring.gop()), (40, 50, Some(40)));
    }

    #[test]
    fn readers_keep_some_of_the_past_across_a_keyframe() {
        let mut ring = Ring::new(1 << 20);
        for n in 0..1000 {
            ring.push(frame(if n % 10 == 0 { FrameKind::Keyframe } else { FrameKind::Picture }, 10), true);
        }
        assert_eq!(ring.head() - ring.tail(), BEHIND_MAX);
    }

    #[test]
    fn a_long_gop_is_forgotten_before_it_outgrows_its_bound() {
        let mut ring = Ring::new(100_000);
        ring.push(frame(FrameKind::Keyframe, 10_000), true);
        for _ in 0..500 {
            ring.push(frame(FrameKind::Picture, 1_000), true);
        }
        assert!(ring.bytes <= 100_000);
        assert_eq!(ring.gop(), None);
        for _ in 0..500_000 {
            ring.push(frame(FrameKind::Other, 0), true);
        }
        assert!(ring.frames.len() < 1000);
    }

    #[test]
    fn one_frame_larger_than_the_bound_is_still_passed_on() {
        let mut ring = Ring::new(10);
        ring.push(frame(FrameKind::Keyframe, 100), false);
        assert_eq!(ring.get(ring.head() - 1).map(|f| f.payload.len()), Some(100));
    }
}
