//! Keeper: looks whether Kafka's topic takes events, at the start and whenever there are doubts, and tells what changes. A child
//! of the Manager actor, one per Manager.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::Shipping;
use crate::core::Core;
use crate::reports::ship::{KafkaAway, KafkaBack};

/// Between two looks at a Kafka that takes nothing: at least, and at most.
const AGAIN: std::ops::Range<u64> = 1_000..2_000;
/// Doubts often come in swarms: one from each broker, one from each message.
const SETTLE: Duration = Duration::from_millis(250);

/// Looks until it is dropped.
pub(super) async fn run(core: &Core, shipping: &Shipping) {
    let mut is_first = true;
    loop {
        let was_up = shipping.is_up.load(Ordering::Relaxed);
        match shipping.inspector.look().await {
            Ok(found) => {
                shipping.is_up.store(true, Ordering::Relaxed);
                shipping.kafka.all_is_well();
                shipping.fit.send_if_modified(|fit| !std::mem::replace(fit, true));
                if !was_up {
                    KafkaBack {
                        topic: &shipping.topic,
                        partitions: found.partitions,
                        is_new: found.is_new,
                        is_policy_known: found.is_policy_known,
                    }
                    .emit(&core.metrics);
                }
                shipping.kafka.doubted().await;
                sleep(SETTLE).await;
            }
            Err(error) => {
                shipping.is_up.store(false, Ordering::Relaxed);
                // Brokers that are away still have the topic that they had.
                if !error.is_away() {
                    shipping.fit.send_if_modified(|fit| std::mem::replace(fit, false));
                }
                let words = shipping.kafka.last_words();
                let why = match &words {
                    Some(words) if error.is_away() => format!("{error}; {words}"),
                    _ => error.to_string(),
                };
                KafkaAway { why: &why, is_news: was_up || is_first }.emit(&core.metrics);
                sleep(Duration::from_millis(rand::random_range(AGAIN))).await;
            }
        }
        is_first = false;
    }
}
