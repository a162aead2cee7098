//! Ownership, on PostgreSQL: a row for each run of a Manager with the time until which it lives, by the server's clock, and the
//! owner's name in each shard's row. A renewal writes the Manager's own row only, so it never waits for a lane; taking shards
//! is done by one Manager at a time, and by none that would have to wait.

use std::time::Duration;

use async_trait::async_trait;
use onair_cluster::nodes::Incarnation;
use onair_cluster::{NodeId, Shard};
use sqlx::{PgConnection, Row};

use super::columns::{count, limit, number, shard_number};
use super::{PostgresLiveDb, failure};
use crate::live_db::{Holdings, LiveDbError, ManagerId, Owners, ShardTerm, parse};

/// The key of the advisory lock under which shards are taken: "onair" in ASCII. It ends with the transaction.
const TAKING: i64 = 0x6f_6e61_6972;

#[async_trait]
impl Owners for PostgresLiveDb {
    async fn beat(&self, me: &ManagerId, lease: Duration) -> Result<Holdings, LiveDbError> {
        let me = Me::new(me);
        let taker = me.clone();
        // Two transactions: that we live counts although nothing can be taken now.
        let is_alive = self.transaction(move |c| Box::pin(async move { live(c, &me, lease).await })).await?;
        self.transaction(move |c| {
            Box::pin(async move {
                if is_alive {
                    take(c, &taker).await?;
                }
                holdings(c, &taker).await
            })
        })
        .await
    }

    async fn give_up(&self, me: &ManagerId, shards: &[ShardTerm], leaving: bool) -> Result<(), LiveDbError> {
        let (me, shards) = (Me::new(me), shards.to_vec());
        self.transaction(move |c| {
            Box::pin(async move {
                free(c, &me, &shards).await?;
                if leaving { leave(c, &me).await } else { Ok(()) }
            })
        })
        .await
    }
}

/// A [`ManagerId`] as columns have it.
#[derive(Clone)]
struct Me {
    node_id: NodeId,
    incarnation: String,
}

impl Me {
    fn new(me: &ManagerId) -> Self {
        Self { node_id: me.node_id.clone(), incarnation: Incarnation::to_string(&me.incarnation) }
    }
}

/// Writes until when we live. False if a newer run of this node has displaced us.
async fn live(c: &mut PgConnection, me: &Me, lease: Duration) -> Result<bool, LiveDbError> {
    let lease = number(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX))?;
    let row = sqlx::query(
        "INSERT INTO manager (node_id, incarnation, lives_until) \
         VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond') \
         ON CONFLICT (node_id, incarnation) DO UPDATE SET lives_until = excluded.lives_until \
         WHERE NOT manager.is_displaced RETURNING xmax = 0 AS is_new",
    )
    .bind(me.node_id.as_str())
    .bind(&me.incarnation)
    .bind(lease)
    .fetch_optional(&mut *c)
    .await
    .map_err(failure)?;
    let Some(row) = row else { return Ok(false) };
    if row.try_get("is_new").map_err(failure)? {
        // Displaced runs are remembered for a day: so long one of them may stay frozen before it beats again.
        sqlx::query(
            "UPDATE manager SET is_displaced = TRUE WHERE node_id = $1 AND incarnation <> $2 AND NOT is_displaced",
        )
        .bind(me.node_id.as_str())
        .bind(&me.incarnation)
        .execute(&mut *c)
        .await
        .map_err(failure)?;
        sqlx::query("DELETE FROM manager WHERE lives_until < clock_timestamp() - interval '1 day'")
            .execute(c)
            .await
            .map_err(failure)?;
    }
    Ok(true)
}

/// Takes what is free or whose owner is dead, up to our share. Rows that a lane has locked are taken at the next beat.
async fn take(c: &mut PgConnection, me: &Me) -> Result<(), LiveDbError> {
    let row = sqlx::query("SELECT pg_try_advisory_xact_lock($1) AS is_ours").bind(TAKING);
    let row = row.fetch_one(&mut *c).await.map_err(failure)?;
    if !row.try_get::<bool, _>("is_ours").map_err(failure)? {
        return Ok(());
    }
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM manager WHERE lives_until > clock_timestamp() AND NOT is_displaced) AS living, \
         (SELECT count(*) FROM shard_owner WHERE node_id = $1 AND incarnation = $2) AS owned",
    )
    .bind(me.node_id.as_str())
    .bind(&me.incarnation)
    .fetch_one(&mut *c)
    .await
    .map_err(failure)?;
    let as_size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let wanted =
        Holdings::share(as_size(count(&row, "living")?)).saturating_sub(as_size(count(&row, "owned")?));
    if wanted == 0 {
        return Ok(());
    }
    sqlx::query(
        "UPDATE shard_owner SET term = term + 1, node_id = $1, incarnation = $2 WHERE shard IN ( \
             SELECT shard FROM shard_owner AS taken WHERE taken.node_id IS NULL OR NOT EXISTS ( \
                 SELECT FROM manager AS owner WHERE owner.node_id = taken.node_id \
                 AND owner.incarnation = taken.incarnation AND owner.lives_until > clock_timestamp() \
                 AND NOT owner.is_displaced) \
             ORDER BY shard LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)",
    )
    .bind(me.node_id.as_str())
    .bind(&me.incarnation)
    .bind(limit(wanted))
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

