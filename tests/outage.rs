//! Redis away, empty, full, or without its replicas: who is on air stays on air, nobody new slips in, and nothing is told twice.
//! With `ONAIR_LONG=1` at the size and length that are promised, else smaller and shorter.

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use onair_cluster::time::BootTime;
use onair_testkit::redis::{Options, Redis, Replicated};
use support::crowd::Encoder;
use support::{Address, Crowd, Fleet, LONG, Store, eventually, holds, scale, secs};

const ELSEWHERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));

/// A fleet of two nodes with everybody live, and newcomers who want the first few rooms.
struct OnAir {
    fleet: Fleet,
    crowd: Crowd,
    addresses: Vec<Address>,
    encoders: Vec<Encoder>,
}

impl OnAir {
    fn on(store: Store, publishers: usize, settings: &[(&str, &str)]) -> Self {
        let fleet = Fleet::with(store, 2, settings);
        let crowd = Crowd::new();
        let addresses = fleet.addresses(publishers);
        let nodes = fleet.rtmp();
        let encoders = addresses
            .iter()
            .enumerate()
            .map(|(i, address)| crowd.encoder(address, &[nodes[i % 2], nodes[(i + 1) % 2]]))
            .collect();
        let on_air = Self { fleet, crowd, addresses, encoders };
        on_air.wait_recorded();
        on_air
    }

    fn wait_recorded(&self) {
        eventually("everybody live and on record", secs(60), || {
            let ledger = self.fleet.ledger();
            let live = ledger.sessions.iter().filter(|s| s.live_at.is_some() && s.ended_at.is_none()).count();
            (live == self.addresses.len()).then_some(())
        });
    }

    /// Everybody is on air by the first attempt, and nobody was cut.
    fn nobody_was_cut(&self) -> bool {
        self.crowd.on_air().iter().filter(|a| a.id <= self.addresses.len() as u64).count()
            == self.addresses.len()
    }

    /// Somebody who is not on air tries to be: the time it took to be told, and what was said.
    fn refused(&self, address: &Address) -> (Duration, String) {
        let asked_at = BootTime::now();
        let outcome = self.crowd.publish(ELSEWHERE, address, self.fleet.nodes[0].rtmp);
        let took = BootTime::now().since(asked_at);
        match outcome {
            Ok(_) => panic!("let in after {took:?}"),
            Err(why) => (took, why),
        }
    }

    /// Every lease has been renewed since the call.
    fn wait_renewed(&self, within: Duration) {
        let since = BootTime::now();
        eventually("every lease to be confirmed again", within, || {
            let sessions = self.fleet.api().sessions();
            let confirmed = sessions.iter().filter(|s| s["confirmed"] == true).count();
            (confirmed == self.addresses.len()).then_some(())
        });
        println!("everybody confirmed again after {:.1?}", BootTime::now().since(since));
    }

    /// Everybody says goodbye: one session each, ended once, for that reason.
    fn end_well(self) {
        assert!(self.nobody_was_cut());
        self.encoders.into_iter().for_each(|encoder| encoder.stop(&self.crowd));
        let ledger = self.fleet.wait_ledger("every end on record", LONG, |ledger| {
            ledger.sessions.iter().all(|s| s.ended_at.is_some())
        });
        assert_eq!(ledger.faults_of_messages(), Vec::<String>::new());
        for address in &self.addresses {
            let told: Vec<_> = ledger.of_room(&address.room).iter().map(|s| s.end_reason.clone()).collect();
            assert_eq!(told, [Some("unpublished".to_owned())], "{}", address.room);
        }
    }
}

/// Redis is away for long: `leave` and `come_back` make it so.
fn an_outage(leave: impl Fn(&Redis), come_back: impl Fn(&Redis)) {
    let store = Store::Single(Redis::with(&Options::new().appendonly()));
    let on_air = OnAir::on(store, scale(40, 200), &[]);
    let newcomer = on_air.fleet.address("newcomer");

    leave(on_air.fleet.store.single());
    let (took, why) = on_air.refused(&newcomer);
    println!("a new publisher was refused after {took:.1?}: {why}");
    assert!(!why.is_empty());
    let (took, why) = on_air.refused(&on_air.addresses[0]);
    println!("one who wants a room that is on air, after {took:.1?}: {why}");
    holds("nobody is cut while Redis is away", scale(secs(20), secs(60)), || on_air.nobody_was_cut());
    come_back(on_air.fleet.store.single());

    // Just after, when leases might look dead: rooms that are on air stay with their publishers.
    let (took, why) = on_air.refused(&on_air.addresses[1]);
    println!("just after, after {took:.1?}: {why}");
    on_air.wait_renewed(secs(15));
    holds("nobody is cut afterwards", secs(15), || on_air.nobody_was_cut());
    let back = eventually("the new publisher to be let in", LONG, || {
        on_air.crowd.publish(ELSEWHERE, &newcomer, on_air.fleet.nodes[0].rtmp).ok()
    });
    on_air.crowd.runtime().block_on(back.unpublish());
    on_air.end_well();
}

