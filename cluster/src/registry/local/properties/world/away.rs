//! A registry that is away, forgets, or goes on from an older copy; and what is put back into it.

use super::super::Machine;
use super::super::log::Log;
use super::super::model::{Memory, Model};
use super::super::ops::Away;
use super::{Contact, Known, Step, World};
use crate::ids::{LiveKeyId, RoomId, SessionId};
use crate::registry::{Hold, KeyRecord};
use crate::time::UnixMs;
use std::collections::BTreeMap;

/// What a replica has.
pub(in crate::registry) struct Copied {
    model: Model,
    log: Log,
    acknowledged: u64,
}

/// Keys and holds that the registry forgot.
#[derive(Default)]
pub(in crate::registry) struct Lost {
    keys: BTreeMap<LiveKeyId, KeyRecord>,
    holds: BTreeMap<RoomId, Hold>,
}

impl<M: Machine> World<M> {
    /// A cluster's first day: the shard has all keys there are, and never had a session.
    pub(in crate::registry) fn start(&mut self) {
        let Some(memory) = &mut self.model.memory else { return };
        assert!(self.machine.recovered(self.now, true, memory.life));
        *memory = Memory { is_loaded: true, is_blank: false, floor: UnixMs(0), ..memory.clone() };
        self.known = self.machine.position();
        self.meet();
    }

    /// Who calls from now on, and what it knows.
    pub(in crate::registry) fn meet(&mut self) {
        let run_id = if self.run == 0 { String::new() } else { format!("run-{}", self.run) };
        self.machine.meet(&Known { run_id, position: self.known, contact: self.contact });
    }

    /// What the shard would know of itself if it were called now.
    pub(in crate::registry) fn woken(&self) -> Option<Memory> {
        self.model.woken(self.now, &self.times, (self.run, self.known), self.contact, self.log.last_n())
    }

    /// The shard is about to be called.
    pub(in crate::registry) fn wake(&mut self) {
        self.meet();
        let woken = self.woken();
        if let (Some(before), Some(after)) = (&self.model.memory, &woken) {
            let outcome = match (before.life != after.life, before.floor != after.floor) {
                (true, _) if before.life == 0 => Some("away: born anew"),
                (true, _) => Some("away: rewound"),
                (false, true) if before.run != after.run => Some("away: another process"),
                (false, true) => Some("away: out of reach"),
                (false, false) if before.seen.0 + 3_000 < self.now.0 => Some("away: quiet, but there"),
                (false, false) => None,
            };
            outcome.into_iter().for_each(|outcome| self.count(outcome));
        }
        self.model.memory = woken;
    }

    /// Time passes while whoever reads the shard's events looks after it every second.
    pub(in crate::registry) fn pass_attended(&mut self, ms: u64) {
        if self.model.memory.is_some() && ms > 300 {
            self.wake();
            self.machine.tick(self.now, 0);
            self.pass(ms);
            self.machine.attended(self.now);
            self.model.memory.iter_mut().for_each(|memory| memory.seen = self.now);
        } else {
            self.pass(ms);
        }
    }

    pub(in crate::registry) fn on_away(&mut self, ms: u64, how: Away) -> Step {
        if self.model.memory.is_none() {
            return Ok(());
        }
        self.contact = None;
        self.pass(ms);
        match how {
            Away::Frozen => {}
            Away::Restarted => self.run += 1,
            Away::Rewound => self.rewind(),
            Away::Blank => {
                self.run += 1;
                self.forget();
            }
        }
        self.expect(&[], &[])
    }

    pub(in crate::registry) fn on_quiet(&mut self, ms: u64, short: u64) -> Step {
        let from = self.contact.map_or(self.now, |contact| contact.from);
        self.pass(ms);
        self.contact = Some(Contact { from, to: UnixMs(self.now.0.saturating_sub(short)) });
        self.expect(&[], &[])
    }

