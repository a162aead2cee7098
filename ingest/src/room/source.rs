//! Source: the one publisher of a room, from its grant to its end. Dropping it takes the room off air.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onair_cluster::Epoch;
use onair_codec::MediaKind;

use super::frame::{Frame, FrameKind, HeaderKey};
use super::headers::Change;
use super::{Air, Origin, Ticket};
use crate::reactor::bell;

/// Longest header that is kept for those who join: each of them is sent all. Real ones have less than 2 KiB.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Readers will get it.
    Forwarded,
    /// Not owed to anyone: a repeated header, one that is too long, or a picture before the first keyframe.
    Dropped,
    /// The room belongs to a higher epoch now.
    Fenced,
}

/// The right to put media into a room.
#[derive(Debug)]
pub(crate) struct Source {
    ticket: Ticket,
    epoch: Epoch,
    /// Pictures before a keyframe would be garbage on a reader's screen.
    wants_keyframe: bool,
    last_media: Instant,
    /// The time from one ring of the bell until the last reader here was served after the next.
    gather: Duration,
    rung: Option<Instant>,
    /// Something was passed on that readers were not told of.
    has_news: bool,
}

/// How much too early the bell may ring: turns come some time after their tick, and a tick more would be five milliseconds.
const RING_SLACK: Duration = Duration::from_millis(2);

/// From one ring to the next, where it takes `round` to serve all who hear it: so much less than `gather` that the last of them does not
/// wait longer than that. But a crowd that takes half the time to serve is served as seldom as may be, not more and more often.
fn pause(gather: Duration, round: Duration) -> Duration {
    gather.saturating_sub(round).max(gather.min(round * 2))
}

impl Source {
    pub(super) fn begin(ticket: Ticket, epoch: Epoch, origin: Origin, now: Instant) -> Option<Self> {
        {
            let mut state = ticket.room.state.write();
            let has_publisher = matches!(state.air, Air::On { origin: Origin::Here, .. });
            if epoch < state.highest || (origin == Origin::Elsewhere && has_publisher) {
                return None;
            }
            let pause = match state.air {
                Air::Off { last_media, .. } => now.saturating_duration_since(last_media),
                Air::Silent | Air::On { .. } => std::time::Duration::ZERO,
            };
            state.highest = epoch;
            state.air = Air::On { epoch, origin };
            state.timeline.begin_session(pause);
            state.headers.clear();
            state.ring.forget_gop();
        }
        ticket.room.bell.ring();
        let gather = match origin {
            Origin::Here => ticket.room.gather,
            // The node that it comes from has gathered.
            Origin::Elsewhere => Duration::ZERO,
        };
        let wants_keyframe = true;
        Some(Self { ticket, epoch, wants_keyframe, last_media: now, gather, rung: None, has_news: false })
    }

    /// Passes a message on. `timestamp` is the publisher's own. Readers that wait hear of it with the next [`Source::ring`].
    pub(crate) fn push(
        &mut self,
        media: MediaKind,
        kind: FrameKind,
        timestamp: u32,
        payload: Bytes,
        now: Instant,
    ) -> Pushed {
        match kind {
            FrameKind::Keyframe => self.wants_keyframe = false,
            FrameKind::Picture if self.wants_keyframe => return Pushed::Dropped,
            _ => {}
        }
        self.last_media = now;
        if matches!(kind, FrameKind::Header(_)) && payload.len() > HEADER_BYTES_MAX {
            return Pushed::Dropped;
        }
        let watched;
        {
            let mut state = self.ticket.room.state.write();
            // Read under the lock: a reader that came before is in it, one that comes after finds the frame.
            watched = self.readers() > 0;
            if state.highest != self.epoch {
                return Pushed::Fenced;
            }
            let timestamp = match kind {
                // quirk: FFmpeg takes metadata at any other time for a subtitle track.
                FrameKind::Header(HeaderKey::Metadata) => 0,
                FrameKind::Header(_) | FrameKind::Other => state.timeline.header(timestamp),
                FrameKind::Keyframe | FrameKind::Picture | FrameKind::Sound => {
                    state.timeline.coded(timestamp)
                }
            };
            let frame = Arc::new(Frame::new(timestamp, media, kind, payload));
            if let FrameKind::Header(key) = kind {
                match state.headers.note(key, &frame) {
                    Change::None => return Pushed::Dropped,
                    // Nobody may start in pictures that another configuration decodes.
                    Change::Replaced if matches!(key, HeaderKey::Video(_)) => state.ring.forget_gop(),
                    Change::Replaced | Change::Added => {}
                }
            }
            state.ring.push(frame, watched);
        }
        self.has_news |= watched;
        Pushed::Forwarded
    }

    /// Rings the bell, if there is news and the last time is long enough ago. To be called after pushes, and at
    /// [`Source::rings_at`].
    pub(crate) fn ring(&mut self, now: Instant) {
        if self.rings_at().is_some_and(|at| at <= now) {
            self.has_news = false;
            self.rung = Some(now);
            self.ticket.room.bell.ring();
        }
    }

    /// When the bell is due; `None` without news.
    pub(crate) fn rings_at(&self) -> Option<Instant> {
        let pause = || pause(self.gather, bell::last_round()).saturating_sub(RING_SLACK);
        self.has_news.then(|| self.rung.map_or(self.last_media, |rung| rung + pause()))
    }

    /// Media was withheld from readers: what follows makes sense to them only from a keyframe on.
    pub(crate) const fn interrupted(&mut self) {
        self.wants_keyframe = true;
    }

    /// How many players read the room on this node.
    pub(crate) fn players(&self) -> u32 {
        self.ticket.room.players()
    }

    fn readers(&self) -> u32 {
        self.ticket.room.readers.load(Ordering::Relaxed)
    }

    /// Takes the room off air because the broadcast is over, not merely interrupted.
    pub(crate) fn end_for_good(self) {
        self.leave(true);
    }

    fn leave(&self, for_good: bool) {
        {
            let mut state = self.ticket.room.state.write();
            let mine = matches!(state.air, Air::On { epoch, .. } if epoch == self.epoch);
            if !mine {
                return;
            }
            state.air = Air::Off { last_media: self.last_media, left: Instant::now(), for_good };
            if self.readers() == 0 {
                state.ring.clear();
                state.headers.clear();
                self.ticket.room.together.lock().clear();
            }
        }
        self.ticket.room.bell.ring();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.leave(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_to_be_served_waits_no_longer_than_all_are_gathered_for_unless_there_are_too_many() {
        let pause = |gather, round| {
            super::pause(Duration::from_millis(gather), Duration::from_millis(round)).as_millis()
        };
        assert_eq!([pause(45, 0), pause(45, 5), pause(45, 15)], [45, 40, 30]);
        assert_eq!([pause(45, 20), pause(45, 30), pause(45, 300)], [40, 45, 45]);
        assert_eq!([pause(0, 0), pause(0, 20)], [0, 0]);
    }
}
