//! How SQLite's rows give their columns, and how it takes many values at once.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::failure;
use crate::live_db::LiveDbError;
use crate::live_db::columns::Columns;
pub(super) use crate::live_db::columns::*;

impl Columns for SqliteRow {
    fn text_at(&self, column: &str) -> Result<&str, LiveDbError> {
        self.try_get(column).map_err(failure)
    }

    fn text_opt_at(&self, column: &str) -> Result<Option<&str>, LiveDbError> {
        self.try_get(column).map_err(failure)
    }

    fn integer_at(&self, column: &str) -> Result<i64, LiveDbError> {
        self.try_get(column).map_err(failure)
    }

    fn integer_opt_at(&self, column: &str) -> Result<Option<i64>, LiveDbError> {
        self.try_get(column).map_err(failure)
    }

    fn small_at(&self, column: &str) -> Result<i64, LiveDbError> {
        self.integer_at(column)
    }

    fn bytes_at(&self, column: &str) -> Result<&[u8], LiveDbError> {
        self.try_get(column).map_err(failure)
    }
}

/// Values as one JSON array, which `json_each` reads as rows.
pub(super) fn array(values: &[impl Serialize]) -> Result<String, LiveDbError> {
    serde_json::to_string(values).map_err(|e| LiveDbError::Refused(e.to_string()))
}