    pub(in crate::registry) fn on_wipe(&mut self) -> Step {
        self.count("wipe");
        self.forget();
        self.put_back()?;
        if self.model.memory.is_none() {
            // What the caller of an emptied registry owes: incumbents come back first.
            self.floor = self.boot + u64::try_from((self.times.ttl + self.times.grace).as_millis()).unwrap();
        } else {
            self.recover(0)?;
        }
        self.expect(&[], &[])
    }

    pub(in crate::registry) fn on_copy(&mut self) -> Step {
        if self.model.memory.is_some() {
            self.machine.copy();
            let (model, log) = (self.model.clone(), self.log.clone());
            self.copy = Some(Copied { model, log, acknowledged: self.acknowledged });
        }
        Ok(())
    }

    pub(in crate::registry) fn on_new_caller(&mut self) -> Step {
        // Not while the registry is behind what only the caller of before knows: that would be one fault more than it claims
        // to stand.
        if self.known == self.machine.position() {
            self.known = super::Position::default();
        }
        Ok(())
    }

    pub(in crate::registry) fn on_recover(&mut self, late: bool) -> Step {
        if self.model.memory.is_some() {
            self.put_back()?;
            self.recover(u64::from(late))?;
        }
        self.expect(&[], &[])
    }

    fn put_back(&mut self) -> Step {
        let lost = std::mem::take(&mut self.lost);
        for (id, record) in lost.keys {
            if self.model.key(self.now, &id).is_none() {
                self.wake();
                self.machine.put_key(self.now, &record);
                let is_revoked = record.revoked;
                self.model.keys.insert(id.clone(), record);
                let (events, rings) = if is_revoked { self.model_revoked(&id) } else { Default::default() };
                self.expect(&events, &rings)?;
            }
        }
        for (room, hold) in lost.holds {
            if !self.model.holds.contains_key(&room) {
                self.wake();
                self.machine.put_hold(self.now, &room, &hold);
                self.model.holds.insert(room, hold);
            }
        }
        Ok(())
    }

    /// Everything is back in the shard as it was `lives` ago.
    fn recover(&mut self, lives: u64) -> Step {
        self.wake();
        let Some(memory) = &mut self.model.memory else { return Ok(()) };
        let told = self.machine.recovered(self.now, false, memory.life - lives);
        memory.is_loaded |= lives == 0;
        self.count(if lives == 0 { "recovered" } else { "recovered: lost again" });
        ensure!(told == (lives == 0), "recovered: {told}");
        Ok(())
    }

    fn forget(&mut self) {
        self.machine.wipe();
        self.acknowledged = 0;
        let before = std::mem::take(&mut self.model);
        self.model.memory = before.memory.map(|_| Memory::default());
        self.lost.keys.extend(before.keys);
        self.lost.holds.extend(before.holds);
        self.keep_who_comes_back();
        // Epochs go on above those of sessions that nobody brings back.
        let over = self.log.newest_epoch_except(&self.coming_back());
        self.machine.raise_epochs(over);
        self.log.wiped(over);
    }

    fn rewind(&mut self) {
        let Some(copy) = self.copy.take() else { return };
        // A caller that has not seen what is lost cannot tell. Nor is more asked than that a confirmed state survives.
        if self.known < self.machine.position() {
            self.copy = Some(copy);
            return;
        }
        self.run += 1;
        self.keep_who_comes_back();
        let newest = self.log.newest_epoch_except(&[]);
        self.machine.rewind();
        self.machine.raise_epochs(newest);
        self.model = copy.model.clone();
        let coming_back = self.coming_back();
        self.log.rewound(&copy.log, &coming_back);
        self.acknowledged = copy.acknowledged;
        self.copy = Some(copy);
    }

    /// Who is over does not come back, nor who never heard of a grant.
    fn keep_who_comes_back(&mut self) {
        let log = &self.log;
        self.sessions.retain(|session| {
            session.card.is_some() && !session.is_over && !log.is_ended(session.claim.session_id)
        });
        self.sessions.iter_mut().for_each(|session| session.is_from_before_wipe = true);
    }

    fn coming_back(&self) -> Vec<SessionId> {
        self.sessions.iter().map(|session| session.claim.session_id).collect()
    }
}
