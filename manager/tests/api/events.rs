//! The event feed: what is told, to whom, and that whoever comes back misses nothing and sees nothing twice.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use onair_cluster::UnixMs;
use onair_cluster::events::EndReason;
use onair_manager::config::{FeedLimits, Retention};
use onair_manager::live_db::{LiveDb, SqliteLiveDb};
use serde_json::json;
use tokio::net::TcpSocket;

use crate::away;
use crate::listener::Listener;
use crate::support::{Api, Session, Setup, TOKEN, eventually};

const BRISK: Duration = Duration::from_millis(50);

async fn start(feed: FeedLimits) -> Api {
    Setup { feed, ..Setup::new() }.start().await
}

async fn listen(api: &Api, query: &str, last_id: Option<&str>) -> Listener {
    let listener = Listener::open(api.handle.http_addr(), TOKEN, query, last_id).await;
    assert_eq!(listener.status, 200, "{}", listener.head);
    listener
}

/// From now on; returns once it is known what now is.
async fn listen_now(api: &Api, query: &str) -> Listener {
    let mut listener = listen(api, query, None).await;
    while listener.last_id.is_none() {
        listener.block().await.unwrap();
    }
    listener
}

/// A session of `room` that goes live and ends: two events.
async fn broadcast(api: &Api, room: &str) -> [String; 2] {
    let session = Session::of_room(&api.registry, room, "node-1").await;
    let id = session.id();
    session.live(&api.registry, UnixMs::now()).await.end(&api.registry, EndReason::Unpublished).await;
    [format!("{id}/live"), format!("{id}/ended")]
}

