//! How PostgreSQL's rows give their columns.

use onair_cluster::Shard;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::failure;
use crate::live_db::LiveDbError;
use crate::live_db::columns::Columns;
pub(super) use crate::live_db::columns::*;

/// A shard as a column has it.
pub(super) fn shard_number(shard: Shard) -> i32 {
    i32::from(shard.number())
}

impl Columns for PgRow {
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
        self.try_get::<i32, _>(column).map(i64::from).map_err(failure)
    }

    fn bytes_at(&self, column: &str) -> Result<&[u8], LiveDbError> {
        self.try_get(column).map_err(failure)
    }
}
