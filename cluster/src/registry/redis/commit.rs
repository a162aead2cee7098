//! The keeper's batch: one pipeline and one `WAIT` per primary, all primaries at once, and every item with a fate of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::redis::Value;
use futures_util::future::join_all;

use super::call::Call;
use super::primary::{Answers, Lane, Primary};
use super::slots::Tag;
use super::{RedisRegistry, decode, encode};
use crate::ids::Shard;
use crate::registry::{Batch, BatchReply, Confirmed, RegistryError, Renewal};

/// The keeper gives up on the whole call; what one primary does not answer must be given up a little earlier, so that the
/// answers of the others still count.
const WITHIN: f64 = 0.9;

/// A call and whose answer it brings.
struct Item {
    call: Call,
    whose: Whose,
}

/// Indices of a batch.
enum Whose {
    Release(usize),
    Renewals(Vec<usize>),
    Claim(usize),
}

/// What goes to one primary, in the order in which it is written there.
struct Share {
    primary: Arc<Primary>,
    items: Vec<Item>,
}

impl RedisRegistry {
    pub(super) async fn commit_all(&self, batch: &Batch) -> BatchReply {
        let mut reply = unanswered(batch);
        let shares = self.shares(batch);
        let within = self.times.call_timeout.mul_f64(WITHIN);
        let answered = join_all(shares.iter().map(|share| self.send(share, within))).await;
        for (share, answers) in shares.iter().zip(answered) {
            match answers {
                Ok(answers) => self.fill(&mut reply, &share.items, answers),
                Err(error) => share.items.iter().for_each(|item| fail(&mut reply, &item.whose, &error)),
            }
        }
        reply
    }

    /// Sorts the batch by primary. What has none stays unanswered. Releases come first and claims last, so that a room given
    /// back and wanted in the same batch changes hands at once.
    fn shares(&self, batch: &Batch) -> Vec<Share> {
        let releases = batch
            .releases
            .iter()
            .enumerate()
            .map(|(at, release)| Item { call: encode::release(release), whose: Whose::Release(at) });
        let claims = batch
            .claims
            .iter()
            .enumerate()
            .map(|(at, claim)| Item { call: encode::acquire(claim), whose: Whose::Claim(at) });
        let mut shares: Vec<Share> = Vec::new();
        let table = self.routes.table();
        for item in releases.chain(renewals(batch)).chain(claims) {
            let Some(primary) = table.primary(Tag::Shard(item.call.shard)) else {
                self.reports.call_without_connection(Lane::Ownership.name());
                continue;
            };
            match shares.iter_mut().find(|share| Arc::ptr_eq(&share.primary, primary)) {
                Some(share) => share.items.push(item),
                None => shares.push(Share { primary: Arc::clone(primary), items: vec![item] }),
            }
        }
        shares
    }

    async fn send(&self, share: &Share, within: Duration) -> Result<Answers, RegistryError> {
        let Share { primary, items } = share;
        let command = |at: usize| {
            let call = &items[at].call;
            call.command(&self.caller(primary, call.shard))
        };
        Ok(primary.run(Lane::Ownership, items.len(), &command, self.confirm, within).await?)
    }

    fn fill(&self, reply: &mut BatchReply, items: &[Item], answers: Answers) {
        let confirmed = answers.is_confirmed;
        for (item, value) in items.iter().zip(answers.values) {
            let read = item.call.answer(value).and_then(|value| {
                self.read(reply, &item.whose, &value, confirmed)?;
                decode::position(&value)
            });
            match read {
                Ok(position) if confirmed => {
                    self.shards[item.call.shard.index()].on_confirmed(position);
                }
                Ok(_) => {}
                Err(error) => fail(reply, &item.whose, &error),
            }
        }
    }

    fn read(
        &self,
        reply: &mut BatchReply,
        whose: &Whose,
        value: &Value,
        confirmed: bool,
    ) -> Result<(), RegistryError> {
        match whose {
            Whose::Release(at) => {
                reply.releases[*at] = Ok(Confirmed { answer: decode::released(value)?, confirmed });
            }
            Whose::Renewals(those) => {
                let answers = decode::renewed(value, those.len())?;
                for (at, answer) in those.iter().zip(answers) {
                    reply.renewals[*at] = Ok(Confirmed { answer, confirmed });
                }
            }
            Whose::Claim(at) => {
                reply.claims[*at] = Ok(Confirmed { answer: decode::acquired(value)?, confirmed });
            }
        }
        Ok(())
    }
}

/// Renewals by shard, in calls of a bounded size.
fn renewals(batch: &Batch) -> Vec<Item> {
    let mut by_shard: BTreeMap<Shard, Vec<usize>> = BTreeMap::new();
    for (at, renewal) in batch.renewals.iter().enumerate() {
        by_shard.entry(renewal.card.room_id.shard()).or_default().push(at);
    }
    let mut items = Vec::new();
    for (shard, all) in by_shard {
        for those in all.chunks(Batch::RENEWALS_MAX) {
            let renewals: Vec<&Renewal> = those.iter().map(|at| &batch.renewals[*at]).collect();
            let call = encode::renew(shard, &renewals);
            items.push(Item { call, whose: Whose::Renewals(those.to_vec()) });
        }
    }
    items
}

fn unanswered(batch: &Batch) -> BatchReply {
    const fn away<T, U>(_: &T) -> Result<Confirmed<U>, RegistryError> {
        Err(RegistryError::Unreachable)
    }
    BatchReply {
        claims: batch.claims.iter().map(away).collect(),
        renewals: batch.renewals.iter().map(away).collect(),
        releases: batch.releases.iter().map(away).collect(),
    }
}

fn fail(reply: &mut BatchReply, whose: &Whose, error: &RegistryError) {
    match whose {
        Whose::Release(at) => reply.releases[*at] = Err(error.clone()),
        Whose::Renewals(those) => those.iter().for_each(|at| reply.renewals[*at] = Err(error.clone())),
        Whose::Claim(at) => reply.claims[*at] = Err(error.clone()),
    }
}
