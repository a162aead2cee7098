//! What tests of every crate need from outside: Redis in any topology, PostgreSQL, Kafka, a TCP proxy with faults,
//! signals.
//!
//! Everything here runs as a process or thread of its own on loopback, on ports that nobody else takes, in temporary
//! directories, and is gone when its owner is dropped, panics or is killed. Waiting means asking a real condition until
//! it holds, with a deadline; whatever fails says so in a panic, since a test has nobody to hand an error to.
//!
//! ```no_run
//! use onair_testkit::redis::Replicated;
//! use std::time::Duration;
//!
//! let redis = Replicated::start(2, 3);
//! let old = redis.primary();
//! old.kill();
//! redis.wait_until("another primary", Duration::from_secs(30), |r| r.try_primary().is_some_and(|p| p.port() != old.port()));
//! old.restart();
//! ```

mod daemon;
mod family;
pub mod kafka;
pub mod port;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod redis;
mod tls;
pub mod wait;
