//! Ownership, on SQLite: whoever has the file has all shards, under a term that rises with every opening of it.

use std::time::Duration;

use async_trait::async_trait;
use onair_cluster::Shard;
use sqlx::SqliteConnection;

use super::columns::count;
use super::{SqliteLiveDb, failure};
use crate::live_db::{Holdings, LiveDbError, ManagerId, Owners, ShardTerm, Term};

#[async_trait]
impl Owners for SqliteLiveDb {
    async fn beat(&self, _: &ManagerId, _: Duration) -> Result<Holdings, LiveDbError> {
        let shards = Shard::all().map(|shard| ShardTerm { shard, term: self.term }).collect();
        Ok(Holdings { shards, managers: 1 })
    }

    /// There is nobody else to have them; the file's lock goes with the process.
    async fn give_up(&self, _: &ManagerId, _: &[ShardTerm], _: bool) -> Result<(), LiveDbError> {
        Ok(())
    }
}

impl SqliteLiveDb {
    /// Passes if each of `shards` stands in `terms` with the term of this opening.
    pub(super) fn fence(
        &self,
        terms: &[ShardTerm],
        shards: impl IntoIterator<Item = Shard>,
    ) -> Result<(), LiveDbError> {
        let mut is_owned = [false; Shard::COUNT as usize];
        for owned in terms.iter().filter(|owned| owned.term == self.term) {
            is_owned[owned.shard.index()] = true;
        }
        match shards.into_iter().find(|shard| !is_owned[shard.index()]) {
            Some(shard) => Err(LiveDbError::Fenced(shard)),
            None => Ok(()),
        }
    }
}

/// Begins a new term for all shards.
pub(super) async fn next_term(c: &mut SqliteConnection) -> Result<Term, LiveDbError> {
    sqlx::query("UPDATE shard_owner SET term = 1 + (SELECT max(term) FROM shard_owner)")
        .execute(&mut *c)
        .await
        .map_err(failure)?;
    let row = sqlx::query("SELECT max(term) AS term FROM shard_owner").fetch_one(c).await.map_err(failure)?;
    Ok(Term(count(&row, "term")?))
}
