//! The work of shards: who owns them ([`ownership`], [`beats`]), and what is done about the events of those that are ours
//! ([`foreman`], [`lane`], [`commit`], [`reconcile`]).

pub(crate) mod beats;
pub(crate) mod commit;
pub(crate) mod desk;
pub(crate) mod foreman;
pub(crate) mod lane;
pub(crate) mod ownership;
pub(crate) mod reconcile;
