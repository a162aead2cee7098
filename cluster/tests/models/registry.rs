//! The registry of one room, as a model: the rules of its scripts, in ticks instead of milliseconds.

use crate::rules::{EpochRule, Rules, TTL};

pub(crate) type SessionId = u8;

/// What a primary keeps, and its replicas copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Data {
    /// False while it knows nothing at all: new, or wiped.
    is_born: bool,
    pub(crate) lease: Option<Lease>,
    high: u8,
    /// The sessions that ended here, as bits, and the highest of their epochs.
    tombs: u16,
    tomb_epoch: u8,
    /// Before this nobody is dead, and in a blank shard rooms without a lease are closed.
    floor: u8,
    is_blank: bool,
    seen: u8,
    /// Which process wrote last.
    pub(crate) run: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) session: SessionId,
    pub(crate) epoch: u8,
    until: u8,
    is_wanted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Acquire(SessionId),
    Renew(SessionId, u8),
    Release(SessionId, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Granted(u8),
    /// Busy, or recovering: to be asked again.
    NotNow,
    /// This session has ended.
    Ended,
    Kept {
        is_wanted: bool,
    },
    Lost,
    Released,
}

/// What a call did besides answering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Whose lease was found dead.
    pub(crate) buried: Option<SessionId>,
    /// A session with a lease again, though the registry had lost it.
    pub(crate) has_adopted: bool,
    /// A session that had ended has a lease.
    pub(crate) has_risen: bool,
}

impl Data {
    /// Somebody looks after the shard, or calls: `time` is the server's own clock.
    pub(crate) fn look(&mut self, rules: &Rules, time: u8, run: u8) {
        let floor = time + TTL + rules.grace;
        let is_after_gap = rules.gap.is_some_and(|gap| time.saturating_sub(self.seen) > gap);
        if !self.is_born {
            *self = Self { is_born: true, ..Self::default() };
            if rules.blank {
                (self.is_blank, self.floor) = (true, floor);
            }
        } else if rules.floor && (is_after_gap || self.run != run) {
            self.is_blank &= time < self.floor;
            self.floor = floor;
        }
        self.run = run;
        self.seen = if rules.gap.is_some() { time } else { 0 };
    }

    fn is_dead(&self, rules: &Rules, time: u8, lease: &Lease) -> bool {
        time >= self.floor && lease.until + rules.grace <= time
    }

    fn bury(&mut self, session: SessionId, epoch: u8) {
        self.tombs |= 1 << session;
        self.tomb_epoch = self.tomb_epoch.max(epoch);
    }

    fn has_ended(&self, rules: &Rules, session: SessionId) -> bool {
        rules.tombstones && self.tombs & (1 << session) != 0
    }

    pub(crate) fn execute(&mut self, rules: &Rules, time: u8, run: u8, op: Op) -> (Answer, Effect) {
        self.look(rules, time, run);
        let mut effect = Effect::default();
        let until = time + TTL;
        let answer = match op {
            Op::Acquire(session) => self.acquire(rules, time, session, &mut effect),
            Op::Renew(session, epoch) => {
                if let Some(older) = self.lease.filter(|l| l.session != session && l.epoch < epoch) {
                    self.bury(older.session, older.epoch);
                    self.lease = None;
                }
                let is_over =
                    rules.tombstones && (self.has_ended(rules, session) || self.tomb_epoch >= epoch);
                match &mut self.lease {
                    Some(lease) if lease.session == session => {
                        lease.until = until;
                        Answer::Kept { is_wanted: std::mem::take(&mut lease.is_wanted) }
                    }
                    Some(_) => Answer::Lost,
                    None if is_over => Answer::Lost,
                    None => {
                        effect.has_adopted = true;
                        effect.has_risen = self.tombs & (1 << session) != 0;
                        self.high = self.high.max(epoch);
                        self.lease = Some(Lease { session, epoch, until, is_wanted: false });
                        Answer::Kept { is_wanted: false }
                    }
                }
            }
            Op::Release(session, epoch) => {
                if self.lease.is_some_and(|l| l.session == session || l.epoch < epoch) {
                    self.lease = None;
                }
                if self.lease.is_none() {
                    self.high = self.high.max(epoch);
                    self.bury(session, epoch);
                }
                Answer::Released
            }
        };
        (answer, effect)
    }

    fn acquire(&mut self, rules: &Rules, time: u8, session: SessionId, effect: &mut Effect) -> Answer {
        let until = time + TTL;
        if let Some(lease) = self.lease.as_mut().filter(|lease| lease.session == session) {
            lease.until = until;
            return Answer::Granted(lease.epoch);
        }
        if self.has_ended(rules, session) {
            return Answer::Ended;
        }
        if self.lease.is_none() && self.is_blank && time < self.floor {
            return Answer::NotNow;
        }
        if let Some(lease) = self.lease {
            if self.is_dead(rules, time, &lease) || rules.theft {
                self.bury(lease.session, lease.epoch);
                effect.buried = Some(lease.session);
                self.lease = None;
            } else {
                self.lease = Some(Lease { is_wanted: true, ..lease });
                return Answer::NotNow;
            }
        }
        effect.has_risen = self.tombs & (1 << session) != 0;
        self.high = match rules.epochs {
            EpochRule::TimeOrNext => time.max(self.high + 1),
            EpochRule::Next => self.high + 1,
        };
        self.lease = Some(Lease { session, epoch: self.high, until, is_wanted: false });
        Answer::Granted(self.high)
    }
}
