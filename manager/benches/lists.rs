//! How long every list call of the PostgreSQL Live DB takes in a large cluster: 100 000 rooms, 1 000 000 past broadcasts,
//! 10 000 on air. Each with every filter, at the first page and deep in the list. Prints p50 and p99 of each; what exceeds
//! 50 ms is printed with its plan, from the server's log.
//!
//! `cargo bench -p onair-manager --bench lists`. Filling takes a few minutes.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench is no interface, and says by panicking that it cannot go on"
)]

use std::time::{Duration, Instant};

use onair_cluster::{LiveKeyId, NodeId, ProducerId, RoomId, Shard, UnixMs};
use onair_manager::live_db::{
    Addresses, AuditAction, AuditFilter, AuditLog, AuditRow, BroadcastFilter, BroadcastState, Catalogue,
    History, KeyFilter, KeyPosition, KeyState, Ledger, LiveDbError, Outbox, Position, PostgresLiveDb,
    PostgresOptions, TotalsOf,
};
use onair_testkit::postgres::{Options, Postgres};
use rand::Rng;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const ROOMS: u64 = 100_000;
const PAST: u64 = 1_000_000;
const LIVE: u64 = 10_000;
const T0: u64 = 1_700_000_000_000;
/// Calls of each kind.
const CALLS: usize = 400;
const PAGE: usize = 50;
const GOAL: Duration = Duration::from_millis(50);

/// One room in fifty broadcasts is of `room-0`, so that one room has very many; the first 50 are of `node-rare`, which has
/// had none since; all that are on air began after all that are over.
const FILL: &[(&str, &str, u64)] = &[
    ("producer", "SELECT 'p-' || n, $T0 FROM generate_series($FROM::bigint, $TO) AS n", ROOMS),
    ("room", "SELECT 'room-' || n, 'p-' || n, $T0 FROM generate_series($FROM::bigint, $TO) AS n", ROOMS),
    (
        // Each room has had four: the first is over, the second revoked in one room of ten.
        "live_key",
        "SELECT lpad((n % 64)::text, 2, '0') || md5(n::text), 'room-' || n / 4, 'p-' || n / 4, 'idle', NULL, $T0 + n, \
         CASE WHEN n % 4 = 0 THEN $T0 - 1 ELSE $T0 + 100000000000 END, \
         CASE WHEN n % 40 = 1 THEN $T0 + n END, CASE WHEN n % 40 = 1 THEN 'asked' END, NULL \
         FROM generate_series($FROM::bigint, $TO) AS n",
        4 * ROOMS,
    ),
    (
        "audit",
        "SELECT lpad(to_hex($T0 + n), 12, '0') || substr(md5(n::text), 1, 20), $T0 + n, 'api_token', 'caller-' || n % 100, NULL, \
         'admin', CASE WHEN n % 1000 = 0 THEN 'room_held' ELSE 'room_ended' END, 'room-' || n % 5000, '{}', 'r', NULL \
         FROM generate_series($FROM::bigint, $TO) AS n",
        PAST / 2,
    ),
    (
        "room_totals",
        "SELECT 'room-' || n, 'p-' || n, 10, 1, 1 FROM generate_series($FROM::bigint, $TO) AS n",
        ROOMS,
    ),
    (
        "broadcast",
        "SELECT md5(n::text), 'room-' || room, 'p-' || room, md5(n::text), n, node, $T0 + n * 100, \
         $T0 + n * 100 + 60000, $T0 + n * 100 + 60001, 'unpublished' FROM (SELECT n, \
         CASE WHEN n % 50 = 0 THEN 0 ELSE n * 7919 % $ROOMS END AS room, \
         CASE WHEN n < 50 THEN 'node-rare' ELSE 'node-' || n % 20 END AS node \
         FROM generate_series($FROM::bigint, $TO) AS n) AS made",
        PAST,
    ),
    (
        "broadcast",
        "SELECT md5('live' || n), 'room-' || n * 10, 'p-' || n * 10, md5('live' || n), n + $PAST, 'node-' || n % 20, \
         $T0 + ($PAST + n) * 100, NULL, NULL, NULL FROM generate_series($FROM::bigint, $TO) AS n",
        LIVE,
    ),
    (
        "session",
        "SELECT session_id, epoch % 64, room_id, producer_id, '00key', epoch, node_id, '192.0.2.7', 'bench', started_at, \
         started_at, started_at, '{}', ended_at, detected_at, end_reason FROM broadcast \
         WHERE epoch BETWEEN $FROM AND $TO",
        PAST + LIVE,
    ),
    (
        "outbox",
        "SELECT n % 64, n / 64 + 1, md5(n::text) || '/live', 'room-' || n % $ROOMS, n, 'onair.broadcast.started.v1', \
         '{\"room_id\":\"a\",\"filler\":\"' || repeat('x', 400) || '\"}', $T0 + n, \
         CASE WHEN n < 190000 THEN $T0 + n END FROM generate_series($FROM::bigint, $TO) AS n",
        200_000,
    ),
    (
        "hold",
        "SELECT 'room-' || n, $T0 + 100000000000, '', $T0 FROM generate_series($FROM::bigint, $TO) AS n",
        1_000,
    ),
];

