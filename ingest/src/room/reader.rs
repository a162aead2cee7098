//! Reader: one player's place in a room. It takes what is there in batches and is never waited for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onair_cluster::Epoch;
use onair_codec::MediaKind;

use super::frame::{Frame, FrameKind, HeaderKey};
use super::{Air, State, Ticket};
use crate::reactor::bell::Ear;

/// What a player asked to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Sound (`receiveAudio`).
    pub audio: bool,
    /// Pictures (`receiveVideo`).
    pub video: bool,
    /// Nothing at all until it says so (`pause`).
    pub paused: bool,
}

impl Default for Wants {
    fn default() -> Self {
        Self { audio: true, video: true, paused: false }
    }
}

/// What a call of [`Reader::collect`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collected {
    /// Something to send.
    Frames,
    /// Nothing now; the bell will ring.
    Nothing,
}

/// A place in a room.
#[derive(Debug)]
pub(crate) struct Reader {
    ticket: Ticket,
    /// By which it hears the room's bell.
    ear: Option<Ear>,
    wants: Wants,
    entered: Instant,
    /// As of the last look; every change rings the bell.
    air: Air,
    /// The one epoch to read, for another node; players read whatever comes.
    bound: Option<Epoch>,
    /// The room has gone on to an epoch that is not the bound one.
    passed_by: bool,
    place: Place,
    /// Headers numbered below this were sent when the reader took its place.
    headers_until: u64,
    skipped: u64,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Waits for a frame that it can start with.
    Outside,
    /// The number of the next frame.
    At(u64),
}

impl Reader {
    pub(super) fn new(ticket: Ticket, now: Instant) -> Self {
        ticket.room.readers.fetch_add(1, Ordering::Relaxed);
        Self {
            ticket,
            ear: None,
            wants: Wants::default(),
            entered: now,
            air: Air::Silent,
            bound: None,
            passed_by: false,
            place: Place::Outside,
            headers_until: 0,
            skipped: 0,
        }
    }

    pub(super) fn of_epoch(ticket: Ticket, epoch: Epoch, now: Instant) -> Self {
        ticket.room.relays.fetch_add(1, Ordering::Relaxed);
        let mut reader = Self::new(ticket, now);
        reader.bound = Some(epoch);
        reader
    }

    /// Whether it reads for another node.
    pub(crate) const fn is_relay(&self) -> bool {
        self.bound.is_some()
    }

    /// Whether the broadcast was meant to end, as of the last [`Reader::collect`].
    pub(crate) const fn ended_for_good(&self) -> bool {
        !self.passed_by && matches!(self.air, Air::Off { for_good: true, .. })
    }

    /// Changes what is sent. What comes back comes back with its headers, and from a keyframe on.
    pub(crate) fn set_wants(&mut self, wants: Wants) {
        let more = |now: bool, before: bool| now && !before;
        let resumes = more(!wants.paused, !self.wants.paused)
            || more(wants.video, self.wants.video)
            || more(wants.audio, self.wants.audio);
        self.wants = wants;
        if resumes {
            self.place = Place::Outside;
        }
    }

    /// What is sent now.
    pub(crate) const fn wants(&self) -> Wants {
        self.wants
    }

    /// Frames this reader lost because it was slow.
    pub(crate) const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// From now on `ear` hears when there may be something new. What is there already is to be collected after this.
    pub(crate) fn listen(&mut self, ear: Ear) {
        self.stop_listening();
        self.ticket.room.bell.listen(&ear);
        self.ear = Some(ear);
    }

    fn stop_listening(&mut self) {
        if let Some(ear) = self.ear.take() {
            self.ticket.room.bell.leave(&ear);
        }
    }

    /// What there is to send, in one piece with all who are due the same: two frames or more, as chunks of message stream 1. `None` for
    /// who is due anything else; [`Reader::collect`] knows what.
    pub(crate) fn collect_together(&mut self, chunk_size: u32) -> Option<Bytes> {
        let Place::At(next) = self.place else { return None };
        if self.is_relay() || self.wants != Wants::default() {
            return None;
        }
        let room = &*self.ticket.room;
        let state = room.state.read();
        self.air = state.air;
        let begins = state.ring.tail().max(self.headers_until);
        if next < begins || state.ring.head() < next + 2 {
            return None;
        }
        let bytes = room.together.lock().from(next, &state.ring, chunk_size)?;
        self.place = Place::At(state.ring.head());
        Some(bytes)
    }

