//! How long it takes from an encoder's first media message to the record on Kafka and to a client of the event feed, on a
//! machine that has nothing else to do. Figures are printed, not asserted; run by `make microbench`.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use onair_testkit::redis::Replicated;
use serde_json::Value;
use support::sse::Feed;
use support::{Crowd, LONG, Store, Works, eventually, quantile};

const SESSIONS: usize = 200;

/// When something was heard of a room's start, by room.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Heard {
    fn note(&self, room: &str) {
        self.0.lock().expect("no panic while held").entry(room.to_owned()).or_insert_with(Instant::now);
    }

    fn of(&self, room: &str) -> Option<Instant> {
        self.0.lock().expect("no panic while held").get(room).copied()
    }
}

#[test]
#[ignore = "prints figures that only mean something on an idle machine; run by make microbench"]
fn from_the_first_media_to_kafka_and_the_feed() {
    let works = Works::start(Store::Sentinel(Replicated::start(2, 3)));
    let crowd = Crowd::new();
    let addresses = works.addresses(SESSIONS);
    let is_over = Arc::new(AtomicBool::new(false));

    let on_kafka = Heard::default();
    let reader = thread::spawn({
        let (mut records, heard, is_over) = (works.records(), on_kafka.clone(), is_over.clone());
        move || {
            while !is_over.load(Ordering::Relaxed) {
                if let Some(record) = records.next(Duration::from_millis(100))
                    && record.header("ce_type") == "onair.broadcast.started.v1"
                {
                    heard.note(&record.key.unwrap_or_default());
                }
            }
        }
    });
    // Who asks the Manager that owns the shard and who asks the other one wait for different things.
    let feeds: Vec<_> = works.managers().map(|manager| (works.api_of(manager), Heard::default())).collect();
    for (api, heard) in &feeds {
        let mut feed = Feed::connect(api.addr(), api.token(), "", None).expect("a feed");
        let heard = heard.clone();
        thread::spawn(move || {
            while let Ok(event) = feed.next() {
                let told: Value = serde_json::from_str(&event.data).unwrap_or_default();
                if event.kind == "onair.broadcast.started.v1" {
                    heard.note(told["subject"].as_str().unwrap_or_default());
                }
            }
        });
    }

    let (mut kafka, mut feed) = (Vec::new(), vec![Vec::new(); feeds.len()]);
    for (n, address) in addresses.iter().enumerate() {
        let node = works.nodes[n % works.nodes.len()].rtmp;
        let mut on_air = crowd.publish(None, address, node).expect("on air");
        let sent_at = Instant::now();
        crowd.runtime().block_on(on_air.send_for(Duration::from_millis(150))).expect("not cut");
        kafka.push(eventually("the record", LONG, || on_kafka.of(&address.room)) - sent_at);
        for ((_, heard), times) in feeds.iter().zip(&mut feed) {
            times.push(eventually("the event", LONG, || heard.of(&address.room)) - sent_at);
        }
        crowd.runtime().block_on(on_air.unpublish());
        thread::sleep(Duration::from_millis(50));
    }
    is_over.store(true, Ordering::Relaxed);
    reader.join().expect("no panic");

    println!("\n{SESSIONS} sessions, from the first media message, p50 / p99 / max:");
    let print = |what: &str, times: &[Duration]| {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(times.to_vec(), share));
        println!("{what:>20}  {p50:.1?} / {p99:.1?} / {max:.1?}");
    };
    print("the Kafka record", &kafka);
    for ((api, _), times) in feeds.iter().zip(&feed) {
        print(&format!("the feed at {}", api.addr().port()), times);
    }
}