async fn fill(url: &str) {
    let mut c = PgConnection::connect(url).await.unwrap();
    for (table, select, count) in FILL {
        let began = Instant::now();
        for from in (0..*count).step_by(100_000) {
            let to = (from + 100_000).min(*count) - 1;
            let replaced = [("$FROM", from), ("$TO", to), ("$T0", T0), ("$ROOMS", ROOMS), ("$PAST", PAST)];
            let sql = replaced.iter().fold(format!("INSERT INTO {table} {select}"), |sql, (name, value)| {
                sql.replace(name, &value.to_string())
            });
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut c).await.unwrap();
        }
        println!("{table}: {count} rows in {:.1?}", began.elapsed());
    }
    let counters = "UPDATE shard_owner SET last_seq = 3125, unshipped = 156; VACUUM ANALYZE";
    for statement in counters.split("; ") {
        sqlx::raw_sql(statement).execute(&mut c).await.unwrap();
    }
    c.close().await.unwrap();
}

fn room(n: u64) -> RoomId {
    RoomId::parse(&format!("room-{n}")).unwrap()
}

fn any(below: u64) -> u64 {
    rand::rng().random_range(0..below)
}

/// One in ten is the room with very many.
fn some_room() -> u64 {
    if any(10) == 0 { 0 } else { any(ROOMS) }
}

/// One in ten is the node without anything recent.
fn some_node() -> NodeId {
    NodeId::parse(&if any(10) == 0 { "node-rare".to_owned() } else { format!("node-{}", any(20)) }).unwrap()
}

struct Bench {
    db: PostgresLiveDb,
    server: Postgres,
    is_slow: bool,
}

impl Bench {
    async fn time<T>(&mut self, name: &str, call: impl AsyncFn(&PostgresLiveDb) -> Result<T, LiveDbError>) {
        let logged = self.server.log().len();
        let mut times = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let began = Instant::now();
            call(&self.db).await.unwrap();
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let (p50, p99, max) = (times[CALLS / 2], times[CALLS * 99 / 100], times[CALLS - 1]);
        println!("{name:<60} p50 {p50:>9.1?}  p99 {p99:>9.1?}  max {max:>9.1?}");
        if p99 > GOAL {
            self.is_slow = true;
            println!("--- over {GOAL:?}; what the server says ---\n{}", &self.server.log()[logged..]);
        }
    }

    async fn broadcasts(&mut self) {
        let states =
            [(None, ""), (Some(BroadcastState::Live), " live"), (Some(BroadcastState::Ended), " ended")];
        for bits in 0..8 {
            for (state, of_state) in states {
                for depth in ["first page", "deep"] {
                    let [by_room, by_producer, by_node] = [bits & 1 > 0, bits & 2 > 0, bits & 4 > 0];
                    let filter = || {
                        let n = some_room();
                        let after = (depth == "deep").then(|| Position {
                            started_at: UnixMs(T0 + 100 * any(PAST + LIVE)),
                            broadcast_id: "8".to_owned(),
                        });
                        BroadcastFilter {
                            room: by_room.then(|| room(n)),
                            producer: by_producer.then(|| ProducerId::parse(&format!("p-{n}")).unwrap()),
                            node: by_node.then(some_node),
                            state,
                            after,
                            ..BroadcastFilter::default()
                        }
                    };
                    let word = |is_on, word| if is_on { word } else { "" };
                    let name = format!(
                        "broadcasts{}{}{}{of_state}, {depth}",
                        word(by_room, " room"),
                        word(by_producer, " producer"),
                        word(by_node, " node"),
                    );
                    self.time(&name, async |db| db.broadcasts(&filter(), PAGE).await).await;
                }
            }
        }
    }

    async fn keys(&mut self) {
        let states = [None, Some(KeyState::Active), Some(KeyState::Revoked), Some(KeyState::Expired)];
        for state in states {
            for of in ["", " of a room", " of a producer"] {
                for depth in ["first page", "deep"] {
                    let filter = || {
                        let n = any(ROOMS);
                        let producer = ProducerId::parse(&format!("p-{n}")).unwrap();
                        KeyFilter {
                            room: (of == " of a room").then(|| room(n)),
                            producer: (of == " of a producer").then_some(producer),
                            state,
                            now: UnixMs(T0),
                            after: (depth == "deep").then(|| KeyPosition {
                                created_at: UnixMs(T0 + any(4 * ROOMS)),
                                live_key_id: LiveKeyId::parse("00").unwrap(),
                            }),
                        }
                    };
                    let name = format!("key list{of} {state:?}, {depth}");
                    self.time(&name, async |db| db.key_list(&filter(), PAGE).await).await;
                }
            }
        }
    }

