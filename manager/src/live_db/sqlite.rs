//! The Live DB on SQLite.
