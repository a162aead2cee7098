//! The fence, watched from inside the database: a trigger of our own looks, at every write of a Manager, who owns the shard.
//!
//! The Managers of a test have database users of their own, so that the trigger knows who writes. It sees what the writing
//! transaction sees: a Manager that writes for a shard which has another owner is a trespasser, however long it was frozen.

use crate::support::{LONG, Works, eventually};

const SQL: &str = "
CREATE TABLE trespass (at timestamptz DEFAULT clock_timestamp(), writer text, owner text, shard int, what text);
CREATE FUNCTION watch_the_fence() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    owner text;
    writer text := CASE session_user WHEN 'manager_1' THEN 'manager' ELSE replace(session_user, '_', '-') END;
BEGIN
    SELECT o.node_id INTO owner FROM shard_owner o WHERE o.shard = NEW.shard;
    IF owner IS DISTINCT FROM writer AND session_user LIKE 'manager%' THEN
        INSERT INTO trespass (writer, owner, shard, what) VALUES (writer, owner, NEW.shard, TG_OP || ' ' || TG_TABLE_NAME);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION watch_the_fence();
CREATE TRIGGER watch AFTER INSERT OR UPDATE ON session FOR EACH ROW EXECUTE FUNCTION watch_the_fence();
";

/// A message that the first Manager would write for a shard of the second, undone at once.
const TRESPASS: &str = "
BEGIN;
SET LOCAL SESSION AUTHORIZATION manager_1;
SET LOCAL ROLE onair;
INSERT INTO outbox (shard, seq, event_id, room_id, epoch, type, payload, created_at)
    SELECT shard, last_seq + 1000000, 'none/live', 'none', 1, 'none', '{}', 0 FROM shard_owner WHERE node_id = 'manager-2' LIMIT 1;
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM trespass;
ROLLBACK";

/// Begins to watch, and makes sure that it would see something.
pub(crate) fn install(works: &Works) {
    works.sql(SQL);
    eventually("a trespass to be seen", LONG, || (works.sql(TRESPASS) == "1").then_some(()));
}

/// Whoever wrote where another was the owner.
pub(crate) fn trespasses(works: &Works) -> Vec<String> {
    let rows = works.sql("SELECT at, writer, owner, shard, what FROM trespass ORDER BY at");
    rows.lines().map(|row| format!("a trespasser: {row}")).collect()
}
