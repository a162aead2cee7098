//! 10 000 live sessions on a real Redis, listed page by page while others start and end: who is live throughout is met exactly
//! once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onair_cluster::events::EndReason;
use onair_cluster::registry::redis::{RedisRegistry, RedisSettings};
use onair_cluster::registry::{
    Acquired, Batch, BatchReply, Claim, Confirmed, KeyRecord, Registry, RegistryError, Release, Renewal,
    Renewed, Takeover,
};
use onair_cluster::{Facts, LiveKeyId, NodeId, ProducerId, RoomId, SessionCard, SessionId, Shard, UnixMs};
use onair_manager::live_db::SqliteLiveDb;
use onair_testkit::redis::Redis;

use crate::support::{Api, Setup};

const SESSIONS: usize = 10_000;
/// Claims in one call.
const BATCH: usize = 250;
const PAGE: usize = 500;
const WALKS: usize = 5;

fn claim(room: &str) -> Claim {
    let room: RoomId = room.parse().unwrap();
    let live_key_id = LiveKeyId::random(&room);
    let record = KeyRecord {
        live_key_id: live_key_id.clone(),
        room_id: room.clone(),
        producer_id: ProducerId::parse("producer-1").unwrap(),
        takeover: Takeover::Idle,
        max_duration: None,
        max_bitrate: None,
        revoked: false,
        expires_at: UnixMs::now().plus(Duration::from_secs(3_600)),
    };
    Claim {
        session_id: SessionId::random(),
        room_id: room,
        live_key_id,
        node_id: NodeId::parse("ingest-1").unwrap(),
        client_addr: "192.0.2.7".parse().unwrap(),
        client_agent: "obs 30".to_owned(),
        // As from another issuer: no record has to be made first.
        issued: Some(record),
    }
}

/// Sessions in these rooms, which must be free.
async fn start(registry: &RedisRegistry, rooms: &[String]) -> Vec<SessionCard> {
    let claims = rooms.iter().map(|room| claim(room)).collect();
    let batch = |claims| Batch { claims, ..Batch::default() };
    let answers = answered(registry, claims, batch, |reply| reply.claims).await;
    let granted = answers.into_iter().map(|answer| match answer {
        Acquired::Granted(grant) => grant.card,
        other => panic!("{other:?}"),
    });
    granted.collect()
}

async fn renew(registry: &RedisRegistry, cards: &[SessionCard]) {
    let renewals = cards.iter().map(|card| Renewal { card: card.clone(), facts: Facts::default() }).collect();
    let batch = |renewals| Batch { renewals, ..Batch::default() };
    for answer in answered(registry, renewals, batch, |reply| reply.renewals).await {
        assert!(!matches!(answer, Renewed::Lost { .. }), "a session that was renewed in time is {answer:?}");
    }
}

async fn end(registry: &RedisRegistry, cards: Vec<SessionCard>) {
    let release = |card| Release { card, facts: Facts::default(), reason: EndReason::Unpublished };
    let batch = |releases| Batch { releases, ..Batch::default() };
    answered(registry, cards.into_iter().map(release).collect(), batch, |reply| reply.releases).await;
}

