//! What an error of PostgreSQL means to our callers: whether trying again can help.
//!
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use crate::live_db::LiveDbError;

/// Sorted by SQLSTATE. Texts are the server's own; none of them holds a password.
pub(super) fn failure(e: sqlx::Error) -> LiveDbError {
    match &e {
        sqlx::Error::Database(db) => {
            let text = db.code().map_or_else(|| e.to_string(), |code| format!("{db} ({code})"));
            match db.code().as_deref().and_then(|code| code.get(..2)) {
                // Data exception (too long, a NUL, out of range), integrity constraint, program limit.
                Some("22" | "23" | "54") => LiveDbError::Refused(text),
                // No such table or column, no right to it: not our schema. Internal error: a file that cannot be read.
                Some("42" | "XX") => LiveDbError::Unreadable(text),
                // Connection, authorization, serialization and deadlock, resources, locks, timeouts, shutdown, read-only.
                _ => LiveDbError::Away(text),
            }
        }
        sqlx::Error::Encode(_) => LiveDbError::Refused(e.to_string()),
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::RowNotFound => LiveDbError::Unreadable(e.to_string()),
        _ => LiveDbError::Away(e.to_string()),
    }
}
