//! The audit log in PostgreSQL.

use async_trait::async_trait;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::columns::{limit, ms};
use super::{PostgresLiveDb, failure};
use crate::live_db::{AuditFilter, AuditLog, AuditRow, LiveDbError, parse};
use crate::role::Role;

#[async_trait]
impl AuditLog for PostgresLiveDb {
    async fn add_audit(&self, rows: &[AuditRow]) -> Result<(), LiveDbError> {
        let rows = rows.to_vec();
        self.call(move |c| Box::pin(async move { add(c, &rows).await })).await
    }

    async fn audit(&self, filter: &AuditFilter, max: usize) -> Result<Vec<AuditRow>, LiveDbError> {
        let filter = filter.clone();
        self.call(move |c| Box::pin(async move { list(c, &filter, max).await })).await
    }
}

/// One statement: all of them, or none.
async fn add(c: &mut PgConnection, rows: &[AuditRow]) -> Result<(), LiveDbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let times: Vec<i64> = rows.iter().map(|row| ms(row.at)).collect::<Result<_, _>>()?;
    let mut query = QueryBuilder::<Postgres>::new(
        "INSERT INTO audit (audit_id, at, caller, caller_id, caller_name, role, action, subject, details, \
         request_id, peer) ",
    );
    query.push_values(rows.iter().zip(times), |mut values, (row, at)| {
        values
            .push_bind(row.audit_id.clone())
            .push_bind(at)
            .push_bind(row.caller.name())
            .push_bind(row.caller_id.clone())
            .push_bind(row.caller_name.clone())
            .push_bind(row.role.map(Role::name))
            .push_bind(row.action.name())
            .push_bind(row.subject.clone())
            .push_bind(row.details.clone())
            .push_bind(row.request_id.clone())
            .push_bind(row.peer.map(|peer| peer.to_string()));
    });
    query.push(" ON CONFLICT DO NOTHING");
    query.build().persistent(false).execute(c).await.map_err(failure)?;
    Ok(())
}

async fn list(c: &mut PgConnection, filter: &AuditFilter, max: usize) -> Result<Vec<AuditRow>, LiveDbError> {
    let (lowest, above) = filter.bounds();
    let mut query = QueryBuilder::<Postgres>::new("SELECT * FROM audit WHERE audit_id >= ");
    query.push_bind(lowest).push(" AND audit_id < ").push_bind(above);
    if let Some(subject) = &filter.subject {
        query.push(" AND subject = ").push_bind(subject.clone());
    }
    if let Some(caller_id) = &filter.caller_id {
        query.push(" AND caller_id = ").push_bind(caller_id.clone());
    }
    if let Some(action) = filter.action {
        query.push(" AND action = ").push_bind(action.name());
    }
    query.push(" ORDER BY audit_id DESC LIMIT ").push_bind(limit(max));
    // Planned anew for each call, with its values.
    let rows = query.build().persistent(false).fetch_all(c).await.map_err(failure)?;
    rows.iter().map(parse::audit).collect()
}
