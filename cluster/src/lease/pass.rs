//! The media path's view of a lease: a few atomics, no lock and no allocation, read at every media message.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::ids::{Epoch, RoomId};
use crate::time::{BootTime, UnixMs};

/// What a session may believe about its lease right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// The room is ours: media may pass.
    Mine,
    /// Nobody has confirmed that lately, but the registry was found to be away, or to have lost its replicas, by a call made
    /// a moment ago: media may pass. Whoever passes it on tells sessions apart by their epoch.
    Riding,
    /// Nobody has confirmed that for too long. Media is withheld until there is a verdict.
    Withhold,
    /// The room is not ours any more. For good.
    Over,
}

/// A session's right to pass media, as far as it may be believed. Cheap to clone.
#[derive(Clone)]
pub struct Pass(Arc<Inner>);

struct Inner {
    room: RoomId,
    epoch: Epoch,
    /// Boot time in ns; only ever raised.
    believe_until: AtomicU64,
    /// Boot time in ns until which media passes without a confirmed answer; only ever raised.
    ride_until: AtomicU64,
    fenced: AtomicBool,
    /// Boot time of the last media message in ns; 0 while there is none.
    last_media: AtomicU64,
    bytes: AtomicU64,
    /// 0 while the session is not live.
    live_at: AtomicU64,
    /// Set together with a ring of `wake`: the keeper renews this lease in its next call.
    urgent: AtomicBool,
    wake: Arc<Notify>,
}

/// What the media path counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Media {
    pub(super) live_at: Option<UnixMs>,
    pub(super) last_media: Option<BootTime>,
    pub(super) bytes: u64,
}

impl Pass {
    /// A pass that lets nothing through yet.
    pub(crate) fn new(room: RoomId, epoch: Epoch, wake: Arc<Notify>) -> Self {
        Self(Arc::new(Inner {
            room,
            epoch,
            believe_until: AtomicU64::new(0),
            ride_until: AtomicU64::new(0),
            fenced: AtomicBool::new(false),
            last_media: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            live_at: AtomicU64::new(0),
            urgent: AtomicBool::new(false),
            wake,
        }))
    }

    /// The session's order among the room's sessions.
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// The room.
    pub fn room(&self) -> &RoomId {
        &self.0.room
    }

    /// Whether media may pass at `now`. To be asked for every media message.
    pub fn check(&self, now: BootTime) -> Belief {
        if self.0.fenced.load(Ordering::Acquire) {
            Belief::Over
        } else if now.0 < self.0.believe_until.load(Ordering::Acquire) {
            Belief::Mine
        } else if now.0 < self.0.ride_until.load(Ordering::Acquire) {
            Belief::Riding
        } else {
            // Past both deadlines, as after a freeze. What the registry's silence means is for the keeper to say: it raises
            // one of them, or fences.
            Belief::Withhold
        }
    }

    /// Counts a media message of `bytes` payload bytes received at `now`.
    pub fn media(&self, now: BootTime, bytes: u64) {
        self.0.last_media.store(now.0, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The first coded frame, video or audio, came. Only the first call counts; it makes the keeper tell the registry at once.
    pub fn live(&self, now: UnixMs) {
        let first = self.0.live_at.compare_exchange(0, now.0.max(1), Ordering::AcqRel, Ordering::Relaxed);
        if first.is_ok() {
            self.set_urgent();
            self.0.wake.notify_one();
        }
    }

    /// Ends the right to pass media, from now on and for good.
    pub(crate) fn fence(&self) {
        self.0.fenced.store(true, Ordering::Release);
    }

    /// The holder may believe until `until`, on the strength of a confirmed answer. Never shortens a belief.
    pub(crate) fn believe(&self, until: BootTime) {
        self.0.believe_until.fetch_max(until.0, Ordering::AcqRel);
    }

    /// Media may pass until `until`, though nobody confirmed that the room is ours.
    pub(crate) fn ride(&self, until: BootTime) {
        self.0.ride_until.fetch_max(until.0, Ordering::AcqRel);
    }

    /// When media is withheld, if nothing more is heard.
    pub(crate) fn deadline(&self) -> BootTime {
        BootTime(self.0.believe_until.load(Ordering::Acquire).max(self.0.ride_until.load(Ordering::Acquire)))
    }

    pub(crate) fn set_urgent(&self) {
        self.0.urgent.store(true, Ordering::Release);
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.0.urgent.load(Ordering::Acquire)
    }

    pub(super) fn clear_urgent(&self) {
        self.0.urgent.store(false, Ordering::Release);
    }

    pub(super) fn counted(&self) -> Media {
        let live_at = self.0.live_at.load(Ordering::Acquire);
        let last_media = self.0.last_media.load(Ordering::Relaxed);
        Media {
            live_at: (live_at != 0).then_some(UnixMs(live_at)),
            last_media: (last_media != 0).then_some(BootTime(last_media)),
            bytes: self.0.bytes.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pass({} @ {})", self.0.room, self.0.epoch)
    }
}