    /// Appends what there is to send to `out`: at most `frames_max` frames (headers of a fresh start come on top) and
    /// no more once `bytes_max` bytes of payload are reached.
    pub(crate) fn collect(
        &mut self,
        out: &mut Vec<Arc<Frame>>,
        frames_max: usize,
        bytes_max: usize,
    ) -> Collected {
        let room = self.ticket.room.clone();
        let state = room.state.read();
        self.air = state.air;
        self.passed_by = self.bound.is_some_and(|epoch| epoch != state.highest);
        if self.passed_by || self.wants.paused {
            return Collected::Nothing;
        }
        let Some(mut next) = self.take_place(&state, out) else {
            return Collected::Nothing;
        };
        let before = out.len();
        let mut bytes = 0;
        while out.len() - before < frames_max && bytes < bytes_max {
            let Some(frame) = state.ring.get(next) else { break };
            if self.is_due(next, frame) {
                bytes += frame.payload.len();
                out.push(frame.clone());
            }
            next += 1;
        }
        self.place = Place::At(next);
        if out.is_empty() { Collected::Nothing } else { Collected::Frames }
    }

    /// Where to go on, having sent the headers when this is a fresh start.
    fn take_place(&mut self, state: &State, out: &mut Vec<Arc<Frame>>) -> Option<u64> {
        if let Place::At(next) = self.place {
            if next >= state.ring.tail() {
                return Some(next);
            }
            // Lapped: the ring has forgotten what came next.
            let resume = state.ring.gop().unwrap_or_else(|| state.ring.head());
            self.skipped += resume.saturating_sub(next);
            self.place = Place::Outside;
        }
        let is_due = match state.air {
            Air::On { .. } => true,
            // Only those who were there may see the rest of what is over: to others the room is as silent as one that never was.
            Air::Off { left, .. } => left >= self.entered,
            Air::Silent => false,
        };
        if !is_due {
            return None;
        }
        let start = match state.ring.gop() {
            Some(gop) if self.wants.video => gop,
            // Pictures are on their way, or nobody is on air.
            _ if self.wants.video && (state.headers.has_video() || !matches!(state.air, Air::On { .. })) => {
                return None;
            }
            _ => state.ring.head(),
        };
        let timestamp = state.ring.get(start).map(|frame| frame.timestamp);
        for header in state.headers.all().filter(|header| self.is_wanted(header.media)) {
            let keeps_time = header.kind == FrameKind::Header(HeaderKey::Metadata);
            let timestamp = if keeps_time {
                header.timestamp
            } else {
                timestamp.unwrap_or_else(|| state.timeline.header(header.timestamp))
            };
            out.push(Arc::new(Frame::new(timestamp, header.media, header.kind, header.payload.clone())));
        }
        self.headers_until = state.ring.head();
        Some(start)
    }

    fn is_due(&self, number: u64, frame: &Frame) -> bool {
        let sent_already = matches!(frame.kind, FrameKind::Header(_)) && number < self.headers_until;
        !sent_already && self.is_wanted(frame.media)
    }

    const fn is_wanted(&self, media: MediaKind) -> bool {
        match media {
            MediaKind::Audio => self.wants.audio,
            MediaKind::Video => self.wants.video,
            MediaKind::Data => true,
        }
    }

    /// When to give up on a room that was off air at the last [`Reader::collect`]: `None` while it is on air. A broadcast that ended for good is given up
    /// at once by those who saw it; one that fell off air after `rejoin`; one that was never seen after `wait`. Another node need
    /// not wait: it asks anew.
    pub(crate) fn give_up_at(&self, wait: Duration, rejoin: Duration) -> Option<Instant> {
        if self.is_relay() {
            return match self.air {
                _ if self.passed_by => Some(self.entered),
                Air::On { .. } => None,
                Air::Off { left, .. } => Some(left),
                Air::Silent => Some(self.entered),
            };
        }
        match self.air {
            Air::On { .. } => None,
            Air::Off { left, for_good, .. } if left >= self.entered => {
                Some(if for_good { left } else { left + rejoin })
            }
            Air::Silent | Air::Off { .. } => Some(self.entered + wait),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop_listening();
        if self.is_relay() {
            self.ticket.room.relays.fetch_sub(1, Ordering::Relaxed);
        }
        self.ticket.room.readers.fetch_sub(1, Ordering::Relaxed);
    }
}
