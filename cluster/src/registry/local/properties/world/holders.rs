//! Holders: renewals, the answers to wishes, ends, and the leases that nobody renews.

use super::super::Machine;
use super::super::ops::Call;
use super::people::revoked;
use super::{Step, World};
use crate::events::{EndReason, EventKind, SessionCard};
use crate::ids::{NodeId, RoomId, SessionId};
use crate::keeper::takeover::{Verdict, decide};
use crate::registry::{Release, Released, Renewal, Renewed, Takeover, Want};
use crate::time::{BootTime, UnixMs};

impl<M: Machine> World<M> {
    pub(in crate::registry) fn on_renew(&mut self, back: u8, media: bool, call: Call) -> Step {
        let Some(nth) = self.recent(back) else { return Ok(()) };
        let sent = self.boot;
        let Some((card, facts)) = self.facts_of(nth, media) else { return Ok(()) };
        self.pass(call.delay_ms);
        self.wake();
        let now = self.now;
        let room = card.room_id.clone();
        let session = card.session_id;
        let mut events = Vec::new();
        let mut rings = Vec::new();
        if self.is_older(&card) {
            self.count("renew: re-adopted, over an older one");
            let (event, ring) = self.model_lost(&room);
            events.push(event);
            rings.extend(ring);
        }
        let holder = self.model.leases.get(&room).map(|lease| (lease.card.session_id, lease.card.epoch));
        let over = self.model.is_over(now, &card);
        let answer = self.machine.renew(now, &Renewal { card: card.clone(), facts: facts.clone() });
        match (holder, over) {
            (Some((on, epoch)), _) if on != session => {
                self.count("renew: lost, someone else's now");
                ensure!(answer == Renewed::Lost { by: Some(epoch) }, "renewed over {on}: {answer:?}");
                self.expect(&[], &[])?;
                return self.heard_lost(nth, call);
            }
            (None, Some((newest, epoch))) => {
                let by = (newest != session).then_some(epoch);
                self.count(if by.is_some() {
                    "renew: lost, someone else's since"
                } else {
                    "renew: lost, no newer"
                });
                ensure!(answer == Renewed::Lost { by }, "a session that is over was told {answer:?}");
                self.expect(&[], &[])?;
                return self.heard_lost(nth, call);
            }
            (None, None) => {
                self.model.insert(now, card.clone(), &self.times);
                events.push(("granted".to_owned(), session));
                let is_revoked = self.model.key(now, &card.live_key_id).is_some_and(|key| key.revoked);
                if is_revoked {
                    self.model.leases.get_mut(&room).unwrap().order = Some(revoked());
                }
                self.count(if is_revoked { "renew: re-adopted, key revoked" } else { "renew: re-adopted" });
            }
            (Some(_), _) => {}
        }
        let lease = self.model.leases.get_mut(&room).unwrap();
        let was_late = lease.until.plus(self.times.grace) <= now;
        lease.until = now.plus(self.times.ttl);
        lease.last_media_at = facts.last_media_at;
        if facts.live_at.is_some() && !lease.is_live {
            lease.is_live = true;
            events.push(("live".to_owned(), session));
        }
        let want = lease.want.clone().filter(|want| now < want.until);
        let expected = Renewed::Kept { order: lease.order.clone(), want: want.clone() };
        let outcomes = [
            (true, "renew: kept"),
            (was_late, "renew: kept after its deadline"),
            (lease.order.is_some(), "renew: kept, order"),
            (want.is_some(), "renew: kept, want"),
            (events.iter().any(|(kind, _)| kind == "live"), "renew: went live"),
        ];
        ensure!(answer == expected, "expected {expected:?}, answered {answer:?}");
        for (_, outcome) in outcomes.iter().filter(|(is_so, _)| *is_so) {
            self.count(outcome);
        }
        self.expect(&events, &rings)?;
        let view = self.machine.lease(now, &room).ok_or("a lease just renewed is not there")?;
        ensure!(view.facts == facts && view.card == card, "another view: {view:?}");
        if call.is_reply_lost {
            return Ok(());
        }
        let believes_until = self.belief(sent);
        let session = &mut self.sessions[nth];
        session.believes_until = session.believes_until.max(believes_until);
        match want {
            Some(want) => self.on_want(nth, &want),
            None => Ok(()),
        }
    }

