//! Nonsense in, and nonsense out: scripts refuse what they cannot read before they write anything, and whatever comes back as an
//! answer is read or called broken, never a panic.

use ::redis::Value;
use proptest::prelude::*;

use super::*;

/// Every call there is, as it should be.
fn calls(room: &RoomId) -> Vec<Call> {
    let key = record(room);
    let card = SessionCard {
        session_id: SessionId(7),
        room_id: room.clone(),
        producer_id: key.producer_id.clone(),
        live_key_id: key.live_key_id.clone(),
        epoch: crate::ids::Epoch(1),
        node_id: NodeId::parse("node-1").unwrap(),
        client_addr: IpAddr::from([127, 0, 0, 1]),
        client_agent: String::new(),
        granted_at: UnixMs(1),
    };
    let renewal = renewal(&card);
    let release = Release { card, facts: Facts::default(), reason: EndReason::Crash };
    let (shard, id) = (room.shard(), &key.live_key_id);
    vec![
        encode::acquire(&Claim { issued: Some(key.clone()), ..claim(&key) }),
        encode::renew(shard, &[&renewal]),
        encode::release(&release),
        encode::tick(shard, 8),
        encode::put_key(&key),
        encode::put_hold(room, &Hold { until: UnixMs(1), reason: String::new() }),
        encode::acknowledge(shard, 1, ""),
        encode::recovered(shard, true, 1),
        encode::look_leases(shard, None, 8),
        encode::snapshot(shard, None, 8),
        encode::free_node(shard, &NodeId::parse("node-1").unwrap()),
        encode::order(room, &order()),
        encode::revoke(shard, id),
        encode::lift_hold(room),
        encode::look_lease(room),
        encode::look_hold(room),
        encode::look_key(shard, id),
    ]
}

fn is_number(arg: &[u8]) -> bool {
    !arg.is_empty() && arg.iter().all(u8::is_ascii_digit)
}

#[test]
fn a_missing_argument_is_refused_before_anything_is_written() {
    let mut wire = Wire::start();
    for call in calls(&RoomId::random()) {
        let short = Call { args: call.args[..call.args.len() - 1].to_vec(), ..call };
        let refused = wire.ask(&short).unwrap_err();
        assert_eq!(refused.code(), Some("BADARG"), "{}: {refused}", short.script.name());
        assert!(wire.is_empty(), "{} wrote", short.script.name());
    }
}

#[test]
fn a_number_that_is_none_is_refused_before_anything_is_written() {
    let mut wire = Wire::start();
    for call in calls(&RoomId::random()) {
        // Session ids may look like numbers, and a flag is not one.
        let numbers =
            (0..call.args.len()).filter(|nth| is_number(&call.args[*nth]) && call.args[*nth].len() < 32);
        for nth in numbers {
            for nonsense in ["-1", "1e3", "0x10", "nan", "1 ", "999999999999999999999"] {
                let mut wrong = call.clone();
                wrong.args[nth] = nonsense.as_bytes().to_vec();
                if call.script == Script::Recovered && nth == 1 {
                    continue;
                }
                let refused = wire.ask(&wrong).unwrap_err();
                assert_eq!(refused.code(), Some("BADARG"), "{} {nth}: {refused}", call.script.name());
                assert!(wire.is_empty(), "{} wrote", call.script.name());
            }
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let words = [
        "", "granted", "busy", "held", "kept", "lost", "ended", "over", "1-0", "{}", "kind", "idle",
        "room-0", "7",
    ];
    let leaf = prop_oneof![
        Just(Value::Nil),
        Just(Value::Okay),
        any::<i64>().prop_map(Value::Int),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Value::BulkString),
        prop::sample::select(words.to_vec()).prop_map(|word| Value::BulkString(word.into())),
    ];
    leaf.prop_recursive(4, 64, 12, |inner| prop::collection::vec(inner, 0..12).prop_map(Value::Array))
}

proptest! {
    #[test]
    fn whatever_is_answered_is_read_or_broken(answer in value()) {
        // With a position before it, so that more than the first look is reached.
        let own = match &answer {
            Value::Array(list) => [vec![Value::Int(1), Value::Int(2)], list.clone()].concat(),
            other => vec![Value::Int(1), Value::Int(2), other.clone()],
        };
        for answer in [&answer, &Value::Array(own)] {
            let _ = decode::position(answer);
            let _ = decode::acquired(answer);
            let _ = decode::renewed(answer, 1);
            let _ = decode::released(answer);
            let _ = decode::ticked(answer);
            let _ = decode::rooms(answer);
            let _ = decode::lease(answer);
            let _ = decode::leases(answer);
            let _ = decode::hold(answer);
            let _ = decode::key_record(answer, &LiveKeyId::parse("00key").unwrap());
            let _ = decode::yes(answer);
            let _ = decode::done(answer);
            let _ = decode::events(Shard::new(0).unwrap(), answer);
        }
    }
}