fn counter(api: &Api, name: &str) -> String {
    let text = api.get("/metrics").text;
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.rsplit(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_client_hears_what_happens_from_now_on_as_cloud_events() {
    let api = Api::start().await;
    let mut earlier = listen_now(&api, "").await;
    broadcast(&api, "before").await;
    earlier.event_ids(2).await;
    let mut listener = listen(&api, "", None).await;
    for header in ["content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no"] {
        assert!(listener.head.contains(header), "{}", listener.head);
    }
    assert!(!listener.head.contains("content-encoding"), "{}", listener.head);
    let first = listener.block().await.unwrap();
    assert!((1_000..=3_000).contains(&first.retry.unwrap()), "{first:?}");

    let session = api.on_air("anna").await;
    let started = listener.event().await;
    assert_eq!(started.event.as_deref(), Some("onair.broadcast.started.v1"));
    assert!(started.id.is_some());
    let (data, at) = (started.data.unwrap(), session.facts.live_at.unwrap().to_rfc3339());
    assert_eq!(data["specversion"], "1.0");
    assert_eq!(data["id"], format!("{}/live", session.id()));
    assert_eq!(
        (&data["type"], &data["source"]),
        (&json!("onair.broadcast.started.v1"), &json!("/clusters/onair"))
    );
    assert_eq!((&data["subject"], &data["time"]), (&json!(session.room()), &json!(at)));
    assert_eq!(data["datacontenttype"], "application/json");
    assert_eq!((&data["data"]["room_id"], &data["data"]["started_at"]), (&data["subject"], &data["time"]));
    assert_eq!(data["data"]["producer_id"], "anna");

    let id = session.id();
    session.end(&api.registry, EndReason::Timeout).await;
    let ended = listener.event().await;
    assert_eq!(ended.event.as_deref(), Some("onair.broadcast.ended.v1"));
    assert_eq!(ended.ce("id"), format!("{id}/ended"));
    assert_eq!(ended.data.unwrap()["data"]["end_reason"], "timeout");
}

#[tokio::test]
async fn whoever_comes_back_misses_nothing_and_sees_nothing_twice_also_after_a_restart_of_the_manager() {
    let api = Api::start().await;
    let mut listener = listen_now(&api, "").await;
    let [a, b] = broadcast(&api, "r1").await;
    assert_eq!(listener.event_ids(1).await, [a]);
    let last_id = listener.last_id.clone();
    drop(listener);

    let mut expected = vec![b];
    expected.extend(broadcast(&api, "r1").await);
    expected.extend(broadcast(&api, "r1").await);
    let mut again = listen(&api, "", last_id.as_deref()).await;
    assert_eq!(again.event_ids(5).await, expected);
    let last_id = again.last_id.clone();

    api.handle.stop(Duration::from_secs(20)).await;
    assert!(again.drain().await.iter().all(|block| block.data.is_none()));
    let api = Setup { dir: api.dir, ..Setup::new() }.start().await;
    // More than the window begins with, so that the Live DB is asked.
    let mut expected = Vec::new();
    for _ in 0..40 {
        expected.extend(broadcast(&api, "r1").await);
    }
    api.stored().await;
    api.handle.stop(Duration::from_secs(20)).await;
    let api = Setup { dir: api.dir, ..Setup::new() }.start().await;
    // The parameter is for clients that cannot set the header, which goes before.
    let query = format!("?last_event_id={}", last_id.clone().unwrap());
    let mut by_parameter = listen(&api, &query, None).await;
    assert_eq!(by_parameter.event_ids(80).await, expected);
    let mut by_both = listen(&api, "?last_event_id=nonsense", last_id.as_deref()).await;
    assert_eq!(by_both.event_ids(80).await, expected);
    assert_eq!(by_both.last_id, by_parameter.last_id);
    // And from the past into the present without a seam.
    let more = broadcast(&api, "r2").await;
    assert_eq!(by_both.event_ids(2).await, more);
}

#[tokio::test]
async fn filters_leave_out_events_but_not_their_ids() {
    let feed = FeedLimits { heartbeat: BRISK, ..FeedLimits::default() };
    let api = start(feed).await;
    let mut of_room = listen_now(&api, "?room=r2").await;
    let mut of_producer = listen_now(&api, "?producer=p-r2").await;
    let mut of_type = listen_now(&api, "?type=broadcast.ended").await;
    let mut of_full_type = listen_now(&api, "?type=onair.broadcast.started.v1&room=r2").await;
    let mut of_node = listen_now(&api, "?node=node-2").await;
    let before = of_node.last_id.clone();
    let [a, b] = broadcast(&api, "r1").await;
    let [c, d] = broadcast(&api, "r2").await;
    assert_eq!(of_room.event_ids(2).await, [c.clone(), d.clone()]);
    assert_eq!(of_producer.event_ids(2).await, [c.clone(), d.clone()]);
    let mut ends = of_type.event_ids(2).await;
    ends.sort();
    let mut expected = [b, d.clone()];
    expected.sort();
    assert_eq!(ends, expected);
    assert_eq!(of_full_type.event_ids(1).await, std::slice::from_ref(&c));

    // Nothing for this one, and yet it comes back to where it was.
    let mut of_all = listen(&api, "", before.as_deref()).await;
    let mut all = of_all.event_ids(4).await;
    all.sort();
    let mut expected = [a, expected[0].clone(), expected[1].clone(), c];
    expected.sort();
    assert_eq!(all, expected);
    while of_node.last_id != of_all.last_id {
        let block = of_node.block().await.unwrap();
        assert_eq!(block.data, None);
    }

    let refused = api.get("/v1/events?rooms=r").expect(400);
    assert_eq!((refused.code(), &refused.json["parameter"]), ("bad_parameter", &json!("rooms")));
    api.get("/v1/events?type=granted").expect(400);
    api.get("/v1/events?room=a%20b").expect(400);
}

#[tokio::test]
async fn what_was_purged_is_not_passed_over_in_silence() {
    let api = Api::start().await;
    let last_id = listen_now(&api, "").await.last_id;
    broadcast(&api, "r").await;
    api.stored().await;
    api.handle.stop(Duration::from_secs(20)).await;
    let live_db = SqliteLiveDb::open(api.dir.path()).await.unwrap();
    let later = UnixMs::now().plus(Duration::from_secs(1_000 * 86_400));
    assert_eq!(live_db.purge(&Retention::default(), later, 1_000).await.unwrap().outbox, 2);
    live_db.close().await;

    let api = Setup { dir: api.dir, ..Setup::new() }.start().await;
    let mut listener = listen(&api, "", last_id.as_deref()).await;
    let reset = listener.event().await;
    assert_eq!(reset.event.as_deref(), Some("reset"));
    let data = reset.data.unwrap();
    assert_eq!((&data["reason"], data["position"].as_str()), (&json!("purged"), reset.id.as_deref()));
    let events = broadcast(&api, "r").await;
    assert_eq!(listener.event_ids(2).await, events, "then it goes on from now");
    let mut again = listen(&api, "", reset.id.as_deref()).await;
    assert_eq!(again.event_ids(2).await, events, "and can be come back to");
    assert_eq!(counter(&api, "onair_manager_feed_resets_total{reason=\"purged\"}"), "1");
}

#[tokio::test]
async fn an_id_that_the_live_db_cannot_know_is_answered_with_a_reset() {
    let api = Api::start().await;
    let mut listener = listen_now(&api, "").await;
    broadcast(&api, "r").await;
    listener.event_ids(2).await;
    let other = Api::start().await;
    let mut listener = listen(&other, "", listener.last_id.as_deref()).await;
    assert_eq!(listener.event().await.data.unwrap()["reason"], "ahead");
    let events = broadcast(&other, "r").await;
    assert_eq!(listener.event_ids(2).await, events);

    for bad in ["nonsense", "AQ", &"A".repeat(5_000), "ä"] {
        let mut listener = listen(&other, "", Some(bad)).await;
        assert_eq!(listener.event().await.data.unwrap()["reason"], "unreadable");
    }
    let mut fresh = listen(&other, "?last_event_id=", Some("")).await;
    let first = fresh.block().await.unwrap();
    assert!(first.data.is_none(), "an empty id is none");
}

#[tokio::test]
async fn there_are_only_so_many_clients() {
    let feed = FeedLimits { clients_max: 2, heartbeat: BRISK, ..FeedLimits::default() };
    let api = start(feed).await;
    let (one, _two) = (listen_now(&api, "").await, listen_now(&api, "").await);
    let refused = api.get("/v1/events").expect(503);
    assert_eq!((refused.code(), refused.header("retry-after")), ("feed_full", "2"));
    assert_eq!(counter(&api, "onair_manager_feed_clients "), "2");
    drop(one);
    eventually("a free place", async || counter(&api, "onair_manager_feed_clients ") == "1").await;
    listen_now(&api, "").await;
}

#[tokio::test]
async fn head_has_no_body_and_a_wrong_token_no_feed() {
    let api = Api::start().await;
    let head = api.ask("HEAD", "/v1/events", None).expect(200);
    assert_eq!((head.header("content-type"), head.text.as_str()), ("text/event-stream", ""));
    let refused = Listener::open(api.handle.http_addr(), "wrong", "", None).await;
    assert_eq!(refused.status, 401);
    api.ask("POST", "/v1/events", None).expect(405);
}

#[tokio::test]
async fn who_reads_too_slowly_is_sent_away_and_comes_back_to_where_it_was() {
    let feed = FeedLimits { window_events_max: 200, ..FeedLimits::default() };
    let api = start(feed).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut slow = Listener::open_with(socket, api.handle.http_addr(), TOKEN, "", None).await;
    while slow.last_id.is_none() {
        slow.block().await.unwrap();
    }
    let mut prompt = listen_now(&api, "").await;
    let mut expected = Vec::new();
    // Until what it was sent fills the sockets between, and the window has gone on without it.
    let sent = || counter(&api, "onair_manager_feed_events_sent_total").parse::<usize>().unwrap();
    while 2 * expected.len() < sent() + 400 {
        assert!(expected.len() < 50_000, "nothing holds it up");
        for _ in 0..20 {
            expected.extend(broadcast(&api, "r").await);
        }
        let seen = prompt.event_ids(40).await;
        assert_eq!(seen, expected[expected.len() - 40..]);
    }
    println!("one client read none of {} events", expected.len());
    let mut seen = Vec::new();
    for block in slow.drain().await {
        if block.data.is_some() {
            seen.push(block.ce("id"));
        }
    }
    assert!(slow.last_comment.starts_with("lagged"), "{}", slow.last_comment);
    assert_eq!(counter(&api, "onair_manager_feed_clients_gone_total{why=\"lagged\"}"), "1");
    assert!(seen.len() < expected.len());
    let mut again = listen(&api, "", slow.last_id.as_deref()).await;
    seen.extend(again.event_ids(expected.len() - seen.len()).await);
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_stop_is_quick_and_sends_every_client_away_in_good_order() {
    let api = Api::start().await;
    let mut listeners = Vec::new();
    for _ in 0..50 {
        listeners.push(listen_now(&api, "").await);
    }
    let began = Instant::now();
    api.handle.stop(Duration::from_secs(20)).await;
    println!("stopped with 50 clients in {:?}", began.elapsed());
    for listener in &mut listeners {
        assert!(listener.drain().await.iter().all(|block| block.data.is_none()));
        assert!(listener.last_comment.starts_with("stopping"), "{}", listener.last_comment);
    }
}

#[tokio::test]
async fn nobody_stays_for_ever() {
    let feed = FeedLimits { stay_max: BRISK, ..FeedLimits::default() };
    let api = start(feed).await;
    let mut listener = listen_now(&api, "").await;
    let last_id = listener.last_id.clone();
    listener.drain().await;
    assert!(listener.last_comment.starts_with("time_up"), "{}", listener.last_comment);
    let events = broadcast(&api, "r").await;
    api.stored().await;
    let mut again = listen(&api, "", last_id.as_deref()).await;
    assert_eq!(again.event_ids(2).await, events);
}

#[tokio::test]
async fn with_the_live_db_away_the_feed_stays_open_and_events_come_when_it_is_back() {
    let feed = FeedLimits { heartbeat: BRISK, ..FeedLimits::default() };
    let (api, live_db) = away::start_with(Setup { feed, ..Setup::new() }).await;
    let mut listener = listen_now(&api, "").await;
    let begun_before = listener.last_id.clone();
    live_db.is_away.store(true, Ordering::SeqCst);
    let session =
        Session::of_room(&api.registry, "r", "node-1").await.live(&api.registry, UnixMs::now()).await;
    // One that comes meanwhile, too, and one that brings an id of another Manager that is not so far behind.
    let mut during = listen(&api, "", begun_before.as_deref()).await;
    for listener in [&mut listener, &mut during] {
        for _ in 0..3 {
            assert_eq!(listener.block().await.unwrap().data, None);
        }
    }
    live_db.is_away.store(false, Ordering::SeqCst);
    for listener in [&mut listener, &mut during] {
        assert_eq!(listener.event_ids(1).await, [format!("{}/live", session.id())]);
    }
}
