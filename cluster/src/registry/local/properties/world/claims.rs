//! Publishers that want a room.

use std::net::IpAddr;
use std::time::Duration;

use super::super::Machine;
use super::super::model::Expected;
use super::super::ops::Call;
use super::{Session, Step, UNREAD_MAX, World};
use crate::events::SessionCard;
use crate::ids::{ProducerId, SessionId};
use crate::registry::{Acquired, Claim, Denial, KeyRecord, Takeover, Want};

impl<M: Machine> World<M> {
    pub(in crate::registry) fn on_claim(
        &mut self,
        node: u8,
        room: u8,
        key: u8,
        addr: u8,
        call: Call,
    ) -> Step {
        let room = usize::from(room);
        // 0 to 3 are the room's own keys, more often than not the holder's; 8 is unknown; 9 is the other room's; 10 is
        // another issuer's.
        let key = match key {
            8 => 8,
            9 => (1 - room) * 4,
            10 => 9,
            own => room * 4 + usize::from(own) % 4,
        };
        let claim = Claim {
            session_id: SessionId(u128::try_from(self.history.len()).unwrap()),
            room_id: self.rooms[room].clone(),
            live_key_id: self.keys[key].clone(),
            node_id: self.nodes[usize::from(node)].clone(),
            client_addr: IpAddr::from([127, 0, 0, addr + 1]),
            client_agent: format!("encoder {addr}"),
            issued: (key == 9).then(|| self.issued_key(room)),
        };
        self.sessions.push(Session {
            claim,
            card: None,
            believes_until: 0,
            is_over: false,
            is_from_before_wipe: false,
            live_at: None,
            media_at: None,
            granted_at: self.now,
        });
        self.claim(self.sessions.len() - 1, call)
    }

    pub(in crate::registry) fn on_claim_again(&mut self, back: u8, call: Call) -> Step {
        match self.recent(back) {
            // No claim of before a wipe is still on its way after the floor: a node gives up far sooner.
            Some(nth) if !self.sessions[nth].is_from_before_wipe => self.claim(nth, call),
            _ => Ok(()),
        }
    }