async fn holdings(c: &mut PgConnection, me: &Me) -> Result<Holdings, LiveDbError> {
    let rows = sqlx::query(
        "SELECT shard, term FROM shard_owner WHERE node_id = $1 AND incarnation = $2 AND EXISTS ( \
             SELECT FROM manager WHERE node_id = $1 AND incarnation = $2 AND lives_until > clock_timestamp() \
             AND NOT is_displaced) ORDER BY shard",
    )
    .bind(me.node_id.as_str())
    .bind(&me.incarnation)
    .fetch_all(&mut *c)
    .await
    .map_err(failure)?;
    let shards = rows.iter().map(parse::shard_term).collect::<Result<_, LiveDbError>>()?;
    let sql =
        "SELECT count(*) AS living FROM manager WHERE lives_until > clock_timestamp() AND NOT is_displaced";
    let row = sqlx::query(sql).fetch_one(c).await.map_err(failure)?;
    let managers = usize::try_from(count(&row, "living")?).unwrap_or(usize::MAX);
    Ok(Holdings { shards, managers })
}

async fn free(c: &mut PgConnection, me: &Me, shards: &[ShardTerm]) -> Result<(), LiveDbError> {
    let (numbers, terms) = arrays(shards)?;
    sqlx::query(
        "UPDATE shard_owner SET node_id = NULL, incarnation = NULL \
         FROM unnest($3::integer[], $4::bigint[]) AS given (shard, term) \
         WHERE shard_owner.shard = given.shard AND shard_owner.term = given.term \
         AND node_id = $1 AND incarnation = $2",
    )
    .bind(me.node_id.as_str())
    .bind(&me.incarnation)
    .bind(numbers)
    .bind(terms)
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}

/// Displaced by nobody: a run that has left never beats again, and if it did it would own nothing.
async fn leave(c: &mut PgConnection, me: &Me) -> Result<(), LiveDbError> {
    sqlx::query(
        "UPDATE shard_owner SET node_id = NULL, incarnation = NULL WHERE node_id = $1 AND incarnation = $2",
    )
    .bind(me.node_id.as_str())
    .bind(&me.incarnation)
    .execute(&mut *c)
    .await
    .map_err(failure)?;
    sqlx::query("UPDATE manager SET is_displaced = TRUE WHERE node_id = $1 AND incarnation = $2")
        .bind(me.node_id.as_str())
        .bind(&me.incarnation)
        .execute(c)
        .await
        .map_err(failure)?;
    Ok(())
}

/// Shards and terms as two columns.
pub(super) fn arrays(terms: &[ShardTerm]) -> Result<(Vec<i32>, Vec<i64>), LiveDbError> {
    let numbers = terms.iter().map(|owned| shard_number(owned.shard)).collect();
    let terms = terms.iter().map(|owned| number(owned.term.0)).collect::<Result<_, _>>()?;
    Ok((numbers, terms))
}

/// What a fence has read of a shard, whose row is locked from then on.
pub(super) struct Fenced {
    pub(super) shard: Shard,
    /// The newest message of its outbox.
    pub(super) last_seq: u64,
}

/// Locks the rows of `shards`, each once and in order, and checks that each is owned under the term that `terms` gives it.
/// Held until the transaction ends: whoever takes a shard next comes after us, and finds what we wrote.
pub(super) async fn fence(
    c: &mut PgConnection,
    terms: &[ShardTerm],
    shards: impl IntoIterator<Item = Shard>,
) -> Result<Vec<Fenced>, LiveDbError> {
    let mut numbers: Vec<i32> = shards.into_iter().map(shard_number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let rows = sqlx::query(
        "SELECT shard, term, last_seq FROM shard_owner WHERE shard = ANY($1) ORDER BY shard FOR NO KEY UPDATE",
    )
    .bind(&numbers)
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter()
        .map(|row| {
            let owned = parse::shard_term(row)?;
            if terms.contains(&owned) {
                Ok(Fenced { shard: owned.shard, last_seq: count(row, "last_seq")? })
            } else {
                Err(LiveDbError::Fenced(owned.shard))
            }
        })
        .collect()
}
