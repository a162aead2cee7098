//! Rows, parsed from columns: one function for each kind of row, the same for every store. Beside it stands the query for its
//! columns, where stores ask for them alike.

use std::time::Duration;

use onair_cluster::events::EndReason;
use onair_cluster::registry::{Hold, KeyRecord};
use onair_cluster::{Facts, SessionCard};

use super::columns::{
    Columns, count, count_opt, epoch, named, shard, takeover, text, text_opt, time, time_opt, unreadable,
};
use super::{
    AuditAction, AuditRow, BroadcastRow, FeedSpan, HoldRow, KeyRow, LiveDbError, NewKey, NewToken, OutboxRow,
    QuarantineRow, RoomRow, SessionEnd, SessionRow, ShardTerm, Term, TokenRow, Totals, WhyRevoked,
};
use crate::caller::CallerKind;

/// A query for the columns that [`session`] reads, and what follows them.
macro_rules! select_session {
    ($rest:literal) => {
        concat!(
            "SELECT session_id, room_id, producer_id, live_key_id, epoch, node_id, client_addr, client_agent, ",
            "granted_at, live_at, last_media_at, facts, ended_at, detected_at, end_reason FROM session ",
            $rest
        )
    };
}
pub(super) use select_session;

/// A row of [`select_session`].
pub(super) fn session(row: &impl Columns) -> Result<SessionRow, LiveDbError> {
    let facts: Facts = serde_json::from_str(row.text_at("facts")?).map_err(|e| unreadable("facts", &e))?;
    Ok(SessionRow {
        card: SessionCard {
            session_id: text(row, "session_id")?,
            room_id: text(row, "room_id")?,
            producer_id: text(row, "producer_id")?,
            live_key_id: text(row, "live_key_id")?,
            epoch: epoch(row, "epoch")?,
            node_id: text(row, "node_id")?,
            client_addr: text(row, "client_addr")?,
            client_agent: row.text_at("client_agent")?.to_owned(),
            granted_at: time(row, "granted_at")?,
        },
        // The columns are newer than what the last event told.
        facts: Facts {
            live_at: time_opt(row, "live_at")?,
            last_media_at: time_opt(row, "last_media_at")?,
            ..facts
        },
        end: end(row)?,
    })
}

/// `ended_at`, `detected_at` and `end_reason`: all or none.
fn end(row: &impl Columns) -> Result<Option<SessionEnd>, LiveDbError> {
    let Some(ended_at) = time_opt(row, "ended_at")? else { return Ok(None) };
    let reason = named(row, "end_reason", EndReason::parse)?;
    Ok(Some(SessionEnd { ended_at, detected_at: time(row, "detected_at")?, reason }))
}

/// A row of `quarantine`.
pub(super) fn quarantine(row: &impl Columns) -> Result<QuarantineRow, LiveDbError> {
    Ok(QuarantineRow {
        id: row.integer_at("id")?,
        event_id: row.text_at("event_id")?.to_owned(),
        event: row.text_at("event")?.to_owned(),
        error: row.text_at("error")?.to_owned(),
        at: time(row, "at")?,
    })
}

/// A query for the columns that [`broadcast`] reads, and what follows them.
macro_rules! select_broadcast {
    ($rest:literal) => {
        concat!(
            "SELECT broadcast_id, room_id, producer_id, session_id, epoch, node_id, started_at, ended_at, ",
            "detected_at, end_reason FROM broadcast ",
            $rest
        )
    };
}
pub(super) use select_broadcast;

/// A row of [`select_broadcast`].
pub(super) fn broadcast(row: &impl Columns) -> Result<BroadcastRow, LiveDbError> {
    Ok(BroadcastRow {
        broadcast_id: row.text_at("broadcast_id")?.to_owned(),
        room_id: text(row, "room_id")?,
        producer_id: text(row, "producer_id")?,
        session_id: text(row, "session_id")?,
        epoch: epoch(row, "epoch")?,
        node_id: text(row, "node_id")?,
        started_at: time(row, "started_at")?,
        end: end(row)?,
    })
}

/// Sums over broadcasts.
pub(super) fn totals(row: &impl Columns) -> Result<Totals, LiveDbError> {
    Ok(Totals {
        broadcasts: count(row, "broadcasts")?,
        live_ms: count(row, "live_ms")?,
        bytes_in: count(row, "bytes_in")?,
    })
}

/// A query for the columns that [`outbox`] reads, and what follows them.
macro_rules! select_outbox {
    ($rest:literal) => {
        concat!(
            "SELECT shard, seq, event_id, room_id, epoch, type, payload, created_at, shipped_at FROM outbox ",
            $rest
        )
    };
}
pub(super) use select_outbox;

