//! Publishers and players of our own, for load and for tests: real sockets, the codec's client side, media that says of
//! itself when it was sent and what came before it.

pub mod address;
pub mod client;
pub mod media;
pub mod player;
pub mod publisher;
pub mod report;
