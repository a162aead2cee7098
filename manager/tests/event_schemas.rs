//! Goal: what is said in docs/events of the events is true of every one that leaves us. Method: sessions with all kinds of facts and
//! every end reason go through a real Live DB; each payload of the outbox is held against the schema of its type, and each of its
//! members must be told of there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeMap;

use jsonschema::Validator;
use onair_cluster::events::{AudioFacts, EndReason, VideoFacts};
use onair_cluster::nodes::Incarnation;
use onair_cluster::{
    Epoch, Event, EventKind, Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, Shard,
    UnixMs,
};
use onair_manager::live_db::{Ledger, ManagerId, Outbox, Owners, SqliteLiveDb};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

/// Sessions that are told of.
const SESSIONS: usize = 600;

/// Times up to the year 2100, and the first ones there are.
fn time() -> impl Strategy<Value = UnixMs> {
    prop_oneof![Just(0), Just(1), 1_600_000_000_000..4_100_000_000_000_u64].prop_map(UnixMs)
}

fn facts() -> impl Strategy<Value = Facts> {
    let codec = || "[a-z0-9]{2,8}";
    let video = (codec(), any::<Option<u32>>(), any::<Option<u32>>(), prop::option::of(0.0..1_000.0_f64))
        .prop_map(|(codec, width, height, fps)| VideoFacts { codec, width, height, fps });
    let audio = (codec(), any::<Option<u32>>(), any::<Option<u8>>())
        .prop_map(|(codec, sample_rate, channels)| AudioFacts { codec, sample_rate, channels });
    let times = (time(), prop::option::of(time()));
    let rest = (0..1_u64 << 53, any::<u32>(), any::<u32>(), any::<bool>());
    (times, rest, prop::option::of(video), prop::option::of(audio)).prop_map(
        |((live_at, last_media_at), (bytes_in, bitrate_kbps, players, unreplicated), video, audio)| Facts {
            live_at: Some(live_at),
            last_media_at,
            bytes_in,
            bitrate_kbps,
            video,
            audio,
            players,
            unreplicated,
        },
    )
}

fn card() -> impl Strategy<Value = SessionCard> {
    let names = ("[A-Za-z0-9_-]{1,60}", "[A-Za-z0-9_.:@+-]{1,127}x", "[A-Za-z0-9_.-]{1,127}x", any::<u128>());
    (names, "\\PC{0,40}", time(), 1..1_u64 << 53).prop_map(
        |((room, producer, node, session), client_agent, granted_at, epoch)| {
            let room_id = RoomId::parse(&room).unwrap();
            SessionCard {
                session_id: SessionId(session),
                live_key_id: LiveKeyId::random(&room_id),
                room_id,
                producer_id: ProducerId::parse(&producer).unwrap(),
                epoch: Epoch(epoch),
                node_id: NodeId::parse(&node).unwrap(),
                client_addr: "2001:db8::7".parse().unwrap(),
                client_agent,
                granted_at,
            }
        },
    )
}

/// A session's `live` and `ended`.
fn told() -> impl Strategy<Value = [Event; 2]> {
    let reason = prop::sample::select(EndReason::ALL.to_vec());
    (card(), facts(), facts(), reason, time(), time()).prop_map(
        |(session, then, later, reason, ended_at, at)| {
            let event = |n, kind, facts| {
                let shard = session.room_id.shard();
                Event { n, shard, at, kind, session: session.clone(), facts }
            };
            [event(1, EventKind::Live, then), event(2, EventKind::Ended { reason, ended_at }, later)]
        },
    )
}

fn schemas() -> BTreeMap<String, (Value, Validator)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/events");
    let mut schemas = BTreeMap::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let kind = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let schema: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        jsonschema::meta::validate(&schema).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let validator = jsonschema::validator_for(&schema).unwrap();
        schemas.insert(kind, (schema, validator));
    }
    schemas
}

