//! PostgreSQL: Debian's server as a child, with a fresh cluster of databases in a directory of its own.
//!
//! What PostgreSQL promises on a crash is what is tested, so `fsync` and `synchronous_commit` stay on, as in production.

mod options;
mod programs;
mod server;

pub use options::Options;
pub use server::Postgres;
