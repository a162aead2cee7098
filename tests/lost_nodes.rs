//! Nodes that die and nodes that sleep: their publishers are on air again elsewhere by their own retries, each end is told once,
//! and a sleeper that wakes shows nobody what is no longer its own.

mod support;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use onair_cluster::time::BootTime;
use onair_testkit::redis::Redis;
use support::crowd::Attempt;
use support::{Address, Crowd, Fleet, LONG, Store, eventually, secs};

/// Each producer's encoder, of which the first attempt goes to `first` and all others to `then`.
fn encoders(
    crowd: &Crowd,
    addresses: &[Address],
    nodes: [std::net::SocketAddr; 2],
) -> Vec<support::crowd::Encoder> {
    let [first, then] = nodes;
    let mut order = vec![then; 40];
    order[0] = first;
    addresses.iter().map(|address| crowd.encoder(address, &order)).collect()
}

fn wait_on_air(fleet: &Fleet, count: usize) {
    eventually("everybody on air and on record", secs(60), || {
        let live =
            fleet.ledger().sessions.iter().filter(|s| s.live_at.is_some() && s.ended_at.is_none()).count();
        (live == count).then_some(())
    });
}

/// How long each came back after `since`, and by which attempt.
fn print_returns(since: BootTime, attempts: &[Attempt]) {
    let mut by_attempt: BTreeMap<usize, Vec<Duration>> = BTreeMap::new();
    let mut tries: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in attempts.iter().filter(|a| a.asked_at > since) {
        let tried = tries.entry(&attempt.room).or_default();
        *tried += 1;
        if let Some(started) = attempt.started_at {
            by_attempt.entry(*tried).or_default().push(started.since(since));
        }
    }
    for (tried, mut times) in by_attempt {
        times.sort();
        let (first, last) = (times[0], times[times.len() - 1]);
        println!(
            "back at attempt {tried}: {} publishers, {first:.1?} to {last:.1?} after the kill",
            times.len()
        );
    }
}

#[test]
fn publishers_of_a_killed_node_are_back_on_another_by_their_own_retries() {
    const PUBLISHERS: usize = 200;
    let mut fleet = Fleet::start(Store::Single(Redis::start()), 2);
    let crowd = Crowd::new();
    let addresses = fleet.addresses(PUBLISHERS);
    let encoders = encoders(&crowd, &addresses, [fleet.nodes[0].rtmp, fleet.nodes[1].rtmp]);
    wait_on_air(&fleet, PUBLISHERS);

    let killed_at = BootTime::now();
    fleet.nodes[0].kill();
    eventually("everybody on air again", secs(60), || {
        let back = crowd.on_air().iter().filter(|a| a.started_at > Some(killed_at)).count();
        (back == PUBLISHERS).then_some(())
    });
    print_returns(killed_at, &crowd.attempts());
    wait_on_air(&fleet, PUBLISHERS);

    encoders.into_iter().for_each(|encoder| encoder.stop(&crowd));
    let ledger = fleet.wait_ledger("every end on record", LONG, |ledger| {
        ledger.sessions.len() >= 2 * PUBLISHERS && ledger.sessions.iter().all(|s| s.ended_at.is_some())
    });
    assert_eq!(ledger.faults_of_messages(), Vec::<String>::new());
    for address in &addresses {
        let told: Vec<_> = ledger
            .of_room(&address.room)
            .iter()
            .map(|s| (s.node_id.as_str(), s.end_reason.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(told, [("a", "lost"), ("b", "unpublished")], "{}", address.room);
    }
    assert_eq!(ledger.messages.len(), 4 * PUBLISHERS, "one start and one end each");
}

#[test]
fn a_node_frozen_for_15_seconds_shows_nobody_elsewhere_a_byte_after_it_wakes() {
    const ROOMS: usize = 20;
    let fleet = Fleet::start(Store::Single(Redis::start()), 2);
    let crowd = Crowd::new();
    let addresses = fleet.addresses(ROOMS);
    let (a, b) = (&fleet.nodes[0], &fleet.nodes[1]);
    let first = encoders(&crowd, &addresses, [a.rtmp, b.rtmp]);
    wait_on_air(&fleet, ROOMS);
    let players: Vec<_> = addresses.iter().map(|address| crowd.player(&address.room, b.rtmp)).collect();
    eventually("media at every player elsewhere", LONG, || {
        players.iter().all(|p| p.watches().is_some()).then_some(())
    });
    let old: Vec<_> = crowd.on_air();

    a.freeze();
    let frozen_at = BootTime::now();
    // Half of the rooms get a new publisher while their node sleeps, the others find nobody who wants them.
    let elsewhere = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    let newcomers: Vec<_> = addresses
        .iter()
        .step_by(2)
        .map(|address| crowd.encoder_from(elsewhere, address, &[b.rtmp]))
        .collect();
    eventually("the newcomers on air", LONG, || {
        let new = crowd.on_air().iter().filter(|attempt| attempt.started_at > Some(frozen_at)).count();
        (new >= newcomers.len()).then_some(())
    });
    // The sleep itself is a length of time.
    std::thread::sleep(secs(15).saturating_sub(BootTime::now().since(frozen_at)));
    let thawed_at = BootTime::now();
    a.thaw();

    eventually("the old publishers to be cut", LONG, || {
        let attempts = crowd.attempts();
        let is_cut = |o: &Attempt| attempts.iter().any(|a| a.id == o.id && a.over_at.is_some());
        old.iter().all(is_cut).then_some(())
    });
    println!("cut within {:.1?} of waking", BootTime::now().since(thawed_at));
    newcomers.into_iter().for_each(|encoder| encoder.stop(&crowd));
    first.into_iter().for_each(|encoder| encoder.stop(&crowd));
    let ledger = fleet.wait_ledger("every end on record", LONG, |ledger| {
        ledger.sessions.iter().all(|s| s.ended_at.is_some())
    });
    assert_eq!(ledger.faults_of_messages(), Vec::<String>::new());
    let sessions = ledger.by_attempt();
    for attempt in &old {
        let [session] = sessions[&attempt.id][..] else { panic!("one session: {:?}", sessions[&attempt.id]) };
        assert_eq!(session.end_reason.as_deref(), Some("lost"), "{session:?}");
    }
    for player in players {
        let seen = player.stop(&crowd);
        for run in &seen.runs {
            let is_old = old.iter().any(|attempt| attempt.id == run.attempt);
            assert!(!is_old || run.last_at < thawed_at, "a sleeper's media arrived after it woke: {run:?}");
        }
    }
}
