//! What the keeper and the guard share of a lease. Owned by the keeper's table while the lease is held, by whoever ends it after.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::meter::Meter;
use super::{LeaseSignal, Pass};
use crate::events::{Facts, SessionCard};
use crate::registry::{Renewal, Want};
use crate::time::{BootTime, UnixMs};

/// A renewal outside the node's rhythm, for new facts or because the last one was not answered: at most one in this time
/// per lease.
const EXTRA_EVERY: Duration = Duration::from_secs(1);
/// After a session went live: two looks at its bitrate, so that it is right within a second.
const FIRST_LOOKS: [Duration; 2] = [Duration::from_millis(450), Duration::from_millis(900)];

/// One held lease.
pub(crate) struct Held {
    pub(crate) card: SessionCard,
    pub(crate) max_duration: Option<Duration>,
    pub(crate) pass: Pass,
    pub(crate) signal: watch::Sender<LeaseSignal>,
    granted_at: BootTime,
    /// Control path only: the keeper's loop and `set_facts`. The media path never takes it.
    control: Mutex<Control>,
}

struct Control {
    /// As the session set them; what the pass counts is filled in when they are sent.
    facts: Facts,
    /// Something is to be sent before the node's next beat.
    dirty: bool,
    meter: Meter,
    renewed_at: BootTime,
    /// Renewals due outside the node's rhythm.
    looks: [Option<BootTime>; 2],
    /// The registry knows that the session is live.
    told_live: bool,
    wanted: Option<Wanted>,
}

/// A newcomer's wish, by our clock.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) want: Want,
    /// When the newcomer will have gone away.
    pub(crate) until: BootTime,
    /// When the holder may have been silent for long enough.
    pub(crate) look_at: BootTime,
}

impl Held {
    pub(crate) fn new(
        card: SessionCard,
        max_duration: Option<Duration>,
        pass: Pass,
        granted_at: BootTime,
    ) -> Self {
        let control = Control {
            facts: Facts::default(),
            dirty: false,
            meter: Meter::default(),
            renewed_at: granted_at,
            looks: [None; 2],
            told_live: false,
            wanted: None,
        };
        let signal = watch::Sender::new(LeaseSignal::Held);
        Self { card, max_duration, pass, signal, granted_at, control: Mutex::new(control) }
    }

    /// Applies `f`; true if that changed anything worth sending.
    pub(crate) fn set_facts(&self, f: impl FnOnce(&mut Facts)) -> bool {
        let mut control = self.control.lock();
        let mut facts = control.facts.clone();
        f(&mut facts);
        // Not the session's to say.
        facts.live_at = None;
        facts.last_media_at = None;
        facts.bytes_in = 0;
        facts.bitrate_kbps = 0;
        let changed = facts != control.facts;
        control.facts = facts;
        control.dirty |= changed;
        changed
    }

    /// When the next renewal outside the node's rhythm is due, if any is.
    pub(crate) fn extra_due(&self, now: BootTime) -> Option<BootTime> {
        if self.pass.is_urgent() {
            return Some(now);
        }
        let control = self.control.lock();
        let dirty = control.dirty.then(|| control.renewed_at.plus(EXTRA_EVERY));
        control.looks.into_iter().chain([dirty]).flatten().min()
    }

    /// The renewal to send now. What it answers for is not due any more.
    pub(crate) fn renewal(&self, now: BootTime, unix: UnixMs) -> Renewal {
        self.pass.clear_urgent();
        let facts = self.facts(now, unix);
        let mut control = self.control.lock();
        control.renewed_at = now;
        control.dirty = false;
        for look in &mut control.looks {
            *look = look.filter(|at| *at > now);
        }
        Renewal { card: self.card.clone(), facts }
    }

    /// All facts as of now.
    pub(crate) fn facts(&self, now: BootTime, unix: UnixMs) -> Facts {
        let counted = self.pass.counted();
        let mut control = self.control.lock();
        if counted.live_at.is_some() && !control.meter.is_running() {
            control.meter.start(now, counted.bytes);
            control.looks = FIRST_LOOKS.map(|after| Some(now.plus(after)));
        }
        Facts {
            live_at: counted.live_at,
            last_media_at: counted.last_media.map(|at| unix.minus(now.since(at))),
            bytes_in: counted.bytes,
            bitrate_kbps: control.meter.read(now, counted.bytes),
            ..control.facts.clone()
        }
    }

    /// The renewal had no answer: its facts are still unsent.
    pub(crate) fn on_renewal_failed(&self) {
        self.control.lock().dirty = true;
    }

    /// True once: the first time that a renewal saying `live` was answered.
    pub(crate) fn on_live_told(&self) -> bool {
        !std::mem::replace(&mut self.control.lock().told_live, true)
    }

    /// Since when there has been no media.
    pub(crate) fn silent_since(&self) -> BootTime {
        self.pass.counted().last_media.unwrap_or(self.granted_at)
    }

    pub(crate) fn wanted(&self) -> Option<Wanted> {
        self.control.lock().wanted.clone()
    }

    pub(crate) fn set_wanted(&self, wanted: Option<Wanted>) {
        self.control.lock().wanted = wanted;
    }

    /// Says something to the session, unless the last word has been said. True if it was news.
    pub(crate) fn say(&self, word: LeaseSignal) -> bool {
        self.signal.send_if_modified(|said| {
            let is_final = matches!(said, LeaseSignal::Superseded | LeaseSignal::Lost { .. });
            let news = !is_final && *said != word;
            if news {
                *said = word;
            }
            news
        })
    }
}