    fn heard_lost(&mut self, nth: usize, call: Call) -> Step {
        // Unheard, it goes on believing until its deadline, which nobody was granted before.
        self.sessions[nth].is_over |= !call.is_reply_lost;
        Ok(())
    }

    /// The holder's node decides.
    pub(in crate::registry) fn on_want(&mut self, nth: usize, want: &Want) -> Step {
        let session = &self.sessions[nth];
        let Some(card) = session.card.clone() else { return Ok(()) };
        let boot = |at: UnixMs| BootTime(at.0 * 1_000_000);
        let silent_since = session.media_at.unwrap_or(session.granted_at);
        match decide(want, &card, boot(silent_since), &self.times, boot(self.now)) {
            Verdict::Ignore => Err("a wish that may not be granted was noted".to_owned()),
            Verdict::LookAt(_) => {
                self.count("want: later");
                Ok(())
            }
            Verdict::Yield => {
                self.count("want: yields");
                let is_own = want.live_key_id == card.live_key_id && want.client_addr == card.client_addr;
                let patience = match want.takeover {
                    Takeover::Always => 0,
                    Takeover::Idle if is_own => 1_000,
                    Takeover::Idle => 5_000,
                    Takeover::Never => u64::MAX,
                };
                let silence = self.now.since(silent_since);
                ensure!(silence >= patience, "superseded after {silence} ms of silence by {want:?}");
                let call = Call { delay_ms: 0, is_reply_lost: false };
                self.release(nth, EndReason::Superseded, false, call)
            }
        }
    }

    pub(in crate::registry) fn on_release(
        &mut self,
        back: u8,
        reason: EndReason,
        live: bool,
        call: Call,
    ) -> Step {
        match self.recent(back) {
            Some(nth) => self.release(nth, reason, live, call),
            None => Ok(()),
        }
    }

    pub(in crate::registry) fn release(
        &mut self,
        nth: usize,
        reason: EndReason,
        live: bool,
        call: Call,
    ) -> Step {
        let Some((card, facts)) = self.facts_of(nth, live) else { return Ok(()) };
        // The node stops before it says so.
        self.sessions[nth].is_over = true;
        self.pass(call.delay_ms);
        self.wake();
        let now = self.now;
        let mut events = Vec::new();
        let mut rings = Vec::new();
        if self.is_older(&card) {
            self.count("release: over an older one, recorded");
            let (event, ring) = self.model_lost(&card.room_id);
            events.push(event);
            rings.extend(ring);
        }
        let holder = self.model.leases.get(&card.room_id);
        let is_mine = holder.is_some_and(|lease| lease.card.session_id == card.session_id);
        let was_live = holder.is_some_and(|lease| lease.is_live);
        let is_anothers = holder.is_some() && !is_mine;
        let is_over = is_anothers || self.model.is_over(now, &card).is_some();
        let answer = self.machine.release(now, &Release { card: card.clone(), facts: facts.clone(), reason });
        if is_over {
            self.count(if is_anothers {
                "release: over, someone else's now"
            } else {
                "release: over, tombstone"
            });
            ensure!(answer == Released::AlreadyOver, "ended twice: {card:?}");
            return self.expect(&[], &[]);
        }
        ensure!(answer == Released::Ended, "an end was not recorded: {card:?}");
        if !is_mine {
            self.count("release: by a session without lease, recorded");
        } else if !was_live && facts.live_at.is_some() {
            self.count("release: went live on the way");
            events.push(("live".to_owned(), card.session_id));
        } else {
            self.count("release: ended");
        }
        events.push((format!("ended {reason}"), card.session_id));
        let ring = self.model.end(now, &card, reason, &self.times);
        rings.extend(ring.map(|node| (node, card.room_id.clone())));
        let new = self.expect_events(&events, &rings)?;
        let last = new.last().ok_or("no event")?;
        let quiet_since = facts.last_media_at.unwrap_or(card.granted_at);
        let ended_at = if reason == EndReason::Timeout { quiet_since.min(now) } else { now };
        let ended_at = ended_at.max(card.granted_at);
        ensure!(last.kind == EventKind::Ended { reason, ended_at }, "ended otherwise: {last:?}");
        ensure!(last.facts == facts && last.session == card, "other facts: {last:?}");
        Ok(())
    }