/// A row of [`select_outbox`].
pub(super) fn outbox(row: &impl Columns) -> Result<OutboxRow, LiveDbError> {
    Ok(OutboxRow {
        shard: shard(row, "shard")?,
        seq: count(row, "seq")?,
        event_id: row.text_at("event_id")?.to_owned(),
        room_id: text(row, "room_id")?,
        epoch: epoch(row, "epoch")?,
        kind: row.text_at("type")?.to_owned(),
        payload: row.text_at("payload")?.to_owned(),
        created_at: time(row, "created_at")?,
        shipped_at: time_opt(row, "shipped_at")?,
    })
}

/// What a shard's outbox holds.
pub(super) fn feed_span(row: &impl Columns) -> Result<FeedSpan, LiveDbError> {
    Ok(FeedSpan {
        shard: shard(row, "shard")?,
        first_kept: count(row, "first_kept")?,
        last: count(row, "last_seq")?,
    })
}

/// A shard and the term of its owner.
pub(super) fn shard_term(row: &impl Columns) -> Result<ShardTerm, LiveDbError> {
    Ok(ShardTerm { shard: shard(row, "shard")?, term: Term(count(row, "term")?) })
}

/// A row of `room`.
pub(super) fn room(row: &impl Columns) -> Result<RoomRow, LiveDbError> {
    Ok(RoomRow {
        room_id: text(row, "room_id")?,
        producer_id: text(row, "producer_id")?,
        created_at: time(row, "created_at")?,
    })
}

/// A query for the columns that [`key`] reads, and what follows them.
macro_rules! select_key {
    ($rest:literal) => {
        concat!(
            "SELECT live_key_id, room_id, producer_id, takeover, max_duration_ms, max_bitrate, created_at, ",
            "expires_at, revoked_at, revoked_why, last_used_at FROM live_key ",
            $rest
        )
    };
}
pub(super) use select_key;

/// A row of [`select_key`].
pub(super) fn key(row: &impl Columns) -> Result<KeyRow, LiveDbError> {
    let is_retired = row.text_opt_at("revoked_why")? == Some("retired");
    let why = if is_retired { WhyRevoked::Retired } else { WhyRevoked::Asked };
    Ok(KeyRow {
        key: NewKey {
            live_key_id: text(row, "live_key_id")?,
            room_id: text(row, "room_id")?,
            producer_id: text(row, "producer_id")?,
            takeover: takeover(row, "takeover")?,
            max_duration: count_opt(row, "max_duration_ms")?.map(Duration::from_millis),
            max_bitrate: count_opt(row, "max_bitrate")?,
            created_at: time(row, "created_at")?,
            expires_at: time(row, "expires_at")?,
        },
        revoked: time_opt(row, "revoked_at")?.map(|at| (at, why)),
        last_used_at: time_opt(row, "last_used_at")?,
    })
}

/// A key, ours or another issuer's, as the registry is to know it.
pub(super) fn key_record(row: &impl Columns) -> Result<KeyRecord, LiveDbError> {
    Ok(KeyRecord {
        live_key_id: text(row, "live_key_id")?,
        room_id: text(row, "room_id")?,
        producer_id: text(row, "producer_id")?,
        takeover: takeover(row, "takeover")?,
        max_duration: count_opt(row, "max_duration_ms")?.map(Duration::from_millis),
        max_bitrate: count_opt(row, "max_bitrate")?,
        revoked: time_opt(row, "revoked_at")?.is_some(),
        expires_at: time(row, "kept_until")?,
    })
}

/// A row of `hold`.
pub(super) fn hold(row: &impl Columns) -> Result<HoldRow, LiveDbError> {
    let hold = Hold { until: time(row, "held_until")?, reason: row.text_at("reason")?.to_owned() };
    Ok(HoldRow { room_id: text(row, "room_id")?, hold })
}

/// A row of `api_token`.
pub(super) fn token(row: &impl Columns) -> Result<TokenRow, LiveDbError> {
    Ok(TokenRow {
        token: NewToken {
            token_id: text(row, "token_id")?,
            name: row.text_at("name")?.to_owned(),
            role: text(row, "role")?,
            hash: row.bytes_at("hash")?.try_into().map_err(|e| unreadable("hash", &e))?,
            created_at: time(row, "created_at")?,
            expires_at: time_opt(row, "expires_at")?,
        },
        revoked_at: time_opt(row, "revoked_at")?,
        last_used_at: time_opt(row, "last_used_at")?,
    })
}

/// A row of `audit`.
pub(super) fn audit(row: &impl Columns) -> Result<AuditRow, LiveDbError> {
    Ok(AuditRow {
        audit_id: row.text_at("audit_id")?.to_owned(),
        at: time(row, "at")?,
        caller: named(row, "caller", CallerKind::parse)?,
        caller_id: row.text_at("caller_id")?.to_owned(),
        caller_name: row.text_opt_at("caller_name")?.map(str::to_owned),
        role: text_opt(row, "role")?,
        action: named(row, "action", AuditAction::parse)?,
        subject: row.text_at("subject")?.to_owned(),
        details: row.text_at("details")?.to_owned(),
        request_id: row.text_at("request_id")?.to_owned(),
        peer: text_opt(row, "peer")?,
    })
}
