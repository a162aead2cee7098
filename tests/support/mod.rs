//! The whole-system harness: a real `onair serve`, or a fleet of nodes with a Manager on one Redis; real encoders and players,
//! and clients of our own for what those cannot do.
//!
//! Nothing here sleeps and hopes: every wait polls for an event and has a deadline that is far beyond what it needs.

// Each test program compiles this for itself and uses its own part of it.
#![allow(dead_code, unused_imports, unreachable_pub)]

pub mod api;
pub mod beliefs;
pub mod client;
pub mod crowd;
pub mod encoders;
pub mod fleet;
pub mod ledger;
pub mod media;
pub mod node;
pub mod process;
pub mod sse;
pub mod wait;
pub mod works;

pub use api::Api;
pub use client::Publisher;
pub use crowd::Crowd;
pub use fleet::{Fleet, Store};
pub use node::{Address, Node};
pub use process::Process;
pub use wait::{eventually, holds};
pub use works::Works;

use std::time::Duration;

/// So many seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Beyond any patience: what takes longer than this never comes.
pub const LONG: Duration = secs(30);

/// The value below which a share of the values lies; zero when there are none.
pub fn quantile(mut values: Vec<Duration>, share: f64) -> Duration {
    values.sort_unstable();
    let index = (values.len().saturating_sub(1) as f64 * share.clamp(0.0, 1.0)).round() as usize;
    values.get(index).copied().unwrap_or_default()
}

/// The size or length of a test: the second with `ONAIR_LONG=1`, else the first.
pub fn scale<T>(short: T, long: T) -> T {
    if std::env::var("ONAIR_LONG").is_ok_and(|value| value == "1") { long } else { short }
}
