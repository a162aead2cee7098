//! What can happen to a shard, as data: small numbers that the world reads as this node, that room, the session before last.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::events::EndReason;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Time passes.
    Pass { ms: u64 },
    /// The registry's clock is set back, as by a failover to a machine whose clock is behind.
    StepBack { ms: u64 },
    /// A new publisher wants a room.
    Claim { node: u8, room: u8, key: u8, addr: u8, call: Call },
    /// A claim made before comes (again): a retry, or a duplicate that was long on its way.
    ClaimAgain { session: u8, call: Call },
    /// A session renews, whatever it is by now: a holder, or one that does not know that it is over.
    Renew { session: u8, media: bool, call: Call },
    /// A session ends itself; `live` if its first frame came just before.
    Release { session: u8, reason: EndReason, live: bool, call: Call },
    /// Somebody looks for dead leases.
    Reap { limit: u8 },
    /// Somebody wants the holder of a room to end.
    Order { room: u8 },
    /// A key's record is written (again).
    PutKey { key: u8, revoked: bool },
    /// A key is revoked.
    Revoke { key: u8 },
    /// A room is put on hold.
    Hold { room: u8, ms: u64 },
    /// A hold is lifted.
    Lift { room: u8 },
    /// The reader stores some of what it has read.
    Acknowledge { share: u8 },
    /// The registry loses its memory; keys and holds are put back.
    Wipe,
}

/// The fate of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// How long the request is on its way.
    pub(super) delay_ms: u64,
    /// The answer never arrives.
    pub(super) is_reply_lost: bool,
}

/// Sequences of up to `len` operations.
pub(super) fn ops(len: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(op(), len / 2..len)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => pass(),
        1 => prop_oneof![1..1_000_u64, 1_000..60_000_u64].prop_map(|ms| Op::StepBack { ms }),
        16 => (0..3_u8, 0..2_u8, 0..10_u8, 0..2_u8, call())
            .prop_map(|(node, room, key, addr, call)| Op::Claim { node, room, key, addr, call }),
        6 => (0..6_u8, call()).prop_map(|(session, call)| Op::ClaimAgain { session, call }),
        40 => (0..6_u8, prop::bool::weighted(0.6), call())
            .prop_map(|(session, media, call)| Op::Renew { session, media, call }),
        10 => (0..6_u8, reason(), any::<bool>(), call())
            .prop_map(|(session, reason, live, call)| Op::Release { session, reason, live, call }),
        4 => (0..3_u8).prop_map(|limit| Op::Reap { limit }),
        2 => (0..2_u8).prop_map(|room| Op::Order { room }),
        3 => (0..6_u8, prop::bool::weighted(0.15)).prop_map(|(key, revoked)| Op::PutKey { key, revoked }),
        1 => (0..8_u8).prop_map(|key| Op::Revoke { key }),
        1 => (0..2_u8, 0..4_000_u64).prop_map(|(room, ms)| Op::Hold { room, ms }),
        1 => (0..2_u8).prop_map(|room| Op::Lift { room }),
        5 => (0..5_u8).prop_map(|share| Op::Acknowledge { share }),
        1 => Just(Op::Wipe),
    ]
}

/// Often nothing to a few frames, then about a renewal, about a deadline with its grace to the millisecond, and seldom long
/// enough for everything to be forgotten.
fn pass() -> impl Strategy<Value = Op> {
    let ms = prop_oneof![
        6 => 0..3_u64,
        6 => 3..300_u64,
        8 => 300..1_100_u64,
        6 => 1_100..5_100_u64,
        2 => 9_400..10_100_u64,
        3 => 11_900..12_100_u64,
        1 => Just(12_000_u64),
        1 => 900_000..1_000_000_u64,
    ];
    ms.prop_map(|ms| Op::Pass { ms })
}

fn call() -> impl Strategy<Value = Call> {
    let delay = prop_oneof![4 => Just(0_u64), 1 => 1..400_u64];
    (delay, prop::bool::weighted(0.1)).prop_map(|(delay_ms, is_reply_lost)| Call { delay_ms, is_reply_lost })
}

fn reason() -> impl Strategy<Value = EndReason> {
    prop::sample::select(vec![
        EndReason::Unpublished,
        EndReason::Disconnected,
        EndReason::Timeout,
        EndReason::Crash,
        EndReason::Superseded,
    ])
}
