//! What can happen to a shard, as data: small numbers that the world reads as this node, that room, the session before last.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::events::EndReason;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(in crate::registry) enum Op {
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
    /// Somebody looks for dead leases, and for what the shard is missing.
    Tick { limit: u8 },
    /// A node starts anew and frees what it held.
    FreeNode { node: u8 },
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
    /// Only in a shared registry, as all that follow: it is away for a while.
    Away { ms: u64, how: Away },
    /// Nobody has business in the shard, but the caller stays in touch with the registry; for all but the last `short` ms.
    Quiet { ms: u64, short: u64 },
    /// A replica has all there is by now.
    Copy,
    /// The caller is another, who knows nothing yet.
    NewCaller,
    /// Keys and holds are put back; `late`: into a shard that has lost them again since.
    Recover { late: bool },
}

/// What becomes of a registry that nobody reaches.
#[derive(Clone, Copy, Debug)]
pub(in crate::registry) enum Away {
    /// It stands still, and goes on.
    Frozen,
    /// It, or a replica that has everything, starts anew.
    Restarted,
    /// The replica goes on from what it last copied.
    Rewound,
    /// It comes back with nothing.
    Blank,
}

/// The fate of one call.
#[derive(Clone, Copy, Debug)]
pub(in crate::registry) struct Call {
    /// How long the request is on its way.
    pub(in crate::registry) delay_ms: u64,
    /// The answer never arrives.
    pub(in crate::registry) is_reply_lost: bool,
}

/// Sequences of up to about `len` operations: most at random, some in an order that seldom comes by chance.
pub(in crate::registry) fn ops(len: usize) -> impl Strategy<Value = Vec<Op>> {
    let some = prop_oneof![20 => op().prop_map(|op| vec![op]), 1 => (0..2_u8, 0..3_u8).prop_flat_map(story)];
    vec(some, len / 2..len).prop_map(|some| some.concat())
}

/// What befalls a room in a few steps.
fn story((room, node): (u8, u8)) -> impl Strategy<Value = Vec<Op>> {
    let call = Call { delay_ms: 0, is_reply_lost: false };
    let claim = move |key| Op::Claim { node, room, key, addr: 0, call };
    let renew = Op::Renew { session: 0, media: true, call };
    let end = |reason, live| Op::Release { session: 0, reason, live, call };
    let again =
        |ops: &[Op], times: usize| ops.iter().cycle().take(ops.len() * times).cloned().collect::<Vec<_>>();
    let left = end(EndReason::Disconnected, false);
    let rewound = Op::Away { ms: 10, how: Away::Rewound };
    let newer = [claim(3), Op::Copy, left.clone(), claim(0), rewound];
    let yields = Op::Renew { session: 1, media: true, call };
    prop::sample::select(vec![
        // What a session did is forgotten, while an older one's lease is not.
        [&newer[..], std::slice::from_ref(&renew)].concat(),
        [&newer[..], &[end(EndReason::Unpublished, true)]].concat(),
        // A key is revoked, and all but the key's record is forgotten.
        vec![claim(1), renew.clone(), Op::Revoke { key: room * 4 + 1 }, Op::Wipe, renew],
        // A newcomer is given way, and the next comes at once.
        vec![claim(3), claim(3), yields, claim(0), claim(0)],
        // Nobody reads.
        again(&[claim(3), end(EndReason::Crash, true)], 7),
        vec![Op::Hold { room, ms: 9_000 }, claim(3), Op::Lift { room }],
        vec![claim(3), Op::Order { room }, Op::Order { room }],
    ])
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => pass(),
        1 => prop_oneof![1..1_000_u64, 1_000..60_000_u64].prop_map(|ms| Op::StepBack { ms }),
        16 => (0..3_u8, 0..2_u8, 0..11_u8, 0..2_u8, call())
            .prop_map(|(node, room, key, addr, call)| Op::Claim { node, room, key, addr, call }),
        6 => (0..6_u8, call()).prop_map(|(session, call)| Op::ClaimAgain { session, call }),
        40 => (0..6_u8, prop::bool::weighted(0.6), call())
            .prop_map(|(session, media, call)| Op::Renew { session, media, call }),
        10 => (0..6_u8, reason(), any::<bool>(), call())
            .prop_map(|(session, reason, live, call)| Op::Release { session, reason, live, call }),
        4 => (0..3_u8).prop_map(|limit| Op::Tick { limit }),
        1 => (0..3_u8).prop_map(|node| Op::FreeNode { node }),
        4 => (0..2_u8).prop_map(|room| Op::Order { room }),
        3 => (0..6_u8, prop::bool::weighted(0.15)).prop_map(|(key, revoked)| Op::PutKey { key, revoked }),
        1 => (0..8_u8).prop_map(|key| Op::Revoke { key }),
        1 => (0..2_u8, 0..4_000_u64).prop_map(|(room, ms)| Op::Hold { room, ms }),
        1 => (0..2_u8).prop_map(|room| Op::Lift { room }),
        5 => (0..5_u8).prop_map(|share| Op::Acknowledge { share }),
        1 => Just(Op::Wipe),
        2 => away(),
        2 => (3_000..30_000_u64, 0..4_000_u64).prop_map(|(ms, short)| Op::Quiet { ms, short }),
        1 => Just(Op::Copy),
        1 => Just(Op::NewCaller),
        2 => prop::bool::weighted(0.3).prop_map(|late| Op::Recover { late }),
    ]
}

fn away() -> impl Strategy<Value = Op> {
    let how = prop_oneof![Just(Away::Frozen), Just(Away::Restarted), Just(Away::Rewound), Just(Away::Blank)];
    (prop_oneof![0..3_000_u64, 3_000..30_000_u64], how).prop_map(|(ms, how)| Op::Away { ms, how })
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
