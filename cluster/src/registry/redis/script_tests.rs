//! What the scripts do beyond the rules, on a real Redis: whom they refuse, what they leave untouched then, what still works
//! when memory is full, and what is forgotten by itself.

mod figures;
mod nonsense;

use std::net::IpAddr;

use ::redis::{RedisResult, Value};

use super::call::{Call, Caller, Position, key};
use super::differential::wire::{CLUSTER, Wire};
use super::scripts::Script;
use super::trouble::Trouble;
use super::{decode, encode};
use crate::events::{EndReason, Facts, SessionCard};
use crate::ids::{LiveKeyId, NodeId, ProducerId, RoomId, SessionId, Shard};
use crate::registry::{
    Acquired, Claim, Hold, KeyRecord, LeaseTimes, Order, RegistryError, Release, Released, Renewal, Renewed,
    Takeover,
};
use crate::time::UnixMs;

const TIMES: LeaseTimes = LeaseTimes {
    ttl: std::time::Duration::from_secs(10),
    renew_every: std::time::Duration::from_secs(3),
    grace: std::time::Duration::from_secs(2),
    margin: std::time::Duration::from_millis(500),
    call_timeout: std::time::Duration::from_millis(400),
    want_for: std::time::Duration::from_secs(2),
    idle_after: std::time::Duration::from_secs(5),
    ghost_after: std::time::Duration::from_secs(1),
    takeover_every: std::time::Duration::from_secs(1),
    tombstone_for: std::time::Duration::from_secs(15 * 60),
};

/// As in production: the clock of Redis, all rules.
fn caller(cluster: &str) -> Caller<'_> {
    Caller {
        cluster,
        times: &TIMES,
        unread_max: 4_096,
        gap: Some(Caller::GAP),
        run_id: "run-1",
        known: Position::default(),
        contact: None,
        now: None,
    }
}

impl Wire {
    fn ask(&mut self, call: &Call) -> RedisResult<Value> {
        self.call(call, &caller(CLUSTER))
    }

    fn is_empty(&mut self) -> bool {
        self.words(&["DBSIZE"]) == Value::Int(0)
    }

    /// A shard that needs nobody's return, with one key on record.
    fn with_key(&mut self, room: &RoomId) -> KeyRecord {
        let record = record(room);
        let put = self.ask(&encode::put_key(&record)).unwrap();
        let life = decode::position(&put).unwrap().life;
        let recovered = self.ask(&encode::recovered(room.shard(), true, life)).unwrap();
        assert_eq!(decode::yes(&recovered), Ok(true));
        record
    }

    fn on_air(&mut self, key: &KeyRecord) -> SessionCard {
        let answer = self.ask(&encode::acquire(&claim(key))).unwrap();
        match decode::acquired(&answer) {
            Ok(Acquired::Granted(grant)) => grant.card,
            other => panic!("not granted: {other:?}"),
        }
    }
}

fn record(room: &RoomId) -> KeyRecord {
    KeyRecord {
        live_key_id: LiveKeyId::random(room),
        room_id: room.clone(),
        producer_id: ProducerId::parse("producer").unwrap(),
        takeover: Takeover::Idle,
        max_duration: None,
        max_bitrate: None,
        revoked: false,
        expires_at: UnixMs(UnixMs::now().0 + 3_600_000),
    }
}

fn claim(key: &KeyRecord) -> Claim {
    Claim {
        session_id: SessionId::random(),
        room_id: key.room_id.clone(),
        live_key_id: key.live_key_id.clone(),
        node_id: NodeId::parse("node-1").unwrap(),
        client_addr: IpAddr::from([127, 0, 0, 1]),
        client_agent: "FMLE/3.0 (compatible; FMSc/1.0)".to_owned(),
        issued: None,
    }
}

fn renewal(card: &SessionCard) -> Renewal {
    let now = Some(UnixMs::now());
    let facts = Facts { live_at: now, last_media_at: now, bytes_in: 123_456_789, ..Facts::default() };
    Renewal { card: card.clone(), facts }
}

fn order() -> Order {
    Order { reason: EndReason::EndedByApi, note: "asked for".to_owned() }
}

