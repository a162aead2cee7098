//! What is answered, read back: from Redis values to the registry's words. Nothing here trusts what it reads; what it does not
//! understand is [`RegistryError::Broken`].

use std::str::FromStr;
use std::time::Duration;

use ::redis::Value;

use super::call::Position;
use crate::events::{EndReason, Event, EventKind, Facts, SessionCard};
use crate::ids::{Epoch, LiveKeyId, ProducerId, RoomId, Shard};
use crate::registry::{
    Acquired, Denial, Grant, Hold, Holder, KeyRecord, LeaseView, Order, RegistryError, Released, Renewed,
    ShardSnapshot, Takeover, Tick, Want,
};
use crate::time::UnixMs;

type Result<T> = std::result::Result<T, RegistryError>;

/// An event as it was read, with the digest to [acknowledge](super::encode::acknowledge) it with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) event: Event,
    pub(crate) digest: String,
}

/// Where the shard was when it gave this answer. Every script's answer says so.
pub(crate) fn position(answer: &Value) -> Result<Position> {
    let list = list(answer)?;
    Ok(Position { life: number_at(list, 0)?, n: number_at(list, 1)? })
}

/// The answer to a claim.
pub(crate) fn acquired(answer: &Value) -> Result<Acquired> {
    let answer = own(answer)?;
    Ok(match text_at(answer, 0)? {
        "granted" => Acquired::Granted(Grant {
            card: card(list_at(answer, 1)?)?,
            max_duration: duration(text_at(answer, 2)?)?,
            max_bitrate: number_or_none(text_at(answer, 3)?)?,
        }),
        "busy" => Acquired::Busy {
            wanted: number_at(answer, 1)? == 1,
            holder: Holder {
                session_id: parse(text_at(answer, 2)?)?,
                epoch: Epoch(number_at(answer, 3)?),
                node_id: parse(text_at(answer, 4)?)?,
                granted_at: UnixMs(number_at(answer, 5)?),
                media_age: Duration::from_millis(number_at(answer, 6)?),
            },
        },
        "ended" => Acquired::Denied(Denial::Ended),
        "held" => Acquired::Denied(Denial::Held { until: UnixMs(number_at(answer, 1)?) }),
        "unknown_key" => Acquired::Denied(Denial::UnknownKey),
        "revoked" => Acquired::Denied(Denial::Revoked),
        "wrong_room" => Acquired::Denied(Denial::WrongRoom),
        "backlog" => Acquired::Backlog,
        "recovering" => Acquired::Recovering,
        other => return Err(broken("answer to a claim", other)),
    })
}

/// The answers to renewals, as many as were asked and in that order.
pub(crate) fn renewed(answer: &Value, asked: usize) -> Result<Vec<Renewed>> {
    let answers = list_at(own(answer)?, 0)?;
    if answers.len() != asked {
        return Err(broken("number of renewals", &answers.len().to_string()));
    }
    answers.iter().map(|answer| renewed_one(list(answer)?)).collect()
}

fn renewed_one(answer: &[Value]) -> Result<Renewed> {
    match text_at(answer, 0)? {
        "kept" => {
            let want = match at(answer, 2)? {
                Value::Array(want) => Some(self::want(want)?),
                _ => None,
            };
            Ok(Renewed::Kept { order: order(text_at(answer, 1)?)?, want })
        }
        "lost" => {
            let by = text_at(answer, 1)?;
            Ok(Renewed::Lost { by: if by.is_empty() { None } else { Some(Epoch(parse(by)?)) } })
        }
        other => Err(broken("answer to a renewal", other)),
    }
}

/// What came of a release.
pub(crate) fn released(answer: &Value) -> Result<Released> {
    match text_at(own(answer)?, 0)? {
        "ended" => Ok(Released::Ended),
        "over" => Ok(Released::AlreadyOver),
        other => Err(broken("answer to a release", other)),
    }
}

/// What a look after a shard found.
pub(crate) fn ticked(answer: &Value) -> Result<Tick> {
    let n = position(answer)?.n;
    let answer = own(answer)?;
    let floor = text_at(answer, 2)?;
    Ok(Tick {
        reaped: rooms_of(at(answer, 0)?)?,
        n,
        is_loaded: text_at(answer, 1)? == "1",
        floor: time(floor)?,
    })
}

/// The rooms that a restarted node has lost.
pub(crate) fn rooms(answer: &Value) -> Result<Vec<RoomId>> {
    rooms_of(at(own(answer)?, 0)?)
}