    pub(in crate::registry) fn model_lost(
        &mut self,
        room: &RoomId,
    ) -> ((String, SessionId), Option<(NodeId, RoomId)>) {
        let card = self.model.leases[room].card.clone();
        let ring = self.model.end(self.now, &card, EndReason::Lost, &self.times);
        (("ended lost".to_owned(), card.session_id), ring.map(|node| (node, room.clone())))
    }

    /// The room's lease is of an older session than this one, which a registry that lost the time between still believes in.
    /// So may the session itself, if it came back first; then nothing but the fence is left.
    fn is_older(&mut self, card: &SessionCard) -> bool {
        let older = self.model.leases.get(&card.room_id).map(|lease| &lease.card);
        let Some(older) = older.filter(|older| older.epoch < card.epoch) else { return false };
        for session in &mut self.sessions {
            if session.claim.session_id == older.session_id {
                session.believes_until = 0;
            }
        }
        true
    }

    /// The leases that `are_lost`, by deadline, and when their sessions ended.
    fn lost(&self, are_lost: impl Fn(&Self, &RoomId) -> bool) -> Vec<(UnixMs, RoomId, UnixMs)> {
        let leases = self.model.leases.iter().filter(|(room, _)| are_lost(self, room));
        let lost = leases.map(|(room, lease)| {
            let ended_at = lease.last_media_at.map_or(lease.card.granted_at, |at| at.min(self.now));
            (lease.until, room.clone(), ended_at.max(lease.card.granted_at))
        });
        lost.collect()
    }

    pub(in crate::registry) fn on_tick(&mut self, limit: usize) -> Step {
        self.wake();
        let mut dead = self.lost(|world, room| world.model.is_dead(world.now, room, &world.times));
        dead.sort();
        dead.truncate(limit);
        self.count(if dead.is_empty() { "tick: nothing" } else { "tick: lost" });
        let tick = self.machine.tick(self.now, limit);
        let memory = self.model.memory.clone();
        let floor = memory.as_ref().map(|memory| memory.floor).filter(|floor| self.now < *floor);
        ensure!(tick.floor == floor, "floor at {:?}, not {floor:?}", tick.floor);
        if floor.is_some() {
            self.count("tick: before the floor");
        }
        let is_loaded = memory.is_none_or(|memory| memory.is_loaded);
        ensure!(tick.is_loaded == is_loaded, "loaded: {}, not {is_loaded}", tick.is_loaded);
        if !is_loaded {
            self.count("tick: not loaded");
        }
        self.expect_lost(&tick.reaped, &dead)
    }

    pub(in crate::registry) fn on_free_node(&mut self, node: usize) -> Step {
        self.wake();
        let node = self.nodes[node].clone();
        let held = self.lost(|world, room| world.model.leases[room].card.node_id == node);
        self.count(if held.is_empty() { "free node: nothing" } else { "free node: lost" });
        let freed = self.machine.free_node(self.now, &node);
        self.sessions.retain(|session| session.claim.node_id != node);
        self.expect_lost(&freed, &held)
    }

    fn expect_lost(&mut self, told: &[RoomId], dead: &[(UnixMs, RoomId, UnixMs)]) -> Step {
        let expected: Vec<_> = dead.iter().map(|(_, room, _)| room.clone()).collect();
        ensure!(told == expected, "lost {told:?}, not {expected:?}");
        let (events, rings): (Vec<_>, Vec<_>) = expected.iter().map(|room| self.model_lost(room)).unzip();
        let rings: Vec<_> = rings.into_iter().flatten().collect();
        let new = self.expect_events(&events, &rings)?;
        for (event, (_, _, ended_at)) in new.iter().zip(dead) {
            let expected = EventKind::Ended { reason: EndReason::Lost, ended_at: *ended_at };
            ensure!(event.kind == expected, "lost at another time: {event:?}");
        }
        Ok(())
    }
}
