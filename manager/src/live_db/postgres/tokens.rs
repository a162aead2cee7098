//! API tokens in PostgreSQL.

use async_trait::async_trait;
use onair_cluster::UnixMs;
use sqlx::PgConnection;

use super::columns::{limit, ms};
use super::{PostgresLiveDb, failure};
use crate::live_db::{LiveDbError, NewToken, TokenId, TokenRow, Tokens, parse};

#[async_trait]
impl Tokens for PostgresLiveDb {
    async fn add_token(&self, token: &NewToken, max: usize) -> Result<bool, LiveDbError> {
        let token = token.clone();
        self.transaction(move |c| Box::pin(async move { add(c, &token, max).await })).await
    }

    async fn revoke_token(&self, id: &TokenId, now: UnixMs) -> Result<Option<TokenRow>, LiveDbError> {
        let id = id.clone();
        self.call(move |c| Box::pin(async move { revoke(c, &id, now).await })).await
    }

    async fn tokens(&self, after: Option<&TokenId>, max: usize) -> Result<Vec<TokenRow>, LiveDbError> {
        let after = after.cloned();
        self.call(move |c| Box::pin(async move { list(c, after.as_ref(), max).await })).await
    }

    async fn valid_tokens(&self, now: UnixMs) -> Result<Vec<NewToken>, LiveDbError> {
        self.call(move |c| Box::pin(valid(c, now))).await
    }

    async fn note_token_uses(&self, uses: &[(TokenId, UnixMs)]) -> Result<(), LiveDbError> {
        let uses = uses.to_vec();
        self.call(move |c| Box::pin(async move { note_uses(c, &uses).await })).await
    }
}

/// Two tokens that come at once must not both find room for one. <https://www.postgresql.org/docs/current/explicit-locking.html>
async fn add(c: &mut PgConnection, token: &NewToken, max: usize) -> Result<bool, LiveDbError> {
    sqlx::query("LOCK TABLE api_token IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *c)
        .await
        .map_err(failure)?;
    let done = sqlx::query(
        "INSERT INTO api_token (token_id, name, role, hash, created_at, expires_at) \
         SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT count(*) FROM api_token \
         WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $5)) < $7",
    )
    .bind(token.token_id.as_str())
    .bind(token.name.as_str())
    .bind(token.role.name())
    .bind(token.hash.as_slice())
    .bind(ms(token.created_at)?)
    .bind(token.expires_at.map(ms).transpose()?)
    .bind(limit(max))
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(done.rows_affected() > 0)
}

async fn revoke(c: &mut PgConnection, id: &TokenId, now: UnixMs) -> Result<Option<TokenRow>, LiveDbError> {
    let row = sqlx::query(
        "UPDATE api_token SET revoked_at = coalesce(revoked_at, $2) WHERE token_id = $1 RETURNING *",
    )
    .bind(id.as_str())
    .bind(ms(now)?)
    .fetch_optional(c)
    .await
    .map_err(failure)?;
    row.as_ref().map(parse::token).transpose()
}

async fn list(
    c: &mut PgConnection,
    after: Option<&TokenId>,
    max: usize,
) -> Result<Vec<TokenRow>, LiveDbError> {
    let rows = sqlx::query("SELECT * FROM api_token WHERE token_id > $1 ORDER BY token_id LIMIT $2")
        .bind(after.map_or("", TokenId::as_str))
        .bind(limit(max))
        .fetch_all(c)
        .await
        .map_err(failure)?;
    rows.iter().map(parse::token).collect()
}

async fn valid(c: &mut PgConnection, now: UnixMs) -> Result<Vec<NewToken>, LiveDbError> {
    let rows = sqlx::query(
        "SELECT * FROM api_token WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)",
    )
    .bind(ms(now)?)
    .fetch_all(c)
    .await
    .map_err(failure)?;
    rows.iter().map(|row| parse::token(row).map(|row| row.token)).collect()
}

/// In the order of ids, so that two Managers that note at once do not lock each other out.
async fn note_uses(c: &mut PgConnection, uses: &[(TokenId, UnixMs)]) -> Result<(), LiveDbError> {
    let ids: Vec<String> = uses.iter().map(|(id, _)| id.to_string()).collect();
    let times: Vec<i64> = uses.iter().map(|(_, at)| ms(*at)).collect::<Result<_, _>>()?;
    sqlx::query(
        "WITH used AS (SELECT * FROM unnest($1::text[], $2::bigint[]) AS u (id, at)), \
         mine AS (SELECT token_id, used.at FROM api_token JOIN used ON token_id = used.id \
                  WHERE coalesce(last_used_at, 0) < used.at ORDER BY token_id FOR NO KEY UPDATE OF api_token) \
         UPDATE api_token SET last_used_at = mine.at FROM mine WHERE api_token.token_id = mine.token_id",
    )
    .bind(ids)
    .bind(times)
    .execute(c)
    .await
    .map_err(failure)?;
    Ok(())
}
