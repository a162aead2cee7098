//! The words that callers and implementations of the [registry](super) share: what is asked, and what is answered.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::RegistryError;
use crate::events::{EndReason, Facts, SessionCard};
use crate::ids::{Epoch, LiveKeyId, NodeId, ProducerId, RoomId, SessionId, Shard};
use crate::time::UnixMs;

/// The times of a lease, the same for a whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long a grant or renewal lasts at the registry. 10 s: outlives a Sentinel failover, and with `grace` still fits
    /// the retries of OBS at 9.5 and 16 s after a node's death.
    pub ttl: Duration,
    /// How often the keeper renews. 3 s.
    pub renew_every: Duration,
    /// After `ttl`, how much longer a lease counts as its holder's, to cover clock skew. 2 s.
    pub grace: Duration,
    /// How much earlier than the registry the holder stops believing. 500 ms.
    pub margin: Duration,
    /// The most one call may take. 400 ms.
    pub call_timeout: Duration,
    /// How long a refused claim of a busy room waits for the holder to yield. 2 s.
    pub want_for: Duration,
    /// Silence after which a holder yields to a newcomer under [`Takeover::Idle`]. 5 s.
    pub idle_after: Duration,
    /// The same when the newcomer has the holder's own key and address: it is their own ghost. 1 s.
    pub ghost_after: Duration,
    /// At most one takeover of a room in this time. 1 s.
    pub takeover_every: Duration,
    /// How long a tombstone remembers a room's last session. Longer than any holder may ride out: 15 min.
    pub tombstone_for: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            grace: Duration::from_secs(2),
            margin: Duration::from_millis(500),
            call_timeout: Duration::from_millis(400),
            want_for: Duration::from_secs(2),
            idle_after: Duration::from_secs(5),
            ghost_after: Duration::from_secs(1),
            takeover_every: Duration::from_secs(1),
            tombstone_for: Duration::from_secs(15 * 60),
        }
    }
}

/// When a second publisher may have the room. A property of the newcomer's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takeover {
    /// When the holder has been silent for a while.
    #[default]
    Idle,
    /// Not while the holder's lease lasts.
    Never,
    /// At once.
    Always,
}

/// What the registry knows of a live key. Written by the Manager, read by every acquire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The key's id.
    pub live_key_id: LiveKeyId,
    /// The one room it opens.
    pub room_id: RoomId,
    /// Whose it is.
    pub producer_id: ProducerId,
    /// The rule it publishes under.
    pub takeover: Takeover,
    /// The longest session it may have.
    pub max_duration: Option<Duration>,
    /// The most media it may send, in bits per second, as a mean over some seconds.
    pub max_bitrate: Option<u64>,
    /// Revoked keys stay on record until they would have expired, so that the refusal can say so.
    pub revoked: bool,
    /// When the record may be forgotten: [`LEEWAY`](crate::live_key::LEEWAY) after the key expires, since until then a
    /// node may still accept it.
    pub expires_at: UnixMs,
}

/// A publisher's wish to own a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Made by the node; asking again with the same id is the same claim.
    pub session_id: SessionId,
    /// The room wanted.
    pub room_id: RoomId,
    /// The key shown; verified already, except for what only the registry knows.
    pub live_key_id: LiveKeyId,
    /// Who asks.
    pub node_id: NodeId,
    /// For whom.
    pub client_addr: IpAddr,
    /// With what.
    pub client_agent: String,
    /// The key's record, made from its verified claims, when another issuer minted the key: what is not on record yet is
    /// written by the claim itself. `None` for keys of our own Manager, which writes their records.
    pub issued: Option<KeyRecord>,
}

/// The lease is yours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// All that is fixed about the new session.
    pub card: SessionCard,
    /// The longest it may last.
    pub max_duration: Option<Duration>,
    /// The most media it may send, in bits per second, as a mean over some seconds.
    pub max_bitrate: Option<u64>,
}

/// Who holds a room that someone else wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The holding session.
    pub session_id: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Where.
    pub node_id: NodeId,
    /// Since when.
    pub granted_at: UnixMs,
    /// How long its media had been silent at its last renewal, plus the time since.
    pub media_age: Duration,
}

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// Granted, now or (the same session asking again) before.
    Granted(Grant),
    /// Someone else holds it.
    Busy {
        /// Who.
        holder: Holder,
        /// The claim was noted and the holder's node rung: the lease may come free within [`LeaseTimes::want_for`].
        wanted: bool,
    },
    /// Not with this key, or not now.
    Denied(Denial),
    /// The registry has more unread events than it may keep; try later.
    Backlog,
    /// The registry lost its memory a moment ago and lets incumbents come back first; try again soon.
    Recovering,
}

/// Why a claim is refused for good.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denial {
    /// No record of this key.
    #[error("this live key is not known here")]
    UnknownKey,
    /// Revoked.
    #[error("this live key was revoked")]
    Revoked,
    /// The record says another room.
    #[error("this live key belongs to another room")]
    WrongRoom,
    /// The room is held.
    #[error("this room is on hold until {until}")]
    Held {
        /// Until when.
        until: UnixMs,
    },
    /// The same session has ended before; `ended` is final.
    #[error("this session has ended")]
    Ended,
}

/// What a holder tells the registry every few seconds, and at once when it goes live.
#[derive(Clone, Debug, PartialEq)]
pub struct Renewal {
    /// The session's card: enough to re-adopt a lease that the registry lost.
    pub card: SessionCard,
    /// Its facts now. `live_at` set for the first time flips the lease to `live`, with its event.
    pub facts: Facts,
}

