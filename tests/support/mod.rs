//! The whole-system harness: a real `onair serve`, real encoders and players, and a client of our own for what they cannot do.
//!
//! Nothing here sleeps and hopes: every wait polls for an event and has a deadline that is far beyond what it needs.

// Each test program compiles this for itself and uses its own part of it.
#![allow(dead_code, unused_imports, unreachable_pub)]

pub mod api;
pub mod client;
pub mod encoders;
pub mod media;
pub mod node;
pub mod process;
pub mod wait;

pub use api::Api;
pub use client::Publisher;
pub use node::{Address, Node};
pub use process::Process;
pub use wait::{eventually, holds};

use std::time::Duration;

/// So many seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Beyond any patience: what takes longer than this never comes.
pub const LONG: Duration = secs(30);
