//! What is asked, as calls: the arguments of each script, in the order its first comment gives.

use ::redis::Cmd;

use super::call::{Call, key};
use super::scripts::Script;
use crate::events::{Facts, SessionCard};
use crate::ids::{LiveKeyId, NodeId, RoomId, Shard};
use crate::registry::{Claim, Hold, KeyRecord, Order, Release, Renewal, Takeover};
use crate::time::UnixMs;

/// Collects arguments.
struct Args(Vec<Vec<u8>>);

impl Args {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn text(mut self, text: impl AsRef<str>) -> Self {
        self.0.push(text.as_ref().as_bytes().to_vec());
        self
    }

    fn number(self, number: u64) -> Self {
        self.text(number.to_string())
    }

    fn time_or_nothing(self, at: Option<UnixMs>) -> Self {
        self.text(at.map_or_else(String::new, |at| at.0.to_string()))
    }

    fn json(self, value: &impl serde::Serialize) -> Self {
        // Our own plain types always serialise; were one not to, the script refuses the empty text.
        self.text(serde_json::to_string(value).unwrap_or_default())
    }

    fn card(self, card: &SessionCard) -> Self {
        self.text(card.session_id.to_string())
            .text(card.room_id.as_str())
            .text(card.producer_id.as_str())
            .text(card.live_key_id.as_str())
            .number(card.epoch.0)
            .text(card.node_id.as_str())
            .text(card.client_addr.to_string())
            .text(&card.client_agent)
            .number(card.granted_at.0)
    }

    /// The two times apart, since the script merges the first; the rest as a text that it only keeps.
    fn facts(self, facts: &Facts) -> Self {
        let rest = Facts { live_at: None, last_media_at: None, ..facts.clone() };
        self.time_or_nothing(facts.live_at).time_or_nothing(facts.last_media_at).json(&rest)
    }

    fn record(self, record: &KeyRecord) -> Self {
        let max = record.max_duration.map(|d| d.as_millis().to_string());
        self.text(record.room_id.as_str())
            .text(record.producer_id.as_str())
            .text(takeover_name(record.takeover))
            .text(max.unwrap_or_default())
            .text(record.max_bitrate.map(|bits| bits.to_string()).unwrap_or_default())
            .text(if record.revoked { "1" } else { "0" })
            .number(record.expires_at.0)
    }

    fn call(self, script: Script, shard: Shard) -> Call {
        Call { script, shard, args: self.0 }
    }
}

pub(super) const fn takeover_name(rule: Takeover) -> &'static str {
    match rule {
        Takeover::Idle => "idle",
        Takeover::Never => "never",
        Takeover::Always => "always",
    }
}

/// A claim. Answer: [`acquired`](super::decode::acquired).
pub(crate) fn acquire(claim: &Claim) -> Call {
    let mut args = Args::new()
        .text(claim.room_id.as_str())
        .text(claim.session_id.to_string())
        .text(claim.live_key_id.as_str())
        .text(claim.node_id.as_str())
        .text(claim.client_addr.to_string())
        .text(&claim.client_agent);
    if let Some(issued) = &claim.issued {
        args = args.record(issued);
    }
    args.call(Script::Acquire, claim.room_id.shard())
}

/// Renewals of one shard, at most [`Batch::RENEWALS_MAX`](crate::registry::Batch::RENEWALS_MAX). Answer:
/// [`renewed`](super::decode::renewed).
pub(crate) fn renew(shard: Shard, renewals: &[&Renewal]) -> Call {
    let args =
        renewals.iter().fold(Args::new(), |args, renewal| args.card(&renewal.card).facts(&renewal.facts));
    args.call(Script::Renew, shard)
}

/// The end of a session. Answer: [`released`](super::decode::released).
pub(crate) fn release(release: &Release) -> Call {
    let args = Args::new().card(&release.card).facts(&release.facts).text(release.reason.as_str());
    args.call(Script::Release, release.card.room_id.shard())
}

/// A look after a shard. Answer: [`ticked`](super::decode::ticked).
pub(crate) fn tick(shard: Shard, limit: usize) -> Call {
    Args::new().text(limit.to_string()).call(Script::Tick, shard)
}

