//! What the keeper and the guard share of a lease. Owned by the keeper's table while the lease is held, by whoever ends it after.

use std::time::Duration;

use parking_lot::Mutex;

use super::doubt::{Cause, Doubt, Failure};
use super::meter::Meter;
use super::{Belief, LeaseSignal, Pass};
use crate::events::{Facts, SessionCard};
use crate::keeper::OnRegistryLoss;
use crate::registry::{Renewal, Want};
use crate::time::{BootTime, UnixMs};

/// A renewal outside the node's rhythm for new facts: at most one in this time per lease.
const EXTRA_EVERY: Duration = Duration::from_secs(1);
/// After a session went live: two looks at its bitrate, so that it is right within a second.
const FIRST_LOOKS: [Duration; 2] = [Duration::from_millis(450), Duration::from_millis(900)];

/// What its key allows a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) duration: Option<Duration>,
    /// Bits per second.
    pub(crate) bitrate: Option<u64>,
}

/// One held lease.
pub(crate) struct Held {
    pub(crate) card: SessionCard,
    pub(crate) limits: Limits,
    pub(crate) pass: Pass,
    words: Mutex<Words>,
    granted_at: BootTime,
    /// Control path only: the keeper's loop and `set_facts`. The media path never takes it.
    control: Mutex<Control>,
}

/// What was said to the session last, and who hears what comes next. Not a channel: there is one word in the lives of most
/// sessions, and a node has many thousands of them.
struct Words {
    last: LeaseSignal,
    ear: Option<Ear>,
}

/// Takes what is said to a session.
pub(super) type Ear = Box<dyn Fn(LeaseSignal) + Send>;

struct Control {
    /// As the session set them; what the pass counts is filled in when they are sent.
    facts: Facts,
    /// Something is to be sent before the node's next beat.
    dirty: bool,
    meter: Meter,
    renewed_at: BootTime,
    /// The last renewal had no answer: when to make the next.
    retry_at: Option<BootTime>,
    doubt: Doubt,
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

/// When something is to be done about a lease.
pub(crate) struct Agenda {
    /// When it was last renewed, or else granted.
    pub(crate) renewed_at: BootTime,
    /// Renew it, and let nothing come before that: it went live, was rung for, or the registry did not answer.
    pub(crate) hurries_at: Option<BootTime>,
    /// Renew it for the news that there are.
    pub(crate) renew_at: Option<BootTime>,
    /// Look whether its holder has been silent for as long as a newcomer waits.
    pub(crate) look_at: Option<BootTime>,
    /// End it for want of an answer.
    pub(crate) ends_at: Option<BootTime>,
    /// Why its media passes unconfirmed now, if it does.
    pub(crate) rides: Option<Cause>,
}

impl Held {
    pub(crate) fn new(card: SessionCard, limits: Limits, pass: Pass, granted_at: BootTime) -> Self {
        let control = Control {
            facts: Facts::default(),
            dirty: false,
            meter: Meter::default(),
            renewed_at: granted_at,
            retry_at: None,
            doubt: Doubt::default(),
            looks: [None; 2],
            told_live: false,
            wanted: None,
        };
        let words = Mutex::new(Words { last: LeaseSignal::Held, ear: None });
        Self { card, limits, pass, words, granted_at, control: Mutex::new(control) }
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
        facts.unreplicated = false;
        let changed = facts != control.facts;
        control.facts = facts;
        control.dirty |= changed;
        changed
    }

    /// What is to be done about the lease by itself, outside the node's rhythm.
    pub(crate) fn agenda(&self, now: BootTime, policy: OnRegistryLoss) -> Agenda {
        let control = self.control.lock();
        let news_at = control.dirty.then(|| control.renewed_at.plus(EXTRA_EVERY));
        Agenda {
            renewed_at: control.renewed_at,
            hurries_at: if self.pass.is_urgent() { Some(now) } else { control.retry_at },
            renew_at: control.looks.into_iter().chain([news_at]).flatten().min(),
            look_at: control.wanted.as_ref().map(|wanted| wanted.look_at),
            ends_at: control.doubt.ends_at(self.pass.deadline(), policy),
            rides: (self.pass.check(now) == Belief::Riding).then(|| control.doubt.cause()),
        }
    }

    /// The renewal to send now. What it answers for is not due any more.
    pub(crate) fn renewal(&self, now: BootTime, unix: UnixMs) -> Renewal {
        self.pass.clear_urgent();
        let facts = self.facts(now, unix);
        let mut control = self.control.lock();
        control.renewed_at = now;
        control.dirty = false;
        control.retry_at = None;
        for look in &mut control.looks {
            *look = look.filter(|at| *at > now);
        }
        Renewal { card: self.card.clone(), facts }
    }

    /// When it was last renewed, or else granted.
    pub(crate) fn renewed_at(&self) -> BootTime {
        self.control.lock().renewed_at
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
            unreplicated: control.doubt.is_unreplicated(),
            ..control.facts.clone()
        }
    }

    // === what the registry's silence means ===

    /// The registry answered for this lease, with or without its replicas. A change in that is a fact worth telling.
    pub(crate) fn on_answered(&self, confirmed: bool) {
        let mut control = self.control.lock();
        control.dirty |= control.doubt.on_answer(confirmed);
    }

    /// The renewal had no answer: it is made again at `retry_at`, and media may ride on that.
    pub(crate) fn on_unanswered(&self, failure: Failure, retry_at: BootTime, policy: OnRegistryLoss) {
        let mut control = self.control.lock();
        control.retry_at = Some(retry_at);
        if let Some(until) = control.doubt.on_failure(failure, policy) {
            self.pass.ride(until);
        }
    }

    // === going live, and giving way ===

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
        let mut words = self.words.lock();
        let is_final =
            matches!(words.last, LeaseSignal::Superseded | LeaseSignal::Lost { .. } | LeaseSignal::Abandoned);
        if is_final || words.last == word {
            return false;
        }
        words.last = word;
        words.repeat();
        true
    }

    /// From now on `ear` hears what is said; at once what was said last, if anything was.
    pub(super) fn listen(&self, ear: Ear) {
        let mut words = self.words.lock();
        words.ear = Some(ear);
        if words.last != LeaseSignal::Held {
            words.repeat();
        }
    }
}

impl Words {
    fn repeat(&self) {
        if let Some(ear) = &self.ear {
            ear(self.last.clone());
        }
    }
}
