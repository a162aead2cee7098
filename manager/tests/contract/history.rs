//! The list of broadcasts.

use onair_cluster::NodeId;
use onair_cluster::events::EndReason;
use onair_manager::live_db::{BroadcastFilter, BroadcastState, LiveDb, Position};

use super::{apply, at, card, ended, granted, live, producer, room};

pub(crate) async fn broadcasts_come_newest_first_page_by_page(db: &dyn LiveDb) {
    // Two start at each time, so that the id must decide.
    let events: Vec<_> = (0..40)
        .map(|n| {
            let card = card(&format!("r{}", n % 4), 10 * n + n);
            ended(&card, Some(at(n / 2)), at(1_000 + n), EndReason::Unpublished)
        })
        .collect();
    apply(db, &events, at(2_000)).await.unwrap();
    let all = db.broadcasts(&BroadcastFilter::default(), 100).await.unwrap();
    assert_eq!(all.len(), 40);
    let key = |row: &onair_manager::live_db::BroadcastRow| (row.started_at, row.broadcast_id.clone());
    assert!(all.windows(2).all(|pair| key(&pair[0]) > key(&pair[1])));
    let mut paged = Vec::new();
    let mut filter = BroadcastFilter::default();
    loop {
        let page = db.broadcasts(&filter, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.after =
            Some(Position { started_at: last.started_at, broadcast_id: last.broadcast_id.clone() });
        paged.extend(page);
    }
    assert_eq!(paged, all);
}

pub(crate) async fn filters_narrow_the_list(db: &dyn LiveDb) {
    let (a, b, c) = (card("a", 1), card("b", 2), card("c", 3));
    let elsewhere = super::SessionCard { node_id: NodeId::parse("node-2").unwrap(), ..c };
    apply(
        db,
        &[
            ended(&a, Some(at(1)), at(9), EndReason::Unpublished),
            granted(&b),
            live(&b, at(2)),
            granted(&elsewhere),
            live(&elsewhere, at(3)),
        ],
        at(10),
    )
    .await
    .unwrap();
    let rooms = async |filter: BroadcastFilter| {
        let rows = db.broadcasts(&filter, 10).await.unwrap();
        rows.into_iter().map(|row| row.room_id.to_string()).collect::<Vec<_>>().join(" ")
    };
    let any = BroadcastFilter::default;
    assert_eq!(rooms(any()).await, "c b a");
    assert_eq!(rooms(BroadcastFilter { room: Some(room("b")), ..any() }).await, "b");
    assert_eq!(rooms(BroadcastFilter { producer: Some(producer("p-a")), ..any() }).await, "a");
    let node = |name: &str| Some(NodeId::parse(name).unwrap());
    assert_eq!(rooms(BroadcastFilter { node: node("node-2"), ..any() }).await, "c");
    assert_eq!(rooms(BroadcastFilter { state: Some(BroadcastState::Live), ..any() }).await, "c b");
    assert_eq!(rooms(BroadcastFilter { state: Some(BroadcastState::Ended), ..any() }).await, "a");
    let both = BroadcastFilter { node: node("node-1"), state: Some(BroadcastState::Live), ..any() };
    assert_eq!(rooms(both).await, "b");
    assert_eq!(rooms(BroadcastFilter { room: Some(room("nowhere")), ..any() }).await, "");
}

pub(crate) async fn the_newest_epoch_of_each_shard_is_known(db: &dyn LiveDb) {
    assert_eq!(db.newest_epochs().await.unwrap(), []);
    let sessions = [card("a", 5), card("a", 90), card("a", 7), card("b", 8)];
    let events: Vec<_> = sessions.iter().map(|c| ended(c, None, at(99), EndReason::Unpublished)).collect();
    apply(db, &events, at(100)).await.unwrap();
    let mut newest = db.newest_epochs().await.unwrap();
    newest.sort();
    assert_eq!(newest, [(room("a"), super::Epoch(90)), (room("b"), super::Epoch(8))]);
}