/// What the registry tells a holder in return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// Still yours.
    Kept {
        /// What somebody wants of this session, until it ends.
        order: Option<Order>,
        /// A newcomer that asks for the room. The holder's own node decides.
        want: Option<Want>,
    },
    /// Someone else's, or over: stop.
    Lost {
        /// The epoch that took its place, if another session owns or owned the room since.
        by: Option<Epoch>,
    },
}

/// A newcomer's wish, kept in the lease of the holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The newcomer's session.
    pub session_id: SessionId,
    /// Its node, rung when the lease comes free.
    pub node_id: NodeId,
    /// The key it shows.
    pub live_key_id: LiveKeyId,
    /// Where it comes from.
    pub client_addr: IpAddr,
    /// Its key's rule.
    pub takeover: Takeover,
    /// After this the newcomer has gone away again.
    pub until: UnixMs,
}

impl Want {
    /// Whether the newcomer shows the holder's own key from the holder's own address: it is most likely the same encoder,
    /// back from a connection that it has lost and we have not yet.
    pub fn is_ghost_of(&self, holder: &SessionCard) -> bool {
        self.live_key_id == holder.live_key_id && self.client_addr == holder.client_addr
    }
}

/// What a session is told to do. There is only one thing: to end, for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// [`EndReason::EndedByApi`], [`EndReason::Revoked`], [`EndReason::Policy`], or [`EndReason::Lost`] when the session's end is
    /// on record already, so that it has to come back as a new one.
    pub reason: EndReason,
    /// A text for the streamer's log; bounded, may be empty.
    pub note: String,
}

/// A lease given back.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// The session.
    pub card: SessionCard,
    /// Its last facts.
    pub facts: Facts,
    /// Why it ended.
    pub reason: EndReason,
}

/// What came of a [`Release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The lease is free and `ended` is recorded.
    Ended,
    /// It was over already; nothing was written.
    AlreadyOver,
}

/// A room that nobody may publish into for a while. Outlives the lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Until when.
    pub until: UnixMs,
    /// Why, for the API and the streamer's log; bounded.
    pub reason: String,
}

/// A lease as the API sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseView {
    /// The session.
    pub card: SessionCard,
    /// Its facts as of the last renewal.
    pub facts: Facts,
    /// The registry's deadline, grace not included.
    pub until: UnixMs,
    /// Replicas confirm what its holder hears, by the holder's own account of its last renewal: a registry cannot know what
    /// became of its answers. Says nothing about a lease that is past `until`: its holder may be cut off.
    pub confirmed: bool,
    /// What it was told and has not yet obeyed.
    pub order: Option<Order>,
}

/// How often the bell of each shard was rung, by whoever counts; wraps around. Only differences mean anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRings([u64; Shard::COUNT as usize]);

impl ShardRings {
    /// Of one shard.
    pub fn of(&self, shard: Shard) -> u64 {
        self.0[shard.index()]
    }

    pub(super) fn ring(&mut self, shard: Shard) {
        let rings = &mut self.0[shard.index()];
        *rings = rings.wrapping_add(1);
    }

    /// Something may have been missed, nobody knows about which shard.
    pub(super) fn ring_all(&mut self) {
        Shard::all().for_each(|shard| self.ring(shard));
    }
}

impl Default for ShardRings {
    fn default() -> Self {
        Self([0; Shard::COUNT as usize])
    }
}

/// The leases of a shard, for whoever compares them with what is recorded elsewhere.
///
/// Each room was looked at in a moment when at most `n` events had been given. So whoever knows all events up to `n` knows how
/// the last session of a room that is missing here has ended, and has heard of every session that is here; anything else is
/// a loss. Rooms need not have been looked at in the same moment: a registry with many leases is not kept from its work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardSnapshot {
    /// The number of the newest event.
    pub n: u64,
    /// All leases, by room; those past deadline and grace too, since their ends have yet to be told.
    pub leases: Vec<LeaseView>,
    /// As in [`Tick::floor`](super::Tick::floor).
    pub floor: Option<UnixMs>,
    /// As in [`Tick::is_loaded`](super::Tick::is_loaded).
    pub is_loaded: bool,
}

/// What waits for one trip to the registry: group commit.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Wishes.
    pub claims: Vec<Claim>,
    /// At most [`Batch::RENEWALS_MAX`] are sent in one script call; implementations split.
    pub renewals: Vec<Renewal>,
    /// Ends.
    pub releases: Vec<Release>,
}

impl Batch {
    /// Renewals per script call: 256 block a Redis for about 2.5 ms.
    pub const RENEWALS_MAX: usize = 256;

    /// How many things are to be done.
    pub fn len(&self) -> usize {
        self.claims.len() + self.renewals.len() + self.releases.len()
    }

    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The answers to a [`Batch`], in its order. An item fails alone: its shard may be away while others answer.
#[derive(Debug, Default)]
pub struct BatchReply {
    /// To the claims.
    pub claims: Vec<Result<Confirmed<Acquired>, RegistryError>>,
    /// To the renewals.
    pub renewals: Vec<Result<Confirmed<Renewed>, RegistryError>>,
    /// To the releases.
    pub releases: Vec<Result<Confirmed<Released>, RegistryError>>,
}

/// An answer, and whether enough replicas have it too. Only a confirmed answer may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed<T> {
    /// What was answered.
    pub answer: T,
    /// Whether it will survive a failover.
    pub confirmed: bool,
}