/// A lease, or that there is none.
pub(crate) fn lease(answer: &Value) -> Result<Option<LeaseView>> {
    present(at(own(answer)?, 0)?).map(lease_view).transpose()
}

/// A page of leases.
pub(crate) fn leases(answer: &Value) -> Result<Vec<LeaseView>> {
    list_at(own(answer)?, 0)?.iter().map(|lease| lease_view(list(lease)?)).collect()
}

/// A page of a snapshot, and the room after which the next one begins.
pub(crate) fn snapshot(answer: &Value) -> Result<(ShardSnapshot, Option<RoomId>)> {
    let Position { n, .. } = position(answer)?;
    let (leases, answer) = (leases(answer)?, own(answer)?);
    let next = text_at(answer, 1)?;
    let next = if next.is_empty() { None } else { Some(parse(next)?) };
    let (is_loaded, floor) = (text_at(answer, 2)? == "1", time(text_at(answer, 3)?)?);
    Ok((ShardSnapshot { n, leases, floor, is_loaded }, next))
}

/// The hold in force.
pub(crate) fn hold(answer: &Value) -> Result<Option<Hold>> {
    let hold = |hold: &[Value]| {
        Ok(Hold { until: UnixMs(number_at(hold, 0)?), reason: text_at(hold, 1)?.to_owned() })
    };
    present(at(own(answer)?, 0)?).map(hold).transpose()
}

/// The record of the live key that was asked for.
pub(crate) fn key_record(answer: &Value, id: &LiveKeyId) -> Result<Option<KeyRecord>> {
    let record = |record: &[Value]| {
        Ok(KeyRecord {
            live_key_id: id.clone(),
            room_id: parse(text_at(record, 0)?)?,
            producer_id: parse(text_at(record, 1)?)?,
            takeover: takeover(text_at(record, 2)?)?,
            max_duration: duration(text_at(record, 3)?)?,
            max_bitrate: number_or_none(text_at(record, 4)?)?,
            revoked: text_at(record, 5)? == "1",
            expires_at: UnixMs(number_at(record, 6)?),
        })
    };
    present(at(own(answer)?, 0)?).map(record).transpose()
}

/// Yes or no.
pub(crate) fn yes(answer: &Value) -> Result<bool> {
    Ok(number_at(own(answer)?, 0)? == 1)
}

/// Nothing but that it was done.
pub(crate) fn done(answer: &Value) -> Result<()> {
    own(answer).map(|_| ())
}

/// Events in order.
pub(crate) fn events(shard: Shard, answer: &Value) -> Result<Vec<Told>> {
    list(answer)?.iter().map(|entry| told(shard, list(entry)?)).collect()
}

fn told(shard: Shard, entry: &[Value]) -> Result<Told> {
    let id = text_at(entry, 0)?;
    let n = id.strip_suffix("-0").ok_or_else(|| broken("number of an event", id))?;
    let fields = Fields(list_at(entry, 1)?);
    let kind = match fields.text("kind")? {
        "granted" => EventKind::Granted,
        "live" => EventKind::Live,
        "ended" => {
            let reason = fields.text("reason")?;
            EventKind::Ended {
                reason: EndReason::parse(reason).ok_or_else(|| broken("reason", reason))?,
                ended_at: UnixMs(parse(fields.text("ended")?)?),
            }
        }
        other => return Err(broken("kind of event", other)),
    };
    let card = SessionCard {
        session_id: parse(fields.text("sid")?)?,
        room_id: parse(fields.text("room")?)?,
        producer_id: parse::<ProducerId>(fields.text("producer")?)?,
        live_key_id: parse(fields.text("key")?)?,
        epoch: Epoch(parse(fields.text("epoch")?)?),
        node_id: parse(fields.text("node")?)?,
        client_addr: parse(fields.text("addr")?)?,
        client_agent: fields.text("agent")?.to_owned(),
        granted_at: UnixMs(parse(fields.text("granted")?)?),
    };
    let facts = facts(fields.text("live")?, fields.text("media")?, fields.text("facts")?)?;
    let at = UnixMs(parse(fields.text("at")?)?);
    let event = Event { n: parse(n)?, shard, at, kind, session: card, facts };
    Ok(Told { event, digest: fields.text("chain")?.to_owned() })
}

// === parts ===

