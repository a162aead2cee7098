//! The harness's own check, on one node: what a crowd of encoders and players lived through is what the Live DB says.

mod support;

use support::crowd::Crowd;
use support::ledger::Ledger;
use support::{LONG, Node, eventually, secs};

#[test]
fn attempts_players_and_the_live_db_tell_the_same_story() {
    let node = Node::start();
    let crowd = Crowd::new();
    let addresses: Vec<_> = (0..5).map(|n| node.address(&format!("producer-{n}"))).collect();
    let players: Vec<_> = addresses.iter().map(|a| crowd.player(&a.room, node.rtmp)).collect();
    for round in 1..=2 {
        let encoders: Vec<_> = addresses.iter().map(|a| crowd.encoder(a, &[node.rtmp])).collect();
        eventually("media of every room at its player", LONG, || {
            let is_watched = |(a, p): (&support::Address, &support::crowd::Watching)| {
                p.watches().is_some() && p.watches() == crowd.last_attempt(&a.room).map(|attempt| attempt.id)
            };
            let has_all = crowd.attempts().len() == round * addresses.len();
            (has_all && addresses.iter().zip(&players).all(is_watched)).then_some(())
        });
        encoders.into_iter().for_each(|encoder| encoder.stop(&crowd));
    }
    let ledger = eventually("every end on record", secs(10), || {
        let ledger = Ledger::read(&node.data_dir());
        (ledger.sessions.iter().filter(|s| s.ended_at.is_some()).count() == 10).then_some(ledger)
    });
    assert_eq!(ledger.faults_of_messages(), Vec::<String>::new());
    let sessions = ledger.by_attempt();
    for attempt in crowd.attempts() {
        assert!(attempt.started_at.is_some() && attempt.trouble.is_none(), "{attempt:?}");
        let [session] = sessions[&attempt.id][..] else { panic!("one session each: {sessions:?}") };
        assert_eq!(session.end_reason.as_deref(), Some("unpublished"));
    }
    for (address, player) in addresses.iter().zip(players) {
        let seen = player.stop(&crowd).attempts();
        let told: Vec<_> = ledger.of_room(&address.room).iter().map(|s| s.client_agent.clone()).collect();
        assert_eq!(seen.iter().map(|id| format!("onair-test/{id}")).collect::<Vec<_>>(), told);
    }
}