/// A node started anew. Answer: [`rooms`](super::decode::rooms).
pub(crate) fn free_node(shard: Shard, node: &NodeId) -> Call {
    Args::new().text(node.as_str()).call(Script::FreeNode, shard)
}

/// An order to whoever holds the room. Answer: [`lease`](super::decode::lease).
pub(crate) fn order(room: &RoomId, order: &Order) -> Call {
    Args::new().text(room.as_str()).json(order).call(Script::Order, room.shard())
}

/// A key's record; goes to the shard of its room, which must be the one its id names. Answer:
/// [`done`](super::decode::done).
pub(crate) fn put_key(record: &KeyRecord) -> Call {
    let args = Args::new().text(record.live_key_id.as_str()).record(record);
    args.call(Script::PutKey, record.room_id.shard())
}

/// A key's record is wanted. Answer: [`key_record`](super::decode::key_record).
pub(crate) fn look_key(shard: Shard, id: &LiveKeyId) -> Call {
    Args::new().text(id.as_str()).call(Script::LookKey, shard)
}

/// A key is revoked. Answer: [`yes`](super::decode::yes), whether it is known.
pub(crate) fn revoke(shard: Shard, id: &LiveKeyId) -> Call {
    Args::new().text(id.as_str()).call(Script::Revoke, shard)
}

/// A room is closed. Answer: [`done`](super::decode::done).
pub(crate) fn put_hold(room: &RoomId, hold: &Hold) -> Call {
    let args = Args::new().text(room.as_str()).number(hold.until.0).text(&hold.reason);
    args.call(Script::PutHold, room.shard())
}

/// A room is opened. Answer: [`yes`](super::decode::yes), whether it was closed.
pub(crate) fn lift_hold(room: &RoomId) -> Call {
    Args::new().text(room.as_str()).call(Script::LiftHold, room.shard())
}

/// The hold of a room is wanted. Answer: [`hold`](super::decode::hold).
pub(crate) fn look_hold(room: &RoomId) -> Call {
    Args::new().text(room.as_str()).call(Script::LookHold, room.shard())
}

/// The lease of a room is wanted. Answer: [`lease`](super::decode::lease).
pub(crate) fn look_lease(room: &RoomId) -> Call {
    Args::new().text(room.as_str()).call(Script::LookLease, room.shard())
}

/// A page of leases is wanted. Answer: [`leases`](super::decode::leases).
pub(crate) fn look_leases(shard: Shard, after: Option<&RoomId>, limit: usize) -> Call {
    let after = after.map_or("", RoomId::as_str);
    Args::new().text(after).text(limit.to_string()).call(Script::LookLeases, shard)
}

/// A page of a snapshot is wanted. Answer: [`snapshot`](super::decode::snapshot).
pub(crate) fn snapshot(shard: Shard, after: Option<&RoomId>, limit: usize) -> Call {
    let after = after.map_or("", RoomId::as_str);
    Args::new().text(after).text(limit.to_string()).call(Script::Snapshot, shard)
}

/// The oldest unread events are wanted: a plain command, no script. Answer: [`events`](super::decode::events).
pub(crate) fn events(shard: Shard, limit: usize) -> Cmd {
    let mut command = ::redis::cmd("XRANGE");
    command.arg(key(shard, "ev")).arg("-").arg("+").arg("COUNT").arg(limit);
    command
}

/// Everything up to this event has been stored by its reader. `digest` is what came with it. Answer:
/// [`yes`](super::decode::yes); false when the event at `n` is another by now, or none: then read again.
pub(crate) fn acknowledge(shard: Shard, n: u64, digest: &str) -> Call {
    Args::new().number(n).text(digest).call(Script::Acknowledge, shard)
}

/// Keys and holds are back. `life` is the shard's [`Position::life`](super::call::Position) when it was found to lack them.
/// Answer: [`yes`](super::decode::yes); false when it has lost them again since.
pub(crate) fn recovered(shard: Shard, is_new: bool, life: u64) -> Call {
    Args::new().number(life).text(if is_new { "1" } else { "0" }).call(Script::Recovered, shard)
}