fn card(parts: &[Value]) -> Result<SessionCard> {
    Ok(SessionCard {
        session_id: parse(text_at(parts, 0)?)?,
        room_id: parse(text_at(parts, 1)?)?,
        producer_id: parse(text_at(parts, 2)?)?,
        live_key_id: parse(text_at(parts, 3)?)?,
        epoch: Epoch(number_at(parts, 4)?),
        node_id: parse(text_at(parts, 5)?)?,
        client_addr: parse(text_at(parts, 6)?)?,
        client_agent: text_at(parts, 7)?.to_owned(),
        granted_at: UnixMs(number_at(parts, 8)?),
    })
}

fn facts(live: &str, media: &str, rest: &str) -> Result<Facts> {
    let rest: Facts = serde_json::from_str(rest).map_err(|_| broken("facts", rest))?;
    Ok(Facts { live_at: time(live)?, last_media_at: time(media)?, ..rest })
}

fn want(parts: &[Value]) -> Result<Want> {
    Ok(Want {
        session_id: parse(text_at(parts, 0)?)?,
        node_id: parse(text_at(parts, 1)?)?,
        live_key_id: parse(text_at(parts, 2)?)?,
        client_addr: parse(text_at(parts, 3)?)?,
        takeover: takeover(text_at(parts, 4)?)?,
        until: UnixMs(number_at(parts, 5)?),
    })
}

fn lease_view(parts: &[Value]) -> Result<LeaseView> {
    let told = list_at(parts, 1)?;
    let facts = facts(text_at(told, 0)?, text_at(told, 1)?, text_at(told, 2)?)?;
    Ok(LeaseView {
        card: card(list_at(parts, 0)?)?,
        until: UnixMs(number_at(parts, 2)?),
        confirmed: !facts.unreplicated,
        facts,
        order: order(text_at(parts, 3)?)?,
    })
}

fn order(json: &str) -> Result<Option<Order>> {
    if json.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(json).map(Some).map_err(|_| broken("order", json))
}

fn takeover(name: &str) -> Result<Takeover> {
    let rules = [Takeover::Idle, Takeover::Never, Takeover::Always];
    let found = rules.into_iter().find(|rule| super::encode::takeover_name(*rule) == name);
    found.ok_or_else(|| broken("takeover rule", name))
}

fn time(text: &str) -> Result<Option<UnixMs>> {
    if text.is_empty() { Ok(None) } else { Ok(Some(UnixMs(parse(text)?))) }
}

fn number_or_none(text: &str) -> Result<Option<u64>> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn duration(ms: &str) -> Result<Option<Duration>> {
    if ms.is_empty() { Ok(None) } else { Ok(Some(Duration::from_millis(parse(ms)?))) }
}

fn rooms_of(value: &Value) -> Result<Vec<RoomId>> {
    list(value)?.iter().map(|room| parse(text(room)?)).collect()
}

// === Redis values ===

/// Names and values in turn, as entries and hashes come.
struct Fields<'a>(&'a [Value]);

impl<'a> Fields<'a> {
    fn text(&self, name: &str) -> Result<&'a str> {
        for pair in self.0.chunks_exact(2) {
            if text(&pair[0])? == name {
                return text(&pair[1]);
            }
        }
        Err(broken("event without", name))
    }
}

/// What follows the position.
fn own(answer: &Value) -> Result<&[Value]> {
    position(answer)?;
    Ok(&list(answer)?[2..])
}

/// A list where an empty text stands for nothing.
fn present(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

fn list(value: &Value) -> Result<&[Value]> {
    match value {
        Value::Array(list) => Ok(list),
        _ => Err(broken("answer", "no list")),
    }
}

fn at(list: &[Value], nth: usize) -> Result<&Value> {
    list.get(nth).ok_or_else(|| broken("answer", "a list too short"))
}

fn list_at(list: &[Value], nth: usize) -> Result<&[Value]> {
    self::list(at(list, nth)?)
}

fn text_at(list: &[Value], nth: usize) -> Result<&str> {
    text(at(list, nth)?)
}

fn number_at(list: &[Value], nth: usize) -> Result<u64> {
    match at(list, nth)? {
        Value::Int(number) => u64::try_from(*number).map_err(|_| broken("number", &number.to_string())),
        other => parse(text(other)?),
    }
}

fn text(value: &Value) -> Result<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).map_err(|_| broken("text", "not UTF-8")),
        Value::SimpleString(text) => Ok(text),
        _ => Err(broken("answer", "no text")),
    }
}

fn parse<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| broken("value", text))
}

/// Bounded, since it ends in logs.
fn broken(what: &str, found: &str) -> RegistryError {
    let found: String = found.chars().take(40).collect();
    RegistryError::Broken(format!("{what}: {found:?}"))
}