/// Every member of `data` must stand in the schema, and so on within.
fn all_members_are_told_of(root: &Value, schema: &Value, data: &Value, place: &str) {
    let schema = match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let Value::Object(members) = data else { return };
    let schema = match schema.get("oneOf").and_then(Value::as_array) {
        // Null, or the one that has members.
        Some(choices) => return all_members_are_told_of(root, choices.last().unwrap(), data, place),
        None => schema,
    };
    for (name, value) in members {
        let told = schema.pointer(&format!("/properties/{name}"));
        let told = told.unwrap_or_else(|| panic!("{place}.{name} is not in the schema"));
        all_members_are_told_of(root, told, value, &format!("{place}.{name}"));
    }
}

#[tokio::test]
async fn every_event_keeps_to_its_schema_and_the_schema_tells_all_of_it() {
    let schemas = schemas();
    assert_eq!(Vec::from_iter(schemas.keys()), ["onair.broadcast.ended.v1", "onair.broadcast.started.v1"]);
    let home = tempfile::tempdir().unwrap();
    let db = SqliteLiveDb::open(home.path()).await.unwrap();
    let me = ManagerId { node_id: NodeId::parse("n").unwrap(), incarnation: Incarnation::random() };
    let terms = db.beat(&me, std::time::Duration::from_secs(60)).await.unwrap().shards;
    // The seed is in the file beside this one when a case fails; what it was tried with is printed.
    let mut runner = TestRunner::new(Config::default());
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(told().new_tree(&mut runner).unwrap().current());
    }
    // One by one, since each is a room of its own: with its start first, or its end alone, which tells of both.
    for (n, [live, ended]) in sessions.iter().enumerate() {
        let events = if n % 3 == 0 { vec![ended.clone()] } else { vec![live.clone(), ended.clone()] };
        db.apply(&terms, &events, UnixMs::now()).await.unwrap();
    }
    let (mut seen, mut reasons) = (BTreeMap::<_, usize>::new(), BTreeMap::<String, usize>::new());
    for shard in Shard::all() {
        for row in db.feed(shard, 0, 10_000).await.unwrap() {
            let data: Value = serde_json::from_str(&row.payload).unwrap();
            let (schema, validator) = &schemas[&row.kind];
            if let Err(error) = validator.validate(&data) {
                panic!("{}: {error} at {}\n{data:#}", row.kind, error.instance_path());
            }
            all_members_are_told_of(schema, schema, &data, &row.kind);
            *seen.entry(row.kind).or_default() += 1;
            if let Some(reason) = data["end_reason"].as_str() {
                *reasons.entry(reason.to_owned()).or_default() += 1;
            }
        }
    }
    assert_eq!(Vec::from_iter(seen.values()), [&SESSIONS, &SESSIONS]);
    assert_eq!(reasons.len(), EndReason::ALL.len(), "{reasons:?}");
}

#[test]
fn the_schemas_refuse_what_is_wrong() {
    let schemas = schemas();
    let (_, started) = &schemas["onair.broadcast.started.v1"];
    let good = serde_json::json!({
        "broadcast_id": "0123456789abcdef0123456789abcdef", "room_id": "r", "producer_id": "p",
        "session_id": "0123456789abcdef0123456789abcdef", "live_key_id": "00k", "epoch": 1, "node_id": "n",
        "started_at": "2026-01-01T00:00:00.000Z", "video": null, "audio": {"codec": "aac"},
        "something": "new"
    });
    assert!(started.is_valid(&good), "members may be added");
    for (name, wrong) in [
        ("epoch", Value::from("1")),
        ("room_id", Value::Null),
        ("started_at", Value::from("2026-01-01 00:00:00")),
        ("session_id", Value::from("0123")),
        ("audio", Value::from("aac")),
    ] {
        let mut bad = good.clone();
        bad[name] = wrong;
        assert!(!started.is_valid(&bad), "{name}");
    }
    let mut incomplete = good;
    incomplete.as_object_mut().unwrap().remove("epoch");
    assert!(!started.is_valid(&incomplete));
}
