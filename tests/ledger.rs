//! The ledger: with everything real around it, what Kafka and the event feed tell is what the Live DB holds, row by row, in order
//! per room, whatever dies in between.
//!
//! `ONAIR_LEDGER_SESSIONS` sessions without faults (150 unless told), and `ONAIR_LEDGER_FAULTS` faults of each kind (1 unless
//! told; `make chaos` wants many more), from `ONAIR_CHAOS_SEED`. With faults found, or with `ONAIR_CHAOS_KEEP=1`, all logs are
//! kept.

mod support;

#[path = "ledger/away.rs"]
mod away;
#[path = "ledger/faults.rs"]
mod faults;
#[path = "ledger/fence.rs"]
mod fence;
#[path = "ledger/producers.rs"]
mod producers;
#[path = "ledger/refused.rs"]
mod refused;
#[path = "ledger/schemas.rs"]
mod schemas;
#[path = "ledger/verdict.rs"]
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use faults::Fault;
use onair_testkit::kafka::Records;
use onair_testkit::redis::Replicated;
use producers::{ENDLESS, Intentions, Scene};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use support::encoders::publish_from;
use support::media::{H264_AAC, Sample};
use support::sse::Follower;
use support::{Address, Crowd, LONG, Store, Works, eventually, secs};
use tokio::task::JoinHandle;
use verdict::{Evidence, Verdict};

const ROOMS: usize = 20;

/// What a real encoder publishes meanwhile.
const SHORT: Sample = Sample { seconds: 10, ..H264_AAC };

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn seed() -> u64 {
    setting("ONAIR_CHAOS_SEED", 1)
}

/// Each of these tests needs some fifteen processes; side by side they would starve each other.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything in place, and everyone who looks on.
struct Play {
    works: Works,
    crowd: Crowd,
    records: Records,
    follower: Follower,
    intentions: Arc<Intentions>,
    left: Arc<AtomicUsize>,
    producers: Vec<JoinHandle<()>>,
    began: Instant,
    killed: BTreeSet<SocketAddr>,
    is_calm: bool,
}

impl Play {
    /// `sessions` sessions in all, in [`ROOMS`] rooms.
    fn start(sessions: usize) -> Self {
        let began = Instant::now();
        let works = Works::start(Store::Sentinel(Replicated::start(2, 3)));
        fence::install(&works);
        let crowd = Crowd::new();
        let addresses: Vec<Address> = works.addresses(ROOMS);
        let (intentions, left) = (Arc::<Intentions>::default(), Arc::new(AtomicUsize::new(sessions)));
        let records = works.records();
        let follower = Follower::start(works.operators().apis(), seed());
        let scene = Scene {
            nodes: works.rtmp(),
            operators: works.operators(),
            intentions: intentions.clone(),
            left: left.clone(),
            seed: seed(),
        };
        println!("all is in place after {:.1?}", began.elapsed());
        let producers = producers::start(&crowd, &addresses, &scene);
        Self {
            works,
            crowd,
            records,
            follower,
            intentions,
            left,
            producers,
            began,
            killed: BTreeSet::new(),
            is_calm: true,
        }
    }

    fn sessions_so_far(&self) -> usize {
        self.crowd.attempts().iter().filter(|a| a.started_at.is_some()).count()
    }

    /// The producers go home.
    fn close(&mut self) {
        for producer in self.producers.drain(..) {
            self.crowd.runtime().block_on(producer).expect("no panic");
        }
    }

    /// Waits until nothing moves any more, and judges. What is still open after that is a fault, and told.
    fn judge(mut self, name: &str) -> Verdict {
        self.close();
        let patience = Instant::now() + secs(90);
        let ledger = loop {
            let ledger = self.works.ledger();
            let is_quiet = ledger.sessions.iter().all(|s| s.ended_at.is_some())
                && ledger.messages.iter().all(|m| m.shipped_at.is_some())
                && self.follower.count() >= ledger.messages.len();
            if is_quiet || Instant::now() > patience {
                break ledger;
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        let evidence = Evidence {
            attempts: self.crowd.attempts(),
            intentions: self.intentions.all(),
            killed: self.killed,
            is_calm: self.is_calm,
            ledger,
            records: self.records.rest(),
            followed: Some(self.follower.stop()),
            trespasses: fence::trespasses(&self.works),
            gone: self.works.gone(),
            owners: self.works.sql("SELECT sum(term) || ' changes' FROM shard_owner"),
        };
        let verdict = evidence.judge();
        println!("\n{name}, seed {}, {:.0?}\n{verdict}", seed(), self.began.elapsed());
        if !verdict.faults.is_empty() || setting("ONAIR_CHAOS_KEEP", 0) > 0 {
            let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ledger-{name}-{}", seed()));
            self.works.keep_logs(&directory);
            println!("logs are kept in {}", directory.display());
        }
        verdict
    }
}

fn assert_holds(verdict: &Verdict) {
    assert!(verdict.faults.is_empty(), "{} faults, see above", verdict.faults.len());
}

#[test]
fn each_room_starts_and_ends_in_kafka_as_in_the_live_db_row_by_row() {
    let _alone = one_at_a_time();
    let sessions = setting("ONAIR_LEDGER_SESSIONS", 150) as usize;
    let mut play = Play::start(sessions);
    let real = play.works.address("a-real-encoder");
    let url = play.works.nodes[0].publish_url(&real);
    let mut ffmpeg = publish_from(play.works.home(), &SHORT, &url);
    // One of the nodes does not see the end of it: whoever is on air there is lost.
    eventually("half of the sessions", secs(1_200), || (play.sessions_so_far() > sessions / 2).then_some(()));
    play.killed.insert(play.works.nodes[2].rtmp);
    play.works.nodes[2].kill();
    play.works.nodes[2].restart();
    assert!(ffmpeg.wait(LONG).success());
    let of_ffmpeg = play.works.wait_ledger("the real encoder's end", LONG, |ledger| {
        ledger.of_room(&real.room).iter().any(|s| s.ended_at.is_some())
    });
    let told: Vec<_> = of_ffmpeg.of_room(&real.room).iter().map(|s| s.end_reason.clone()).collect();
    assert_eq!(told, [Some("unpublished".to_owned())]);
    assert_holds(&play.judge("sessions"));
}

#[test]
fn nothing_is_lost_or_out_of_order_whatever_is_killed_frozen_or_restarted() {
    let _alone = one_at_a_time();
    let mut rng = StdRng::seed_from_u64(seed());
    let mut play = Play::start(ENDLESS);
    play.is_calm = false;
    eventually("the first sessions", LONG, || (play.sessions_so_far() > ROOMS).then_some(()));
    let mut inflicted: BTreeMap<Fault, usize> = BTreeMap::new();
    for _ in 0..setting("ONAIR_LEDGER_FAULTS", 1) {
        let mut round = Fault::ALL;
        round.shuffle(&mut rng);
        for fault in round {
            println!("{fault} after {:.0?}, {} sessions", play.began.elapsed(), play.sessions_so_far());
            faults::inflict(&mut play.works, fault, &mut rng);
            *inflicted.entry(fault).or_default() += 1;
        }
    }
    play.left.store(0, Ordering::Relaxed);
    println!("{inflicted:?}");
    assert_holds(&play.judge("faults"));
}
