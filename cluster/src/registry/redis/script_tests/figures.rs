//! What the scripts cost, in Redis's own time and memory. Printed, not asserted: `cargo test -p onair-cluster figures -- --nocapture`.

use super::*;

const ROOMS: usize = 2_000;

/// Calls and microseconds that Redis has spent in scripts since its statistics were reset.
fn spent(wire: &Wire) -> (f64, f64) {
    let line = wire.redis.info("cmdstat_evalsha").unwrap_or_default();
    let field = |name: &str| -> f64 {
        let value = line.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or_default()
    };
    (field("calls"), field("usec"))
}

fn memory(wire: &mut Wire, name: &str) -> i64 {
    ::redis::from_redis_value(wire.words(&["MEMORY", "USAGE", name, "SAMPLES", "0"])).unwrap()
}

#[test]
fn figures_of_the_scripts() {
    let mut wire = Wire::start();
    let shard = Shard::new(0).unwrap();
    let rooms = (0..).map(|n| RoomId::parse(&format!("room-of-figures-{n}")).unwrap());
    let rooms: Vec<_> = rooms.filter(|room| room.shard() == shard).take(ROOMS).collect();
    let keys: Vec<_> = rooms.iter().map(|room| wire.with_key(room)).collect();

    wire.words(&["CONFIG", "RESETSTAT"]);
    let cards: Vec<_> = keys.iter().map(|key| wire.on_air(key)).collect();
    let (calls, acquire_us) = spent(&wire);
    println!("acquire: {:.1} us of Redis each", acquire_us / calls);

    for per_call in [1, 16, 256] {
        wire.words(&["CONFIG", "RESETSTAT"]);
        let renewals: Vec<_> = cards.iter().map(renewal).collect();
        for renewals in renewals.chunks(per_call) {
            let renewals: Vec<_> = renewals.iter().collect();
            wire.ask(&encode::renew(shard, &renewals)).unwrap();
        }
        if per_call == 1 {
            // Those went live; what follows only renews.
            continue;
        }
        let (_, us) = spent(&wire);
        let each = us / f64::from(u32::try_from(ROOMS).unwrap());
        println!(
            "renew, {per_call} per call: {each:.1} us of Redis each, {:.0} ms per 10 000 leases",
            each * 10.0
        );
    }

    let room = &rooms[0];
    println!("memory of a lease: {} bytes", memory(&mut wire, &key(shard, &format!("lease:{room}"))));
    println!(
        "memory of a key's record: {} bytes",
        memory(&mut wire, &key(shard, &format!("key:{}", keys[0].live_key_id)))
    );
    let index = memory(&mut wire, &key(shard, "exp")) + memory(&mut wire, &key(shard, "rooms"));
    println!("memory of the two indexes, per lease: {} bytes", index / i64::try_from(ROOMS).unwrap());
    let events = decode::events(shard, &wire.send(&encode::events(shard, 100_000)).unwrap()).unwrap().len();
    let stored = memory(&mut wire, &key(shard, "ev"));
    println!("memory of an event: {} bytes ({events} unread)", stored / i64::try_from(events).unwrap());

    for per_call in [256, ROOMS] {
        wire.words(&["CONFIG", "RESETSTAT"]);
        let (mut seen, mut after) = (0, None);
        loop {
            let answer = wire.ask(&encode::snapshot(shard, after.as_ref(), per_call)).unwrap();
            let (page, next) = decode::snapshot(&answer).unwrap();
            seen += page.leases.len();
            let Some(next) = next else { break };
            after = Some(next);
        }
        assert_eq!(seen, ROOMS);
        let (calls, us) = spent(&wire);
        let each = us / f64::from(u32::try_from(ROOMS).unwrap());
        println!("snapshot, {per_call} per call: {each:.1} us a lease, {:.1} ms a call", us / calls / 1e3);
    }

    wire.words(&["CONFIG", "RESETSTAT"]);
    for card in &cards {
        let release =
            Release { card: card.clone(), facts: renewal(card).facts, reason: EndReason::Unpublished };
        wire.ask(&encode::release(&release)).unwrap();
    }
    let (calls, us) = spent(&wire);
    println!("release: {:.1} us of Redis each", us / calls);
    println!("memory of a tombstone: {} bytes", memory(&mut wire, &key(shard, &format!("tomb:{room}"))));
}