    async fn audit(&mut self) {
        for bits in 0..8 {
            for depth in ["first page", "deep"] {
                let [by_action, by_caller, by_subject] = [bits & 1 > 0, bits & 2 > 0, bits & 4 > 0];
                let filter = || AuditFilter {
                    action: by_action.then_some(AuditAction::RoomHeld),
                    caller_id: by_caller.then(|| format!("caller-{}", any(100))),
                    subject: by_subject.then(|| format!("room-{}", any(5_000))),
                    after: (depth == "deep").then(|| AuditRow::first_id_at(UnixMs(T0 + any(PAST / 2)))),
                    ..AuditFilter::default()
                };
                let word = |is_on, word| if is_on { word } else { "" };
                let name = format!(
                    "audit{}{}{}, {depth}",
                    word(by_action, " action"),
                    word(by_caller, " caller"),
                    word(by_subject, " subject")
                );
                self.time(&name, async |db| db.audit(&filter(), PAGE).await).await;
            }
        }
    }

    async fn others(&mut self) {
        let producer = || ProducerId::parse(&format!("p-{}", any(ROOMS))).unwrap();
        self.time("producers, first page", async |db| db.producers(None, PAGE).await).await;
        self.time("producers, deep", async |db| db.producers(Some(&producer()), PAGE).await).await;
        let since = || BroadcastFilter {
            since: Some(UnixMs(T0 + 100 * any(PAST / 2))),
            until: Some(UnixMs(T0 + 100 * (PAST / 2 + any(PAST / 2)))),
            ..BroadcastFilter::default()
        };
        self.time("broadcasts between two times", async |db| db.broadcasts(&since(), PAGE).await).await;
        let now = UnixMs(T0 + 1);
        let key = || LiveKeyId::parse(&format!("{:02}8", any(64))).unwrap();
        let shard = || Shard::new(u8::try_from(any(64)).unwrap()).unwrap();
        self.time("keys, first page", async |db| db.keys(None, PAGE, now).await).await;
        self.time("keys, deep", async |db| db.keys(Some(&key()), PAGE, now).await).await;
        self.time("holds, first page", async |db| db.holds(None, PAGE, now).await).await;
        self.time("holds, deep", async |db| db.holds(Some(&room(any(1_000))), PAGE, now).await).await;
        self.time("room", async |db| db.room(&room(any(ROOMS))).await).await;
        self.time("totals of everyone", async |db| db.totals(&TotalsOf::Everyone).await).await;
        self.time("totals of a room", async |db| db.totals(&TotalsOf::Room(room(some_room()))).await).await;
        let of_producer = || TotalsOf::Producer(producer());
        self.time("totals of a producer", async |db| db.totals(&of_producer()).await).await;
        self.time("open sessions of a shard", async |db| db.open_sessions(shard()).await).await;
        self.time("newest epochs", async |db| db.newest_epochs().await).await;
        self.time("positions", async |db| db.positions().await).await;
        self.time("quarantine", async |db| db.quarantine(0, PAGE).await).await;
        self.time("outbox: unshipped", async |db| db.unshipped(shard(), 256).await).await;
        self.time("outbox: oldest unshipped", async |db| db.oldest_unshipped().await).await;
        self.time("outbox: how many unshipped", async |db| db.unshipped_count().await).await;
        self.time("outbox: feed", async |db| db.feed(shard(), any(3_000), 256).await).await;
        self.time("outbox: span", async |db| db.feed_span().await).await;
        let all: Vec<_> = Shard::all().map(|shard| (shard, 3_100)).collect();
        self.time("outbox: feed of all shards", async |db| db.feed_all(&all, 16).await).await;
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = Options::new()
        .config("session_preload_libraries", "'auto_explain'")
        .config("auto_explain.log_min_duration", "'50ms'")
        .config("shared_buffers", "'256MB'");
    let server = Postgres::with(&options);
    let url = server.url(&server.create_database());
    let is_slow = runtime.block_on(async {
        let options = PostgresOptions::new(url.clone(), "onair".to_owned());
        // For the schema.
        let db = PostgresLiveDb::open(&options).await.unwrap();
        fill(&url).await;
        // What is still to be written is written now, not while calls are timed.
        let _ = server.try_query("postgres", "CHECKPOINT");
        let mut bench = Bench { db, server, is_slow: false };
        bench.broadcasts().await;
        bench.keys().await;
        bench.audit().await;
        bench.others().await;
        bench.is_slow
    });
    println!("{}", if is_slow { "some calls were over 50 ms p99" } else { "every call was under 50 ms p99" });
}