#[test]
fn every_script_says_what_it_is_and_only_what_adds_is_refused_without_memory() {
    for script in Script::ALL {
        let first = script.source().lines().next().unwrap();
        let expected = match script {
            Script::Acquire | Script::PutKey => "#!lua",
            Script::LookLease
            | Script::LookLeases
            | Script::Snapshot
            | Script::LookHold
            | Script::LookKey => "#!lua flags=no-writes",
            _ => "#!lua flags=allow-oom",
        };
        assert_eq!(first, expected, "{}", script.name());
    }
}

#[test]
fn another_clusters_redis_refuses_and_is_not_touched() {
    let mut wire = Wire::start();
    let room = RoomId::random();
    let key = wire.with_key(&room);
    let before = wire.words(&["HGETALL", &super::call::key(room.shard(), "meta")]);
    let refused = wire.call(&encode::acquire(&claim(&key)), &caller("other")).unwrap_err();
    assert!(matches!(Trouble::from(refused), Trouble::Broken(why) if why.starts_with("WRONGCLUSTER ")));
    assert_eq!(wire.words(&["HGETALL", &super::call::key(room.shard(), "meta")]), before);
}

#[test]
fn keys_of_two_shards_are_refused() {
    let mut wire = Wire::start();
    let (here, there) = (Shard::new(7).unwrap(), Shard::new(8).unwrap());
    let keys = [key(here, "meta"), key(here, "exp"), key(here, "rooms"), key(there, "ev")];
    for script in Script::ALL {
        let mut command = ::redis::cmd("EVAL");
        command.arg(script.source()).arg(4).arg(&keys[..]).arg(CLUSTER).arg(&[""; 13][..]);
        let refused = wire.send(&command).unwrap_err();
        assert_eq!(refused.code(), Some("BADARG"), "{}: {refused}", script.name());
    }
    assert!(wire.is_empty());
}

#[test]
fn without_memory_nobody_new_is_let_in_and_all_others_go_on() {
    let mut wire = Wire::start();
    let (room, other) = (RoomId::random(), RoomId::random());
    let key = wire.with_key(&room);
    let newcomer = wire.with_key(&other);
    let card = wire.on_air(&key);
    wire.words(&["CONFIG", "SET", "maxmemory", "1"]);

    let refused = wire.ask(&encode::acquire(&claim(&newcomer))).unwrap_err();
    assert_eq!(RegistryError::from(Trouble::from(refused)), RegistryError::Full);
    let refused = wire.ask(&encode::put_key(&newcomer)).unwrap_err();
    assert_eq!(RegistryError::from(Trouble::from(refused)), RegistryError::Full);

    let renewed = wire.ask(&encode::renew(room.shard(), &[&renewal(&card)])).unwrap();
    assert_eq!(decode::renewed(&renewed, 1), Ok(vec![Renewed::Kept { order: None, want: None }]));
    let hold = Hold { until: UnixMs(u64::MAX), reason: String::new() };
    let passing = [
        encode::order(&room, &order()),
        encode::tick(room.shard(), 8),
        encode::put_hold(&room, &hold),
        encode::lift_hold(&room),
        encode::revoke(room.shard(), &key.live_key_id),
        encode::look_lease(&room),
        encode::snapshot(room.shard(), None, 8),
        encode::acknowledge(room.shard(), 1, ""),
    ];
    for call in passing {
        let answer = wire.ask(&call);
        assert!(answer.is_ok(), "{}: {answer:?}", call.script.name());
    }
    let release = Release { card, facts: Facts::default(), reason: EndReason::Revoked };
    let released = wire.ask(&encode::release(&release)).unwrap();
    assert_eq!(decode::released(&released), Ok(Released::Ended));
}

