//! The world: nodes and their sessions around one shard, the model beside it, and the comparison of the two after every step.

/// Returns the violation, formatted, unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}

mod away;
mod claims;
mod holders;
mod people;

use std::time::Duration;

use super::log::Log;
use super::model::{Memory, Model};
use super::ops::Op;
use super::{Counts, Machine};
use crate::events::{Event, EventKind, Facts, SessionCard};
use crate::ids::{LiveKeyId, NodeId, RoomId, SessionId, Shard};
use crate::registry::local::memory::{Contact, Known, Position};
use crate::registry::{Claim, LeaseTimes};
use crate::time::UnixMs;

/// How long a shared registry may be out of reach before it counts as away.
pub(in crate::registry) const GAP: Duration = Duration::from_secs(3);

/// Small, so that the backlog is reached.
pub(in crate::registry) const UNREAD_MAX: usize = 16;

pub(in crate::registry) struct World<M> {
    machine: M,
    pub(in crate::registry) counts: Counts,
    /// The registry's clock.
    now: UnixMs,
    /// The nodes' clock that never runs backwards, in ms.
    boot: u64,
    times: LeaseTimes,
    nodes: Vec<NodeId>,
    rooms: Vec<RoomId>,
    /// For each room: one for every takeover rule, `Idle` twice. The ninth belongs to no record, the tenth to one that comes
    /// with the claim.
    keys: Vec<LiveKeyId>,
    sessions: Vec<Session>,
    model: Model,
    log: Log,
    /// The reader's position.
    acknowledged: u64,
    /// Nobody is admitted before this boot time, since the registry forgot. A shared one sees to that by itself.
    floor: u64,
    /// Which process serves a shared registry, by number.
    run: u32,
    /// The highest position of the shard that the caller has seen.
    known: Position,
    /// Since when it has been in touch with the registry.
    contact: Option<Contact>,
    copy: Option<away::Copied>,
    /// What whoever stores keys and holds has to put back.
    lost: away::Lost,
    history: Vec<String>,
}

/// A publisher's session, as its node sees it.
struct Session {
    claim: Claim,
    /// Set when a grant was heard.
    card: Option<SessionCard>,
    /// The node believes before this.
    believes_until: u64,
    /// Told that it is over, or over by itself.
    is_over: bool,
    is_from_before_wipe: bool,
    live_at: Option<UnixMs>,
    media_at: Option<UnixMs>,
    granted_at: UnixMs,
}

type Step = Result<(), String>;

impl<M: Machine> World<M> {
    /// Around a machine that lives and dies with its one caller.
    pub(in crate::registry) fn new(machine: M) -> Self {
        Self::with(machine, None)
    }

    /// Around a machine that may be away while its callers go on.
    pub(in crate::registry) fn shared(machine: M) -> Self {
        Self::with(machine, Some(Memory::default()))
    }

    fn with(machine: M, memory: Option<Memory>) -> Self {
        let rooms: Vec<_> = (0..)
            .map(|n| RoomId::parse(&format!("room-{n}")).unwrap())
            .filter(|room| room.shard() == Self::shard())
            .take(2)
            .collect();
        let keys = (0..10).map(|n| LiveKeyId::parse(&format!("{}key{n}", Self::shard())).unwrap()).collect();
        let mut world = Self {
            machine,
            counts: Counts::new(),
            now: UnixMs(1_800_000_000_000),
            boot: 0,
            times: LeaseTimes::default(),
            nodes: ["a", "b", "c"].map(|name| NodeId::parse(name).unwrap()).to_vec(),
            rooms,
            keys,
            sessions: Vec::new(),
            model: Model { memory, ..Model::default() },
            log: Log::default(),
            acknowledged: 0,
            floor: 0,
            run: 1,
            known: Position::default(),
            contact: None,
            copy: None,
            lost: away::Lost::default(),
            history: Vec::new(),
        };
        for key in 0..8 {
            world.write_key(key, false);
        }
        world.start();
        world
    }

    pub(in crate::registry) fn shard() -> Shard {
        Shard::of("room-0")
    }

    /// Does all of `ops`. The error is a violation, with everything that led to it.
    pub(in crate::registry) fn run(&mut self, ops: &[Op]) -> Result<(), String> {
        for op in ops {
            self.history.push(format!("{} {op:?}", self.now.0));
            if let Err(violation) = self.step(op) {
                return Err(format!("{violation}\nafter:\n{}", self.history.join("\n")));
            }
        }
        Ok(())
    }

    fn step(&mut self, op: &Op) -> Step {
        match *op {
            Op::Pass { ms } => self.on_pass(ms),
            Op::StepBack { ms } => self.on_step_back(ms),
            Op::Claim { node, room, key, addr, call } => self.on_claim(node, room, key, addr, call),
            Op::ClaimAgain { session, call } => self.on_claim_again(session, call),
            Op::Renew { session, media, call } => self.on_renew(session, media, call),
            Op::Release { session, reason, live, call } => self.on_release(session, reason, live, call),
            Op::Tick { limit } => self.on_tick(usize::from(limit)),
            Op::FreeNode { node } => self.on_free_node(usize::from(node)),
            Op::Order { room } => self.on_order(usize::from(room)),
            Op::PutKey { key, revoked } => self.on_put_key(usize::from(key), revoked),
            Op::Revoke { key } => self.on_revoke(usize::from(key)),
            Op::Hold { room, ms } => self.on_hold(usize::from(room), ms),
            Op::Lift { room } => self.on_lift(usize::from(room)),
            Op::Acknowledge { share } => self.on_acknowledge(u64::from(share)),
            Op::Wipe => self.on_wipe(),
            Op::Away { ms, how } => self.on_away(ms, how),
            Op::Quiet { ms, short } => self.on_quiet(ms, short),
            Op::Copy => self.on_copy(),
            Op::NewCaller => self.on_new_caller(),
            Op::Recover { late } => self.on_recover(late),
        }
    }