#[test]
fn while_redis_is_stopped_nobody_is_cut_or_taken_over_and_new_publishers_are_refused() {
    an_outage(|redis| redis.stop(), |redis| redis.restart());
}

#[test]
fn while_redis_is_frozen_nobody_is_cut_or_taken_over_and_new_publishers_are_refused() {
    an_outage(|redis| redis.freeze(), |redis| redis.thaw());
}

#[test]
fn strict_nodes_cut_at_the_deadline() {
    let store = Store::Single(Redis::with(&Options::new().appendonly()));
    let on_air = OnAir::on(store, 10, &[("CLUSTER__ON_REGISTRY_LOSS", "strict")]);
    let lost_at = BootTime::now();
    on_air.fleet.store.single().stop();
    eventually("everybody cut", LONG, || on_air.crowd.on_air().is_empty().then_some(()));
    let first: Vec<_> = on_air.crowd.attempts().into_iter().take(on_air.addresses.len()).collect();
    for attempt in &first {
        println!("cut {:.1?} after", attempt.over_at.expect("cut").since(lost_at));
    }
    on_air.fleet.store.single().restart();
    eventually("everybody back", secs(60), || {
        (on_air.crowd.on_air().len() == on_air.addresses.len()).then_some(())
    });
    on_air.encoders.into_iter().for_each(|encoder| encoder.stop(&on_air.crowd));
    let ledger = on_air.fleet.wait_ledger("every end on record", LONG, |ledger| {
        ledger.sessions.iter().all(|s| s.ended_at.is_some())
    });
    assert_eq!(ledger.faults_of_messages(), Vec::<String>::new());
}

/// Redis has lost everything; `wipe` makes it so.
fn a_wipe(wipe: impl Fn(&Redis)) {
    let on_air = OnAir::on(Store::Single(Redis::start()), scale(40, 200), &[]);
    let newcomer = on_air.fleet.address("newcomer");
    wipe(on_air.fleet.store.single());
    // Nobody gets a room that is on air, though Redis knows nothing of that yet.
    let (took, why) = on_air.refused(&on_air.addresses[0]);
    println!("one who wants a room that is on air, after {took:.1?}: {why}");
    on_air.wait_renewed(secs(15));
    for address in &on_air.addresses[1..4] {
        on_air.refused(address);
    }
    // Its key was in Redis alone; the Manager put it back.
    let back = eventually("a key from before to open its room", LONG, || {
        on_air.crowd.publish(ELSEWHERE, &newcomer, on_air.fleet.nodes[1].rtmp).ok()
    });
    on_air.crowd.runtime().block_on(back.unpublish());
    on_air.end_well();
}

#[test]
fn after_flushall_everybody_is_adopted_again_and_keys_are_restored() {
    a_wipe(|redis| {
        redis.command(&["FLUSHALL"]);
    });
}

#[test]
fn after_a_restart_without_files_everybody_is_adopted_again_and_keys_are_restored() {
    a_wipe(|redis| redis.restart());
}

#[test]
fn with_memory_full_live_ones_renew_and_end_and_new_ones_are_refused() {
    let on_air = OnAir::on(Store::Single(Redis::start()), 10, &[]);
    let newcomer = on_air.fleet.address("newcomer");
    on_air.fleet.store.single().command(&["CONFIG", "SET", "maxmemory", "1"]);
    let (took, why) = on_air.refused(&newcomer);
    println!("refused after {took:.1?}: {why}");
    holds("nobody is cut while memory is full", secs(15), || on_air.nobody_was_cut());
    on_air.wait_renewed(secs(5));
    on_air.end_well();
}

#[test]
fn with_all_replicas_gone_live_ones_stay_on_and_new_ones_are_refused() {
    let on_air = OnAir::on(Store::Sentinel(Replicated::start(2, 3)), 10, &[]);
    let newcomer = on_air.fleet.address("newcomer");
    let Store::Sentinel(redis) = &on_air.fleet.store else { unreachable!("as started") };
    let replicas = redis.replicas();
    replicas.iter().for_each(|replica| replica.kill());
    let (took, why) = on_air.refused(&newcomer);
    println!("refused after {took:.1?}: {why}");
    holds("nobody is cut without replicas", scale(secs(25), secs(620)), || on_air.nobody_was_cut());
    replicas.iter().for_each(|replica| replica.restart());
    redis.wait_whole();
    on_air.wait_renewed(secs(15));
    on_air.end_well();
}
