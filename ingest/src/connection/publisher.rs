//! Publisher: the hot path of one session, from a media message off the wire to the room. No lock of its own, no mailbox.

use std::time::{Duration, Instant};

use onair_cluster::events::{AudioFacts, Facts, VideoFacts};
use onair_cluster::lease::{Belief, Pass};
use onair_cluster::time::{BootTime, UnixMs};
use onair_codec::Media;
use onair_codec::amf0::AmfLimits;

use super::bitrate::BitrateLimit;
use crate::probe::{Probe, Seen};
use crate::room::{FrameKind, Pushed, Source};

/// How often facts may go to the registry from here.
const FACTS_EVERY: Duration = Duration::from_secs(1);
/// Changes at the beginning that go at once: headers and metadata of sound and pictures come one by one within milliseconds,
/// and the API should know them all within a second.
const FACTS_AT_ONCE: u32 = 6;

/// What the pump holds while its connection publishes.
#[derive(Debug)]
pub(crate) struct Publisher {
    pass: Pass,
    source: Source,
    probe: Probe,
    live: bool,
    /// The last media message, or the start.
    heard: Instant,
    heard_any: bool,
    players: u32,
    facts_sent: Option<Instant>,
    facts_at_once: u32,
    limit: Option<BitrateLimit>,
    /// Messages not passed on, since last asked.
    pub(crate) dropped: Dropped,
}

/// Why messages were not passed on.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    pub(crate) withheld: u64,
    pub(crate) fenced: u64,
    pub(crate) useless: u64,
}

/// What changed about a session, for its actor.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FactsChange {
    pub(crate) media: Option<(Option<VideoFacts>, Option<AudioFacts>)>,
    pub(crate) players: u32,
}

impl FactsChange {
    /// Writes the change into the session's facts.
    pub(crate) fn apply(self, facts: &mut Facts) {
        if let Some((video, audio)) = self.media {
            facts.video = video;
            facts.audio = audio;
        }
        facts.players = self.players;
    }
}

impl Publisher {
    pub(crate) fn new(pass: Pass, source: Source, amf_limits: AmfLimits, now: Instant) -> Self {
        Self {
            pass,
            source,
            probe: Probe::new(amf_limits),
            live: false,
            heard: now,
            heard_any: false,
            players: 0,
            facts_sent: None,
            facts_at_once: FACTS_AT_ONCE,
            limit: None,
            dropped: Dropped::default(),
        }
    }

    /// The same under a bitrate that it may not exceed, in bits per second.
    pub(crate) fn limited(self, bitrate: Option<u64>, now: Instant) -> Self {
        Self { limit: bitrate.map(|allowed| BitrateLimit::new(allowed, now)), ..self }
    }

    /// One message from the wire.
    pub(crate) fn media(&mut self, media: Media, now: Instant, boot: BootTime) {
        self.heard = now;
        self.heard_any = true;
        let bytes = media.payload.len() as u64;
        self.pass.media(boot, bytes);
        if let Some(limit) = &mut self.limit {
            limit.count(bytes, now);
        }
        let kind = match self.probe.see(&media) {
            Seen::As(kind) => kind,
            Seen::Useless => {
                self.dropped.useless += 1;
                return;
            }
        };
        match self.pass.check(boot) {
            Belief::Mine | Belief::Riding => {}
            Belief::Withhold => {
                // Until there is a verdict nobody may see this; afterwards they can only go on from a keyframe.
                self.dropped.withheld += 1;
                self.source.interrupted();
                return;
            }
            Belief::Over => {
                self.dropped.fenced += 1;
                return;
            }
        }
        if !self.live && matches!(kind, FrameKind::Keyframe | FrameKind::Picture | FrameKind::Sound) {
            self.live = true;
            self.pass.live(UnixMs::now());
        }
        if self.source.push(media.kind, kind, media.timestamp.0, media.payload, now) == Pushed::Fenced {
            self.dropped.fenced += 1;
        }
    }

    /// Tells the room's readers of what was passed on, if it is time.
    pub(crate) fn ring(&mut self, now: Instant) {
        self.source.ring(now);
    }

    /// When that is to be done next.
    pub(crate) fn rings_at(&self) -> Option<Instant> {
        self.source.rings_at()
    }

    /// Whether pictures or sound were passed on.
    pub(crate) const fn is_live(&self) -> bool {
        self.live
    }

    /// What to tell a streamer who sends more than the key allows.
    pub(crate) fn excess(&self) -> Option<String> {
        self.limit.as_ref().filter(|limit| limit.is_exceeded()).map(BitrateLimit::text)
    }

    /// What changed since the last call, at most once a second; the first few changes at once.
    pub(crate) fn take_facts(&mut self, now: Instant) -> Option<FactsChange> {
        if self.facts_at_once == 0 && self.facts_sent.is_some_and(|sent| now < sent + FACTS_EVERY) {
            return None;
        }
        let change = self.take_all_facts()?;
        self.facts_at_once = self.facts_at_once.saturating_sub(1);
        self.facts_sent = Some(now);
        Some(change)
    }

    /// What changed since the last call, however short a time ago that was: for the end, which must not forget anything.
    pub(crate) fn take_all_facts(&mut self) -> Option<FactsChange> {
        let players = self.source.players();
        let media = self.probe.take_changes();
        if media.is_none() && players == self.players {
            return None;
        }
        self.players = players;
        Some(FactsChange { media, players })
    }

    /// When silence is too long: measured from the start until the first media, then from the last.
    pub(crate) fn silent_at(&self, first_media: Duration, idle: Duration) -> Instant {
        self.heard + if self.heard_any { idle } else { first_media }
    }

    /// Whether any media came at all.
    pub(crate) const fn heard_any(&self) -> bool {
        self.heard_any
    }

    /// The broadcast is over; the room's players need not wait.
    pub(crate) fn end(self, for_good: bool) {
        if for_good {
            self.source.end_for_good();
        }
    }
}
