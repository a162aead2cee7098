//! Producers with sessions that end in every way: a goodbye, a dropped socket, a takeover, an operator's order, a revoked key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::support::crowd::{OnAir, WayIn, pause};
use crate::support::works::Operators;
use crate::support::{Address, Crowd};

/// How a session is meant to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Unpublish,
    HangUp,
    /// It falls silent, and its producer's next attempt takes the room.
    Takeover,
    Api,
    Revoke,
}

impl End {
    /// The reason that belongs to it, as the Live DB tells it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Unpublish => "unpublished",
            Self::HangUp => "disconnected",
            Self::Takeover => "superseded",
            Self::Api => "ended_by_api",
            Self::Revoke => "revoked",
        }
    }
}

/// How each attempt that was let in was meant to end.
#[derive(Default)]
pub(crate) struct Intentions(Mutex<BTreeMap<u64, End>>);

impl Intentions {
    fn note(&self, attempt: u64, end: End) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt, end);
    }

    pub(crate) fn all(&self) -> BTreeMap<u64, End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What producers share.
pub(crate) struct Scene {
    pub(crate) nodes: Vec<SocketAddr>,
    pub(crate) operators: Operators,
    pub(crate) intentions: Arc<Intentions>,
    /// Sessions still to be had by all together. They stop when there are none left.
    pub(crate) left: Arc<AtomicUsize>,
    pub(crate) seed: u64,
}

/// Sessions without an end: until somebody sets what is left to 0.
pub(crate) const ENDLESS: usize = usize::MAX / 2;

/// Starts a producer for each of `addresses`, known to the Managers as `producer-0` and so on.
pub(crate) fn start(crowd: &Crowd, addresses: &[Address], scene: &Scene) -> Vec<JoinHandle<()>> {
    let start_one = |(n, address): (usize, &Address)| {
        let producer = Producer {
            name: format!("producer-{n}"),
            address: address.clone(),
            way_in: crowd.way_in(address),
            nodes: scene.nodes.clone(),
            operators: scene.operators.clone(),
            intentions: scene.intentions.clone(),
            left: scene.left.clone(),
            rng: StdRng::seed_from_u64(scene.seed.wrapping_mul(1_000_003).wrapping_add(n as u64)),
        };
        crowd.runtime().spawn(producer.go_on())
    };
    addresses.iter().enumerate().map(start_one).collect()
}

struct Producer {
    name: String,
    address: Address,
    way_in: WayIn,
    nodes: Vec<SocketAddr>,
    operators: Operators,
    intentions: Arc<Intentions>,
    left: Arc<AtomicUsize>,
    rng: StdRng,
}

impl Producer {
    async fn go_on(mut self) {
        let mut on_air = None;
        while self.left.load(Ordering::Relaxed) > 0 {
            on_air = match on_air.take() {
                Some(on_air) => self.act(on_air).await,
                None => self.try_one().await,
            };
        }
        if let Some(on_air) = on_air {
            self.intentions.note(on_air.id(), End::Unpublish);
            on_air.unpublish().await;
        }
    }

    async fn try_one(&mut self) -> Option<OnAir> {
        let node = *self.nodes.choose(&mut self.rng).expect("some node");
        let outcome = self.way_in.publish(node).await.ok();
        match outcome {
            Some(_) => self.count(),
            None => pause(self.between(100, 600)).await,
        }
        outcome
    }

    fn count(&self) {
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    }

    /// Its time on air, and the end of it. What it gives is on air already.
    async fn act(&mut self, mut on_air: OnAir) -> Option<OnAir> {
        let end = match self.rng.random_range(0..100) {
            0..35 => End::Unpublish,
            35..65 => End::HangUp,
            65..80 => End::Takeover,
            80..92 => End::Api,
            _ => End::Revoke,
        };
        self.intentions.note(on_air.id(), end);
        // Now and then so short that there is no picture to speak of.
        let time = self.between(50, 1_500);
        if let Err(error) = on_air.send_for(time).await {
            on_air.cut(&error);
            return None;
        }
        match end {
            End::Unpublish => on_air.unpublish().await,
            End::HangUp => on_air.hang_up(),
            End::Takeover => return self.taken_over(on_air).await,
            End::Api | End::Revoke => self.ended_from_outside(on_air, end).await,
        }
        None
    }

    async fn taken_over(&mut self, mut silent: OnAir) -> Option<OnAir> {
        const INSISTENCE: u32 = 20;
        const EVERY: Duration = Duration::from_millis(300);
        let (way_in, nodes) = (self.way_in.clone(), self.nodes.clone());
        let mut rng = StdRng::seed_from_u64(self.rng.random());
        let insisting = async move {
            for _ in 0..INSISTENCE {
                if let Ok(on_air) = way_in.publish(*nodes.choose(&mut rng).expect("some node")).await {
                    return Some(on_air);
                }
                pause(EVERY).await;
            }
            None
        };
        let (newcomer, outcome) = tokio::join!(insisting, silent.be_silent(EVERY * INSISTENCE));
        match outcome {
            Ok(()) => {
                self.intentions.note(silent.id(), End::HangUp);
                silent.hang_up();
            }
            Err(error) => silent.cut(&error),
        }
        if newcomer.is_some() {
            self.count();
        }
        newcomer
    }

    /// It sends on until the order reaches its node; if nobody takes the order, it leaves by itself.
    async fn ended_from_outside(&mut self, mut on_air: OnAir, end: End) {
        let (operators, room) = (self.operators.clone(), self.address.room.clone());
        let key = self.address.live_key_id.clone();
        let order = spawn_blocking(move || match end {
            End::Revoke => operators.revoke(&key),
            _ => operators.end(&room),
        });
        let (order, outcome) = tokio::join!(order, on_air.send_for(Duration::from_secs(12)));
        match outcome {
            Err(error) => on_air.cut(&error),
            Ok(()) => {
                self.intentions.note(on_air.id(), End::Unpublish);
                on_air.unpublish().await;
            }
        }
        if end == End::Revoke || !order.expect("no panic") {
            self.take_new_address().await;
        }
    }

    async fn take_new_address(&mut self) {
        while self.left.load(Ordering::Relaxed) > 0 {
            let (operators, name) = (self.operators.clone(), self.name.clone());
            if let Ok(Some(address)) = spawn_blocking(move || operators.address(&name)).await {
                assert_eq!(address.room, self.address.room, "a producer has one room");
                self.way_in = self.way_in.clone().to(&address);
                self.address = address;
                return;
            }
            pause(Duration::from_millis(500)).await;
        }
    }

    fn between(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from_ms..to_ms))
    }
}