/// Asks until all is answered, as a node would: a machine that is busy is no Redis that is away, and asking again changes nothing.
async fn answered<I: Clone, T>(
    registry: &RedisRegistry,
    items: Vec<I>,
    batch: impl Fn(Vec<I>) -> Batch,
    of: impl Fn(BatchReply) -> Vec<Result<Confirmed<T>, RegistryError>>,
) -> Vec<T> {
    let patience = Instant::now() + Duration::from_secs(30);
    let mut answers: Vec<Option<T>> = items.iter().map(|_| None).collect();
    loop {
        let open: Vec<_> = (0..items.len()).filter(|n| answers[*n].is_none()).collect();
        if open.is_empty() {
            return answers.into_iter().flatten().collect();
        }
        let asked = batch(open.iter().map(|n| items[*n].clone()).collect());
        let mut failure = None;
        for (n, answer) in open.into_iter().zip(of(registry.commit(&asked).await)) {
            match answer {
                Ok(Confirmed { answer, .. }) => answers[n] = Some(answer),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            assert!(Instant::now() < patience, "{error}, for ever");
            // What is known to be away is refused at once: without a pause, nothing on this runtime would get to connect anew.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Sessions that come and go until it is over: in rooms of their own, before, between and behind all others, and again in the
/// same rooms. Returns how many there were.
async fn come_and_go(registry: Arc<RedisRegistry>, is_over: Arc<AtomicBool>) -> usize {
    let (mut count, mut round) = (0, 0);
    let mut last: Vec<SessionCard> = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let rooms: Vec<_> =
            (0..40).map(|n| format!("{}{n}-{}", ["A", "room-5", "z"][n % 3], round % 7)).collect();
        let started = start(&registry, &rooms).await;
        count += started.len();
        end(&registry, std::mem::replace(&mut last, started)).await;
        round += 1;
    }
    count
}

/// Renews all leases as nodes do, until it is over.
async fn hold(registry: Arc<RedisRegistry>, cards: Arc<Vec<SessionCard>>, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::SeqCst) {
        for some in cards.chunks(Batch::RENEWALS_MAX) {
            renew(&registry, some).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// From the first page to the last: how often each session was met, and how long each page took.
fn walk(api: &Api) -> (HashMap<String, usize>, Vec<Duration>) {
    let (mut met, mut took): (HashMap<String, usize>, _) = (HashMap::new(), Vec::new());
    let mut after = String::new();
    let started = Instant::now();
    loop {
        let began = Instant::now();
        let answer = api.get(&format!("/v1/sessions?limit={PAGE}{after}"));
        took.push(began.elapsed());
        // A machine so busy that Redis does not answer in time: a client is told, and asks for the same page again.
        if answer.status == 503 && started.elapsed() < Duration::from_secs(30) {
            assert_eq!(answer.code(), "registry_away");
            println!("a page was not to be had: 503");
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        let page = answer.expect(200).json;
        for item in page["items"].as_array().unwrap() {
            *met.entry(item["session_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let Some(next) = page["next"].as_str() else { return (met, took) };
        after = format!("&after={next}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_live_sessions_are_each_met_once_while_others_come_and_go() {
    let redis = Redis::start();
    let settings = RedisSettings::new(redis.url().parse().unwrap(), "onair".parse().unwrap());
    let mut metrics = prometheus_client::registry::Registry::default();
    let registry = RedisRegistry::connect(&settings, &mut metrics).await.unwrap();
    for shard in Shard::all() {
        registry.tick(shard, 1).await.unwrap();
        registry.recovered(shard, true).await.unwrap();
    }
    let setup = Setup { shared: Some(Arc::clone(&registry) as _), ..Setup::new() };
    let live_db = Arc::new(SqliteLiveDb::open(setup.dir.path()).await.unwrap());
    let api = setup.start_on(live_db).await.unwrap();

    let began = Instant::now();
    let rooms: Vec<_> = (0..SESSIONS).map(|n| format!("room-{n}")).collect();
    let mut cards: Vec<SessionCard> = Vec::new();
    for some in rooms.chunks(BATCH) {
        cards.extend(start(&registry, some).await);
        // The first are not to wait for the last.
        if cards.len().is_multiple_of(2_500) {
            for held in cards.chunks(Batch::RENEWALS_MAX) {
                renew(&registry, held).await;
            }
        }
    }
    println!("{SESSIONS} sessions granted in {:?}", began.elapsed());
    let (cards, is_over) = (Arc::new(cards), Arc::new(AtomicBool::new(false)));
    let holding = tokio::spawn(hold(Arc::clone(&registry), Arc::clone(&cards), Arc::clone(&is_over)));
    let churning = tokio::spawn(come_and_go(Arc::clone(&registry), Arc::clone(&is_over)));

    let mut all = Vec::new();
    for _ in 0..WALKS {
        let (met, took) = tokio::task::block_in_place(|| walk(&api));
        for card in cards.iter() {
            assert_eq!(met.get(&card.session_id.to_string()), Some(&1), "{card:?}");
        }
        assert!(met.values().all(|times| *times == 1), "none is met twice, however short it lasts");
        println!("a walk: {} sessions on {} pages of {PAGE}", met.len(), took.len());
        all.extend(took);
    }
    is_over.store(true, Ordering::SeqCst);
    holding.await.unwrap();
    println!("{} sessions came and went meanwhile", churning.await.unwrap());
    all.sort_unstable();
    println!(
        "a page of {PAGE}: p50 {:?}, p99 {:?}, max {:?} (HTTP, JSON and a comparison with the document included)",
        all[all.len() / 2],
        all[all.len() * 99 / 100],
        all[all.len() - 1]
    );
}
