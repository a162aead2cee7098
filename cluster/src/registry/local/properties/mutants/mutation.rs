//! The list of rules that can be broken, one at a time.

macro_rules! mutations {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// A rule, broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::registry) enum Mutation { $($(#[$doc])* $name,)+ }
        impl Mutation {
            pub(in crate::registry) const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

mutations! {
    /// Acquire forgets who ended.
    ClaimAfterEnd,
    /// Renew forgets who ended: a session rises from its grave.
    RenewAfterEnd,
    /// Release forgets who ended: a second end.
    ReleaseAfterEnd,
    /// Only the newest of a room's ended sessions is remembered.
    ShortMemory,
    /// Epochs are the clock and nothing else.
    EpochNotRaised,
    /// An adopted epoch does not raise the mark.
    AdoptedEpochForgotten,
    /// `live` is told with every renewal.
    LiveTwice,
    /// A dead lease is free as soon as its deadline is past, without grace.
    GrantBeforeGrace,
    /// Whoever asks gets the room.
    GrantOverHolder,
    /// Asking again does not move the deadline.
    AgainWithoutDeadline,
    /// Holds are not looked at.
    HoldIgnored,
    /// Revocation is not looked at.
    RevocationIgnored,
    /// A key opens every room.
    RoomIgnored,
    /// Keys never expire.
    KeyExpiryIgnored,
    /// Any number of unread events.
    BacklogIgnored,
    /// A number is left out now and then.
    NumbersWithGaps,
    /// A renewal takes over someone else's lease.
    RenewSteals,
    /// A renewal does not move the deadline.
    RenewWithoutDeadline,
    /// What was lost does not come back.
    NoAdoption,
    /// A session that is adopted is not told of its key's revocation.
    AdoptedUnrevoked,
    /// The live session of a revoked key goes on.
    RevokeWithoutOrder,
    /// Writing a key's record un-revokes it.
    PutUnrevokes,
    /// Orders are delivered once.
    OrderOnce,
    /// The last order counts.
    OrderReplaced,
    /// A wish never ends.
    WantForEver,
    /// A newcomer's wish replaces any other.
    WantReplaced,
    /// Takeovers as often as asked for.
    TakeoverWithoutRest,
    /// `never` is asked for like `idle`.
    NeverIsAsked,
    /// A lost session ended when it was found.
    LostWhenFound,
    /// All ends are alike.
    ReasonForgotten,
    /// Reaping does not wait for the grace.
    ReapBeforeGrace,
    /// Reaping knows no limit.
    ReapUnlimited,
    /// Whoever waits for a room is not rung.
    NoRingWhenFree,
    /// The holder is not rung.
    NoRingWhenWanted,
    /// Acknowledging forgets one event too many.
    AcknowledgeTooMuch,
    /// The moment of going live is overwritten.
    LiveAtOverwritten,
    /// An end without a start: a session that went live on its way out is not told as live.
    LiveOnTheWayForgotten,
    /// A restarted node's leases stay.
    NodeNotFreed,
    /// A key that comes with a claim overwrites its record.
    IssuedOverRecord,
    /// Leases die while nobody can renew.
    FloorIgnored,
    /// A registry that nobody reached does not know it.
    GapUnseen,
    /// A registry that restarted does not know it.
    RestartUnseen,
    /// A registry that forgot does not know it.
    RewindUnseen,
    /// Rooms that may have an incumbent are given away.
    NotClosed,
    /// A key that is not back yet is denied.
    DeniedBeforeLoaded,
    /// What was put back before the last loss counts.
    RecoveredOfOldLife,
    /// A session that the shard forgot is lost to an older one.
    OlderLeaseStays,
}