    fn claim(&mut self, nth: usize, call: Call) -> Step {
        if self.boot + call.delay_ms < self.floor {
            return Ok(());
        }
        let sent = self.boot;
        self.pass(call.delay_ms);
        self.wake();
        let now = self.now;
        let claim = self.sessions[nth].claim.clone();
        let room = claim.room_id.clone();
        if self.model.makes_key(now, &claim) {
            self.count("acquire: key came with the claim");
            self.model.keys.extend(claim.issued.clone().map(|key| (claim.live_key_id.clone(), key)));
        }
        let is_backlog = self.machine.events().len() >= UNREAD_MAX;
        let expected = self.model.expected(now, &claim, &self.times, is_backlog);
        let answer = self.machine.acquire(now, &claim);
        let told = format!("expected {expected:?}, answered {answer:?}");
        match (expected, &answer) {
            (Expected::Again, Acquired::Granted(grant)) => {
                self.count("acquire: again");
                ensure!(grant.card == self.model.leases[&room].card, "another answer: {told}");
                self.model.leases.get_mut(&room).unwrap().until = now.plus(self.times.ttl);
                self.expect(&[], &[])?;
            }
            (Expected::GrantedFree | Expected::GrantedDead, Acquired::Granted(grant)) => {
                self.check_grant(&claim, &grant.card)?;
                let key = self.model.key(now, &claim.live_key_id);
                let limits = key.map(|key| (key.max_duration, key.max_bitrate)).unwrap_or_default();
                ensure!((grant.max_duration, grant.max_bitrate) == limits, "other limits: {told}");
                let mut events = vec![("granted".to_owned(), claim.session_id)];
                let mut rings = Vec::new();
                if expected == Expected::GrantedDead {
                    self.count("acquire: granted, dead");
                    let (event, ring) = self.model_lost(&room);
                    events.insert(0, event);
                    rings.extend(ring);
                } else {
                    self.count("acquire: granted, free");
                }
                self.model.insert(now, grant.card.clone(), &self.times);
                self.expect(&events, &rings)?;
            }
            (
                Expected::BusyAsked | Expected::BusyNever | Expected::BusyResting | Expected::BusyOutweighed,
                Acquired::Busy { holder, wanted },
            ) => {
                let is_asked = expected == Expected::BusyAsked;
                ensure!(*wanted == is_asked, "{told}");
                self.count(match expected {
                    Expected::BusyAsked => "acquire: busy, asked",
                    Expected::BusyNever => "acquire: busy, never",
                    Expected::BusyResting => "acquire: busy, resting",
                    _ => "acquire: busy, outweighed",
                });
                let lease = &self.model.leases[&room];
                ensure!(holder.session_id == lease.card.session_id, "another holder: {told}");
                let quiet = now.since(lease.last_media_at.unwrap_or(lease.card.granted_at));
                ensure!(holder.media_age == Duration::from_millis(quiet), "media {quiet} ms old: {told}");
                let mut rings = Vec::new();
                if is_asked {
                    rings.push((lease.card.node_id.clone(), room.clone()));
                    self.model_want(&claim);
                }
                self.expect(&[], &rings)?;
            }
            (Expected::Ended, Acquired::Denied(Denial::Ended)) => self.refused("acquire: ended")?,
            (Expected::Held, Acquired::Denied(Denial::Held { until })) => {
                ensure!(*until == self.model.holds[&room].until, "{told}");
                self.refused("acquire: held")?;
            }
            (Expected::UnknownKey, Acquired::Denied(Denial::UnknownKey)) => {
                self.refused("acquire: unknown key")?;
            }
            (Expected::NotLoaded, Acquired::Recovering) => self.refused("acquire: recovering, keys")?,
            (Expected::Closed, Acquired::Recovering) => self.refused("acquire: recovering, closed")?,
            (Expected::Revoked, Acquired::Denied(Denial::Revoked)) => self.refused("acquire: revoked")?,
            (Expected::WrongRoom, Acquired::Denied(Denial::WrongRoom)) => {
                self.refused("acquire: wrong room")?;
            }
            (Expected::Backlog, Acquired::Backlog) => self.refused("acquire: backlog")?,
            _ => return Err(told),
        }
        if let Acquired::Granted(grant) = answer
            && !call.is_reply_lost
            && !self.sessions[nth].is_over
        {
            let believes_until = self.belief(sent);
            let session = &mut self.sessions[nth];
            session.granted_at = grant.card.granted_at;
            session.card = Some(grant.card);
            session.believes_until = session.believes_until.max(believes_until);
        }
        Ok(())
    }

    /// The record of a key that another issuer minted, for this room.
    fn issued_key(&self, room: usize) -> KeyRecord {
        KeyRecord {
            live_key_id: self.keys[9].clone(),
            room_id: self.rooms[room].clone(),
            producer_id: ProducerId::parse("guest").unwrap(),
            takeover: Takeover::Idle,
            max_duration: Some(Duration::from_secs(60)),
            max_bitrate: Some(6_000_000),
            revoked: false,
            expires_at: self.now.plus(Duration::from_secs(20)),
        }
    }

    fn refused(&mut self, outcome: &str) -> Step {
        self.count(outcome);
        self.expect(&[], &[])
    }

    /// What must be true of every grant, whatever the model says.
    fn check_grant(&self, claim: &Claim, card: &SessionCard) -> Step {
        let believer = self.sessions.iter().find(|other| {
            other.claim.room_id == claim.room_id
                && other.claim.session_id != claim.session_id
                && !other.is_over
                && other.believes_until > self.boot
        });
        if let Some(other) = believer {
            return Err(format!("granted to {} while {} believes", claim.session_id, other.claim.session_id));
        }
        ensure!(card.granted_at == self.now && card.session_id == claim.session_id, "another card: {card:?}");
        ensure!(card.epoch.0 >= self.now.0 * 1_000, "an epoch below the clock: {card:?}");
        Ok(())
    }

    fn model_want(&mut self, claim: &Claim) {
        let takeover = self.model.keys[&claim.live_key_id].takeover;
        let until = self.now.plus(self.times.want_for);
        let lease = self.model.leases.get_mut(&claim.room_id).unwrap();
        let in_force = lease.want.as_ref().filter(|want| self.now < want.until);
        if in_force.is_some_and(|want| want.session_id == claim.session_id) {
            return;
        }
        lease.want = Some(Want {
            session_id: claim.session_id,
            node_id: claim.node_id.clone(),
            live_key_id: claim.live_key_id.clone(),
            client_addr: claim.client_addr,
            takeover,
            until,
        });
    }
}
