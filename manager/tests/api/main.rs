//! Goal: the HTTP face does what its document says. Method: a real Manager on port 0, with a real `LocalRegistry` and
//! SQLite in a directory of its own, asked over real HTTP; every answer is compared with the document's schema for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod addresses;
mod audit;
mod away;
mod broadcasts;
mod errors;
mod events;
mod events_postgres;
mod forgetful;
mod health;
mod limits;
mod listener;
mod live_keys;
mod nodes;
mod openapi;
mod plays;
mod producers;
mod rates;
mod restart;
mod roles;
mod rooms;
mod schema;
mod sessions;
mod sessions_walk;
mod shared;
mod support;
mod tokens;
