//! Lifecycle events become rows. The only place that writes sessions, broadcasts and the outbox.

use std::collections::BTreeMap;

use onair_cluster::events::EndReason;
use onair_cluster::{Event, EventKind, Facts, SessionCard, Shard, UnixMs};
use sqlx::{Acquire, SqliteConnection};

use super::columns::{self, ms, number, select_session};
use super::{failure, outbox, sessions};
use crate::live_db::messages::{Message, broadcast_id};
use crate::live_db::{Applied, LiveDbError, Outcome, SessionEnd, SessionRow};

/// All events; the first refusal fails the whole.
pub(super) async fn together(
    c: &mut SqliteConnection,
    events: &[Event],
    now: UnixMs,
) -> Result<Applied, LiveDbError> {
    let mut outcomes = Vec::with_capacity(events.len());
    for event in events {
        outcomes.push(apply(c, event, now).await?);
    }
    note_positions(c, events).await?;
    Ok(Applied { outcomes })
}

/// Each event in a savepoint of its own; what is refused goes into quarantine.
pub(super) async fn one_by_one(
    c: &mut SqliteConnection,
    events: &[Event],
    now: UnixMs,
) -> Result<Applied, LiveDbError> {
    let mut outcomes = Vec::with_capacity(events.len());
    for event in events {
        let mut savepoint = c.begin().await.map_err(failure)?;
        let outcome = match apply(&mut savepoint, event, now).await {
            Ok(outcome) => {
                savepoint.commit().await.map_err(failure)?;
                outcome
            }
            Err(LiveDbError::Refused(why)) => {
                savepoint.rollback().await.map_err(failure)?;
                quarantine(c, event, &why, now).await?;
                Outcome::Quarantined(why)
            }
            Err(e) => return Err(e),
        };
        outcomes.push(outcome);
    }
    note_positions(c, events).await?;
    Ok(Applied { outcomes })
}

async fn apply(c: &mut SqliteConnection, event: &Event, now: UnixMs) -> Result<Outcome, LiveDbError> {
    let known = known(c, &event.session).await?;
    match (&event.kind, known) {
        (EventKind::Granted, Some(_)) => Ok(Outcome::Repeat),
        (EventKind::Granted, None) => open(c, event, now).await,
        (EventKind::Live, Some(known)) if known.facts.live_at.is_some() => Ok(Outcome::Repeat),
        (EventKind::Live, Some(known)) => go_live(c, event, Some(known), now).await,
        (EventKind::Live, None) => match open(c, event, now).await? {
            Outcome::Applied => go_live(c, event, None, now).await,
            other => Ok(other),
        },
        (EventKind::Ended { .. }, Some(known)) if known.end.is_some() => Ok(Outcome::Repeat),
        (EventKind::Ended { reason, ended_at }, known) => {
            let live_at = event.facts.live_at.or_else(|| known.as_ref().and_then(|k| k.facts.live_at));
            let facts = Facts { live_at, ..event.facts.clone() };
            let end = SessionEnd { ended_at: *ended_at, detected_at: event.at, reason: *reason };
            if known.is_none() {
                insert(c, &event.session, &facts, Some(&end)).await?;
            } else {
                update_ended(c, &event.session, &facts, &end).await?;
            }
            tell_ended(c, &event.session, &facts, &end, now).await?;
            Ok(Outcome::Applied)
        }
    }
}

/// What the Live DB knows of an event's session.
async fn known(c: &mut SqliteConnection, card: &SessionCard) -> Result<Option<SessionRow>, LiveDbError> {
    let row = sqlx::query(select_session!("WHERE session_id = ?1"))
        .bind(card.session_id.to_string())
        .fetch_optional(c)
        .await
        .map_err(failure)?;
    row.as_ref().map(columns::session).transpose()
}

/// Opens the session's row, unless a newer session of its room is open. An older one that still is has ended unheard.
async fn open(c: &mut SqliteConnection, event: &Event, now: UnixMs) -> Result<Outcome, LiveDbError> {
    let card = &event.session;
    let sql = select_session!("WHERE room_id = ?1 AND ended_at IS NULL");
    let row = sqlx::query(sql).bind(card.room_id.as_str()).fetch_optional(&mut *c).await.map_err(failure)?;
    if let Some(row) = row {
        let older = columns::session(&row)?;
        if older.card.epoch > card.epoch {
            return Ok(Outcome::Fenced);
        }
        let end =
            SessionEnd { ended_at: card.granted_at, detected_at: event.at, reason: EndReason::Superseded };
        close(c, &older, &end, now).await?;
    }
    // Not live yet, even if the event that opens it is `live`: that is the next step's.
    let facts = Facts { live_at: None, ..event.facts.clone() };
    insert(c, card, &facts, None).await?;
    Ok(Outcome::Applied)
}

