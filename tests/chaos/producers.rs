//! Producers that never rest: each room's encoders start, stop, die, fall silent, and get in each other's way.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::crowd::{OnAir, WayIn, pause};
use crate::support::{Address, Crowd};

/// The longest that a newcomer insists on a room whose encoder has fallen silent.
const INSISTENCE: usize = 20;

/// Starts the producers of `addresses`; they go on until `stop` turns true, and then say goodbye.
pub(crate) fn start(
    crowd: &Crowd,
    addresses: &[Address],
    nodes: &[SocketAddr],
    seed: u64,
    stop: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let start_one = |(n, address): (usize, &Address)| {
        let rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(n as u64));
        let producer = Producer { way_in: crowd.way_in(address), nodes: nodes.to_vec(), rng };
        crowd.runtime().spawn(producer.go_on(stop.clone()))
    };
    addresses.iter().enumerate().map(start_one).collect()
}

struct Producer {
    way_in: WayIn,
    nodes: Vec<SocketAddr>,
    rng: StdRng,
}

impl Producer {
    async fn go_on(mut self, stop: watch::Receiver<bool>) {
        let mut on_air = None;
        while !*stop.borrow() {
            on_air = match on_air.take() {
                Some(on_air) => self.act(on_air).await,
                None => self.try_one().await,
            };
        }
        if let Some(on_air) = on_air {
            on_air.unpublish().await;
        }
    }

    async fn try_one(&mut self) -> Option<OnAir> {
        let node = self.node();
        let outcome = self.way_in.publish(node).await.ok();
        if outcome.is_none() {
            pause(self.between(100, 600)).await;
        }
        outcome
    }

    /// What an encoder does with its time on air. It may still be there afterwards.
    async fn act(&mut self, mut on_air: OnAir) -> Option<OnAir> {
        let time = self.between(300, 4_000);
        if let Err(error) = on_air.send_for(time).await {
            on_air.cut(&error);
            return None;
        }
        match self.rng.random_range(0..100) {
            0..30 => {
                on_air.unpublish().await;
                self.rest().await
            }
            30..45 => {
                on_air.hang_up();
                self.rest().await
            }
            45..70 => self.replaced(on_air).await,
            _ => self.disputed(on_air).await,
        }
    }

    /// Every other time the room stays empty for a while.
    async fn rest(&mut self) -> Option<OnAir> {
        if self.rng.random() {
            pause(self.between(500, 3_000)).await;
        }
        None
    }

    /// It falls silent, and its producer's next attempt takes the room from it.
    async fn replaced(&mut self, mut silent: OnAir) -> Option<OnAir> {
        let longest = Duration::from_millis(300) * INSISTENCE as u32;
        let (way_in, mut rng, nodes) = (self.way_in.clone(), self.fork(), self.nodes.clone());
        let insisting = async move {
            for _ in 0..INSISTENCE {
                let node = *nodes.choose(&mut rng).expect("some node");
                if let Ok(on_air) = way_in.publish(node).await {
                    return Some(on_air);
                }
                pause(Duration::from_millis(300)).await;
            }
            None
        };
        let (newcomer, outcome) = tokio::join!(insisting, silent.be_silent(longest));
        match outcome {
            Ok(()) => silent.hang_up(),
            Err(error) => silent.cut(&error),
        }
        newcomer
    }

    /// It sends on while others want its room. Whoever gets in has found it dead.
    async fn disputed(&mut self, mut on_air: OnAir) -> Option<OnAir> {
        let time = self.between(1_000, 4_000);
        let (way_in, node) = (self.way_in.clone(), self.node());
        let rivals = async move {
            for _ in 0..3 {
                if let Ok(rival) = way_in.publish(node).await {
                    return Some(rival);
                }
                pause(Duration::from_millis(400)).await;
            }
            None
        };
        let (rival, outcome) = tokio::join!(rivals, on_air.send_for(time));
        match (rival, outcome) {
            (Some(rival), Ok(())) => {
                on_air.hang_up();
                Some(rival)
            }
            (rival, Err(error)) => {
                on_air.cut(&error);
                rival
            }
            (None, Ok(())) => Some(on_air),
        }
    }

    fn node(&mut self) -> SocketAddr {
        *self.nodes.choose(&mut self.rng).expect("some node")
    }

    fn between(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from_ms..to_ms))
    }

    fn fork(&mut self) -> StdRng {
        StdRng::seed_from_u64(self.rng.random())
    }
}