#[test]
fn a_number_that_was_given_anew_is_not_acknowledged_for_the_old() {
    let mut wire = Wire::start();
    let room = RoomId::random();
    let first = |wire: &mut Wire| {
        let answer = wire.send(&encode::events(room.shard(), 100)).unwrap();
        decode::events(room.shard(), &answer).unwrap().remove(0)
    };
    let key = wire.with_key(&room);
    wire.on_air(&key);
    let old = first(&mut wire);
    // The primary dies before anybody has copied it; its successor begins with the same number.
    wire.words(&["FLUSHDB"]);
    let key = wire.with_key(&room);
    wire.on_air(&key);
    let new = first(&mut wire);
    assert_eq!((old.event.n, new.event.n), (1, 1));
    assert_ne!(old.digest, new.digest);

    let answer = wire.ask(&encode::acknowledge(room.shard(), 1, &old.digest)).unwrap();
    assert_eq!(decode::yes(&answer), Ok(false));
    assert_eq!(first(&mut wire), new);
    let answer = wire.ask(&encode::acknowledge(room.shard(), 1, &new.digest)).unwrap();
    assert_eq!(decode::yes(&answer), Ok(true));
    assert_eq!(wire.words(&["XLEN", &super::call::key(room.shard(), "ev")]), Value::Int(0));
}

#[test]
fn what_has_had_its_time_is_forgotten_by_itself_but_never_a_lease() {
    let mut wire = Wire::start();
    let room = RoomId::random();
    let key = wire.with_key(&room);
    let expiry = |wire: &mut Wire, name: String| -> i64 {
        let name = super::call::key(room.shard(), &name);
        ::redis::from_redis_value(wire.words(&["PEXPIRETIME", &name])).unwrap()
    };
    let at = i64::try_from(key.expires_at.0).unwrap();
    assert_eq!(expiry(&mut wire, format!("key:{}", key.live_key_id)), at);

    let card = wire.on_air(&key);
    assert_eq!(expiry(&mut wire, format!("lease:{room}")), -1, "a lease ends with an event, not by itself");
    let release = Release { card, facts: Facts::default(), reason: EndReason::Unpublished };
    wire.ask(&encode::release(&release)).unwrap();
    assert!(expiry(&mut wire, format!("tomb:{room}")) > 0);

    let hold = |until| Hold { until: UnixMs(until), reason: "house rules".to_owned() };
    wire.ask(&encode::put_hold(&room, &hold(key.expires_at.0))).unwrap();
    assert_eq!(expiry(&mut wire, format!("hold:{room}")), at);
    wire.ask(&encode::put_hold(&room, &hold(u64::MAX))).unwrap();
    assert_eq!(expiry(&mut wire, format!("hold:{room}")), -1, "a hold for ever");
    let answer = wire.ask(&encode::look_hold(&room)).unwrap();
    assert_eq!(decode::hold(&answer), Ok(Some(hold(u64::MAX))));
}

#[test]
fn an_epoch_is_the_clock_in_microseconds() {
    let mut wire = Wire::start();
    let key = wire.with_key(&RoomId::random());
    let card = wire.on_air(&key);
    assert_eq!(card.epoch.0 / 1_000, card.granted_at.0);
}

#[test]
fn a_shard_that_nobody_ever_called_lets_nobody_in_until_it_has_its_keys() {
    let mut wire = Wire::start();
    let key = record(&RoomId::random());
    let answer = wire.ask(&encode::acquire(&claim(&key))).unwrap();
    assert_eq!(decode::acquired(&answer), Ok(Acquired::Recovering));
    let tick = decode::ticked(&wire.ask(&encode::tick(key.room_id.shard(), 8)).unwrap()).unwrap();
    assert!(!tick.is_loaded && tick.floor.is_some());
    wire.ask(&encode::put_key(&key)).unwrap();
    let answer = wire.ask(&encode::acquire(&claim(&key))).unwrap();
    assert_eq!(
        decode::acquired(&answer),
        Ok(Acquired::Recovering),
        "the key is back, but may be an incumbent's"
    );
}

#[test]
fn a_full_batch_of_renewals_is_one_call_and_one_more_is_refused() {
    let mut wire = Wire::start();
    let key = wire.with_key(&RoomId::random());
    let card = wire.on_air(&key);
    let renewal = renewal(&card);
    let renew = |count: usize| encode::renew(card.room_id.shard(), &vec![&renewal; count]);
    let answer = wire.ask(&renew(256)).unwrap();
    assert_eq!(decode::renewed(&answer, 256).unwrap().len(), 256);
    assert_eq!(wire.ask(&renew(257)).unwrap_err().code(), Some("BADARG"));
}