/// The first coded frame. If the session is known to have ended, `ended` came first and did not know of it.
async fn go_live(
    c: &mut SqliteConnection,
    event: &Event,
    known: Option<SessionRow>,
    now: UnixMs,
) -> Result<Outcome, LiveDbError> {
    let card = &event.session;
    let live_at = event.facts.live_at.unwrap_or(event.at);
    sqlx::query(
        "UPDATE session SET live_at = ?2, last_media_at = max(coalesce(last_media_at, 0), ?3), \
         facts = CASE WHEN ended_at IS NULL THEN ?4 ELSE facts END WHERE session_id = ?1",
    )
    .bind(card.session_id.to_string())
    .bind(ms(live_at)?)
    .bind(ms(event.facts.last_media_at.unwrap_or(live_at))?)
    .bind(facts_json(&event.facts))
    .execute(&mut *c)
    .await
    .map_err(failure)?;
    if let Some(SessionRow { facts, end: Some(end), .. }) = known {
        let facts = Facts { live_at: Some(live_at), ..facts };
        tell_ended(c, card, &facts, &end, now).await?;
    } else {
        broadcast(c, card, live_at, None).await?;
        tell(c, card, &Message::started(card, &event.facts, live_at), now).await?;
    }
    Ok(Outcome::Applied)
}

/// Ends every open session of `shards` at its last known media.
pub(super) async fn close_lost(
    c: &mut SqliteConnection,
    shards: &[Shard],
    now: UnixMs,
) -> Result<u64, LiveDbError> {
    let mut closed = 0;
    for session in sessions::open(c).await? {
        if !shards.contains(&session.card.room_id.shard()) {
            continue;
        }
        let last = session.facts.last_media_at.or(session.facts.live_at);
        let end = SessionEnd {
            ended_at: last.unwrap_or(session.card.granted_at),
            detected_at: now,
            reason: EndReason::Lost,
        };
        close(c, &session, &end, now).await?;
        closed += 1;
    }
    Ok(closed)
}

/// Notes the last event of each shard.
async fn note_positions(c: &mut SqliteConnection, events: &[Event]) -> Result<(), LiveDbError> {
    let last: BTreeMap<Shard, u64> =
        events.iter().filter(|event| event.n > 0).map(|event| (event.shard, event.n)).collect();
    for (shard, n) in last {
        sqlx::query("UPDATE shard_owner SET position = ?2 WHERE shard = ?1")
            .bind(i64::from(shard.number()))
            .bind(number(n)?)
            .execute(&mut *c)
            .await
            .map_err(failure)?;
    }
    Ok(())
}

/// Ends a session of which nobody told us that it ended.
async fn close(
    c: &mut SqliteConnection,
    session: &SessionRow,
    end: &SessionEnd,
    now: UnixMs,
) -> Result<(), LiveDbError> {
    update_ended(c, &session.card, &session.facts, end).await?;
    tell_ended(c, &session.card, &session.facts, end, now).await
}

/// Writes what viewers and downstream must know of an end: nothing, if the session never went live.
async fn tell_ended(
    c: &mut SqliteConnection,
    card: &SessionCard,
    facts: &Facts,
    end: &SessionEnd,
    now: UnixMs,
) -> Result<(), LiveDbError> {
    let Some(started_at) = facts.live_at else { return Ok(()) };
    broadcast(c, card, started_at, Some(end)).await?;
    tell(c, card, &Message::started(card, facts, started_at), now).await?;
    tell(c, card, &Message::ended(card, facts, started_at, end), now).await
}

