//! Goal: with several Managers on one PostgreSQL and one registry, every event is stored once and in order by whoever owns its
//! shard, whatever dies, freezes or changes hands meanwhile; and what no event tells is repaired. Method: whole Managers in one
//! process, each with its own view of a real PostgreSQL and of the registry, which a test can freeze; sessions come and go all
//! the while, and at the end the outbox is read room by room.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod disaster;
mod frozen;
mod load;
mod lossy;
mod outage;
mod repairs;
mod sharing;
mod world;
