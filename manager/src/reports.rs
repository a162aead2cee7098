//! One struct per happening: each emits its log line and moves its metric, so that the two cannot disagree.

mod life;
mod requests;
mod shards;
pub(crate) mod ship;
mod store;

pub(crate) use life::*;
pub(crate) use requests::*;
pub(crate) use shards::*;
pub(crate) use store::*;