async fn insert(
    c: &mut SqliteConnection,
    card: &SessionCard,
    facts: &Facts,
    end: Option<&SessionEnd>,
) -> Result<(), LiveDbError> {
    sqlx::query(
        "INSERT INTO session (session_id, room_id, producer_id, live_key_id, epoch, node_id, client_addr, \
         client_agent, granted_at, live_at, last_media_at, facts, ended_at, detected_at, end_reason) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )
    .bind(card.session_id.to_string())
    .bind(card.room_id.as_str())
    .bind(card.producer_id.as_str())
    .bind(card.live_key_id.as_str())
    .bind(number(card.epoch.0)?)
    .bind(card.node_id.as_str())
    .bind(card.client_addr.to_string())
    .bind(card.client_agent.as_str())
    .bind(ms(card.granted_at)?)
    .bind(facts.live_at.map(ms).transpose()?)
    .bind(facts.last_media_at.map(ms).transpose()?)
    .bind(facts_json(facts))
    .bind(end.map(|end| ms(end.ended_at)).transpose()?)
    .bind(end.map(|end| ms(end.detected_at)).transpose()?)
    .bind(end.map(|end| end.reason.as_str()))
    .execute(&mut *c)
    .await
    .map_err(failure)?;
    // Which of a room's keys has been idle longest decides which one is retired.
    sqlx::query(
        "UPDATE live_key SET last_used_at = max(coalesce(last_used_at, 0), ?2) WHERE live_key_id = ?1",
    )
    .bind(card.live_key_id.as_str())
    .bind(ms(card.granted_at)?)
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

async fn update_ended(
    c: &mut SqliteConnection,
    card: &SessionCard,
    facts: &Facts,
    end: &SessionEnd,
) -> Result<(), LiveDbError> {
    sqlx::query(
        "UPDATE session SET live_at = coalesce(live_at, ?2), last_media_at = coalesce(?3, last_media_at), facts = ?4, \
         ended_at = ?5, detected_at = ?6, end_reason = ?7 WHERE session_id = ?1",
    )
    .bind(card.session_id.to_string())
    .bind(facts.live_at.map(ms).transpose()?)
    .bind(facts.last_media_at.map(ms).transpose()?)
    .bind(facts_json(facts))
    .bind(ms(end.ended_at)?)
    .bind(ms(end.detected_at)?)
    .bind(end.reason.as_str())
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

/// Records the broadcast, or its end if it is on record. A second end changes nothing.
async fn broadcast(
    c: &mut SqliteConnection,
    card: &SessionCard,
    started_at: UnixMs,
    end: Option<&SessionEnd>,
) -> Result<(), LiveDbError> {
    sqlx::query(
        "INSERT INTO broadcast (broadcast_id, room_id, producer_id, session_id, epoch, node_id, started_at, \
         ended_at, detected_at, end_reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT (broadcast_id) DO UPDATE SET ended_at = excluded.ended_at, \
         detected_at = excluded.detected_at, end_reason = excluded.end_reason WHERE broadcast.ended_at IS NULL",
    )
    .bind(broadcast_id(card))
    .bind(card.room_id.as_str())
    .bind(card.producer_id.as_str())
    .bind(card.session_id.to_string())
    .bind(number(card.epoch.0)?)
    .bind(card.node_id.as_str())
    .bind(ms(started_at)?)
    .bind(end.map(|end| ms(end.ended_at)).transpose()?)
    .bind(end.map(|end| ms(end.detected_at)).transpose()?)
    .bind(end.map(|end| end.reason.as_str()))
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

/// Puts a message into the outbox, unless it is there.
async fn tell(
    c: &mut SqliteConnection,
    card: &SessionCard,
    message: &Message,
    now: UnixMs,
) -> Result<(), LiveDbError> {
    outbox::tell(c, &card.room_id, card.epoch, message, now).await
}

async fn quarantine(
    c: &mut SqliteConnection,
    event: &Event,
    why: &str,
    now: UnixMs,
) -> Result<(), LiveDbError> {
    sqlx::query(
        "INSERT INTO quarantine (event_id, shard, room_id, event, error, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(event.id())
    .bind(i64::from(event.shard.number()))
    .bind(event.session.room_id.as_str())
    .bind(serde_json::to_string(event).unwrap_or_default())
    .bind(why)
    .bind(ms(now)?)
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

/// Facts are texts and numbers: writing them cannot fail.
fn facts_json(facts: &Facts) -> String {
    serde_json::to_string(facts).unwrap_or_else(|_| "{}".to_owned())
}
