//! The rules under test, as they are shipped and with one of them taken out; and the faults that a scenario may have.

/// How long a grant lasts, in ticks. A holder believes from sending for as long; the margin of the real thing covers clocks
/// that run at different rates, which these do not.
pub(crate) const TTL: u8 = 2;

#[derive(Clone, Copy, Debug)]
pub(crate) enum EpochRule {
    /// The next one, or the time if that is higher.
    TimeOrNext,
    /// The next one.
    Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promotion {
    MostAdvanced,
    Any,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Only what a replica has, too, is believed.
    pub(crate) confirm: bool,
    /// The belief counts from when the call was sent, not from its answer.
    pub(crate) from_sending: bool,
    pub(crate) epochs: EpochRule,
    pub(crate) grace: u8,
    /// Nobody is dead because the registry was: after a gap, or by a new process, a time in which no lease counts as dead.
    pub(crate) floor: bool,
    /// The gap in ticks; left out where the registry is never away, since remembering when it was last seen makes many states of
    /// one.
    pub(crate) gap: Option<u8>,
    /// A shard that knows nothing is closed to newcomers until incumbents had the time to come back.
    pub(crate) blank: bool,
    pub(crate) tombstones: bool,
    /// Viewers refuse an older epoch.
    pub(crate) viewers_refuse: bool,
    /// Who yields stops passing media before it gives the room back.
    pub(crate) stops_first: bool,
    /// A newcomer takes the room without asking.
    pub(crate) theft: bool,
    pub(crate) promotion: Promotion,
    /// So many calls in a row must fail, all sent since the node woke, before media rides. `None`: it never does.
    pub(crate) failures_to_ride: Option<u8>,
}

impl Rules {
    /// As the keeper and the scripts have them.
    pub(crate) const SHIPPED: Self = Self {
        confirm: true,
        from_sending: true,
        epochs: EpochRule::TimeOrNext,
        grace: 1,
        floor: true,
        gap: Some(1),
        blank: true,
        tombstones: true,
        viewers_refuse: true,
        stops_first: true,
        theft: false,
        promotion: Promotion::MostAdvanced,
        failures_to_ride: Some(2),
    };
}

/// What may happen, and how often. Everything else may happen at any time in any order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Ticks until the model stops looking.
    pub(crate) ticks: u8,
    /// Sessions that each node may start.
    pub(crate) sessions: u8,
    pub(crate) servers: u8,
    /// By how much the clock of every server but the first is ahead.
    pub(crate) skew: u8,
    /// The primary dies and a replica is promoted.
    pub(crate) failovers: u8,
    /// The primary lives on, seen by the first node only, while a replica is promoted.
    pub(crate) partitions: u8,
    /// A request or a reply is lost.
    pub(crate) losses: u8,
    /// A lost request arrives after all, when its node has long given up.
    pub(crate) strays: u8,
    /// The node of the first session stands still.
    pub(crate) freezes: u8,
    /// A node dies without a word.
    pub(crate) crashes: u8,
    /// The registry answers nobody for a while, and forgets nothing.
    pub(crate) outages: u8,
    /// All of the registry's memory is lost.
    pub(crate) wipes: u8,
    /// Sessions end by themselves.
    pub(crate) releases: bool,
    /// A holder that is asked for its room gives it up.
    pub(crate) yields: bool,
    /// Media is watched.
    pub(crate) viewer: bool,
    /// Requests arrive as they are sent; only replies take time. Keeps scenarios of many servers small.
    pub(crate) instant: bool,
    /// Holders that can renew do so before the time goes on.
    pub(crate) diligent: bool,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        ticks: 6,
        sessions: 1,
        servers: 1,
        skew: 0,
        failovers: 0,
        partitions: 0,
        losses: 0,
        strays: 0,
        freezes: 0,
        crashes: 0,
        outages: 0,
        wipes: 0,
        releases: false,
        yields: false,
        viewer: false,
        instant: false,
        diligent: false,
    };
}
