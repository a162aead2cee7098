//! The audit log in SQLite.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::columns::{limit, ms};
use super::{SqliteLiveDb, begin, failure, settle};
use crate::live_db::{AuditFilter, AuditLog, AuditRow, LiveDbError, parse};
use crate::role::Role;

#[async_trait]
impl AuditLog for SqliteLiveDb {
    async fn add_audit(&self, rows: &[AuditRow]) -> Result<(), LiveDbError> {
        let mut writer = self.connections.writer().await?;
        let mut tx = begin(&mut writer).await?;
        let done = add(&mut tx, rows).await;
        settle(tx, done).await
    }

    async fn audit(&self, filter: &AuditFilter, max: usize) -> Result<Vec<AuditRow>, LiveDbError> {
        let (lowest, above) = filter.bounds();
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM audit WHERE audit_id >= ");
        query.push_bind(lowest).push(" AND audit_id < ").push_bind(above);
        // The subject is the narrowest, the action the widest: `+` keeps the planner from the indexes of the others.
        if let Some(subject) = &filter.subject {
            query.push(" AND subject = ").push_bind(subject.clone());
        }
        if let Some(caller_id) = &filter.caller_id {
            query.push(if filter.subject.is_some() { " AND +caller_id = " } else { " AND caller_id = " });
            query.push_bind(caller_id.clone());
        }
        if let Some(action) = filter.action {
            let is_narrow = filter.subject.is_some() || filter.caller_id.is_some();
            query.push(if is_narrow { " AND +action = " } else { " AND action = " }).push_bind(action.name());
        }
        query.push(" ORDER BY audit_id DESC LIMIT ").push_bind(limit(max));
        let rows = query.build().fetch_all(&mut *self.connections.reader().await?).await.map_err(failure)?;
        rows.iter().map(parse::audit).collect()
    }
}

async fn add(c: &mut SqliteConnection, rows: &[AuditRow]) -> Result<(), LiveDbError> {
    for row in rows {
        sqlx::query(
            "INSERT INTO audit (audit_id, at, caller, caller_id, caller_name, role, action, subject, details, \
             request_id, peer) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        )
        .bind(row.audit_id.as_str())
        .bind(ms(row.at)?)
        .bind(row.caller.name())
        .bind(row.caller_id.as_str())
        .bind(row.caller_name.as_deref())
        .bind(row.role.map(Role::name))
        .bind(row.action.name())
        .bind(row.subject.as_str())
        .bind(row.details.as_str())
        .bind(row.request_id.as_str())
        .bind(row.peer.map(|peer| peer.to_string()))
        .execute(&mut *c)
        .await
        .map_err(failure)?;
    }
    Ok(())
}