    fn count(&mut self, outcome: &str) {
        *self.counts.entry(outcome.to_owned()).or_default() += 1;
    }

    // === time ===

    fn on_pass(&mut self, ms: u64) -> Step {
        self.pass_attended(ms);
        if ms > 600_000 {
            // Nobody asks on behalf of a session that ended so long ago: no call is on its way for a quarter of an hour.
            for session in &mut self.sessions {
                session.is_over |= self.log.is_ended(session.claim.session_id);
            }
            let log = &self.log;
            self.sessions.retain(|session| !log.is_ended(session.claim.session_id));
        }
        self.expect(&[], &[])
    }

    fn pass(&mut self, ms: u64) {
        self.now.0 += ms;
        self.boot += ms;
    }

    fn on_step_back(&mut self, ms: u64) -> Step {
        // What was forgotten in time stays forgotten, and when that was done is the machine's own affair: not asked here.
        let back = UnixMs(self.now.0 - ms);
        if self.model.expiries().any(|at| back < at && at <= self.now) {
            return Ok(());
        }
        self.count("clock set back");
        self.now = back;
        self.expect(&[], &[])
    }

    /// One of the last few sessions.
    fn recent(&self, back: u8) -> Option<usize> {
        self.sessions.len().checked_sub(usize::from(back) + 1)
    }

    /// What the session says of itself; with `media`, a frame has just come. `None` while it knows of no grant.
    fn facts_of(&mut self, nth: usize, media: bool) -> Option<(SessionCard, Facts)> {
        let now = self.now;
        let session = &mut self.sessions[nth];
        let card = session.card.clone()?;
        if media && !session.is_over {
            session.media_at = Some(now);
            session.live_at.get_or_insert(now);
        }
        let facts = Facts {
            live_at: session.live_at,
            last_media_at: session.media_at,
            bytes_in: now.since(session.granted_at),
            ..Facts::default()
        };
        Some((card, facts))
    }

    fn expect(&mut self, events: &[(String, SessionId)], rings: &[(NodeId, RoomId)]) -> Step {
        self.expect_events(events, rings).map(|_| ())
    }

    /// Reads what is new and compares it with what the model says happened.
    fn expect_events(
        &mut self,
        events: &[(String, SessionId)],
        rings: &[(NodeId, RoomId)],
    ) -> Result<Vec<Event>, String> {
        self.meet();
        let new = self.log.read(&self.machine.events())?;
        let told: Vec<_> = new
            .iter()
            .map(|event| {
                let kind = match event.kind {
                    EventKind::Ended { reason, .. } => format!("ended {reason}"),
                    _ => event.kind.name().to_owned(),
                };
                (kind, event.session.session_id)
            })
            .collect();
        ensure!(told == events, "expected events {events:?}, read {told:?}");
        let rung = self.machine.take_rings();
        ensure!(rung == rings, "expected rings {rings:?}, heard {rung:?}");
        let seen = Model { memory: self.woken(), ..self.model.clone() };
        for room in &self.rooms {
            let on = self.machine.lease(self.now, room).map(|view| view.card.session_id);
            let lease = seen.leases.get(room).filter(|_| !seen.is_dead(self.now, room, &self.times));
            let expected = lease.map(|lease| lease.card.session_id);
            ensure!(on == expected, "{room} is held by {on:?}, not {expected:?}");
        }
        // Page by page, now and then.
        if self.history.len().is_multiple_of(4) {
            let mut rooms = Vec::new();
            while let Some(view) = self.machine.leases(self.now, rooms.last(), 1).pop() {
                rooms.push(view.card.room_id);
            }
            let listed = seen.leases.keys().filter(|room| !seen.is_dead(self.now, room, &self.times));
            ensure!(rooms.iter().eq(listed), "listed {rooms:?}");
            self.compare_snapshot(&seen)?;
        }
        self.known = self.known.max(self.machine.position());
        match self.machine.fault() {
            Some(fault) => Err(fault),
            None => Ok(new),
        }
    }

    /// The dead are in it until their ends are told; with the number of the newest event.
    fn compare_snapshot(&mut self, seen: &Model) -> Step {
        let whole = self.machine.snapshot(self.now, None, 1_000);
        let sessions: Vec<_> = whole.leases.iter().map(|lease| lease.card.session_id).collect();
        let listed: Vec<_> = seen.leases.values().map(|lease| lease.card.session_id).collect();
        ensure!(sessions == listed, "a snapshot has {sessions:?}, not {listed:?}");
        ensure!(whole.n == self.log.last_n(), "a snapshot at {}, not {}", whole.n, self.log.last_n());
        let after = self.rooms.first().cloned();
        let page = self.machine.snapshot(self.now, after.as_ref(), 1);
        let next = seen.leases.keys().find(|room| Some(*room) > after.as_ref());
        ensure!(page.leases.iter().map(|lease| &lease.card.room_id).eq(next), "another page after {after:?}");
        Ok(())
    }

    /// What a holder may believe after an answer to a call sent at `sent`.
    fn belief(&self, sent: u64) -> u64 {
        UnixMs(sent).plus(self.times.ttl.saturating_sub(self.times.margin)).0
    }
}
