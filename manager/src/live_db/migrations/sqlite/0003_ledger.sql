-- Shards: the term of the one owner (it rises with every opening of the file), the number of the event stored last, and the
-- counters of the outbox.
CREATE TABLE shard_owner (
    shard     INTEGER PRIMARY KEY CHECK (shard BETWEEN 0 AND 63),
    term      INTEGER NOT NULL,
    -- The event stored last; 0 before the first.
    position  INTEGER NOT NULL,
    -- The newest message of the outbox; 0 before the first.
    last_seq  INTEGER NOT NULL,
    unshipped INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages are numbered within their shard, without gaps.
ALTER TABLE outbox ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
UPDATE outbox SET seq = numbered.seq
    FROM (SELECT id, row_number() OVER (PARTITION BY shard ORDER BY id) AS seq FROM outbox) AS numbered
    WHERE numbered.id = outbox.id;
CREATE UNIQUE INDEX outbox_by_seq ON outbox (shard, seq);
DROP INDEX outbox_unshipped;
CREATE INDEX outbox_unshipped ON outbox (shard, seq) WHERE shipped_at IS NULL;
DROP INDEX outbox_by_age;
CREATE INDEX outbox_oldest_unshipped ON outbox (created_at) WHERE shipped_at IS NULL;

WITH RECURSIVE every (shard) AS (SELECT 0 UNION ALL SELECT shard + 1 FROM every WHERE shard < 63)
INSERT INTO shard_owner (shard, term, position, last_seq, unshipped)
    SELECT shard, 0, 0,
           (SELECT coalesce(max(seq), 0) FROM outbox WHERE outbox.shard = every.shard),
           (SELECT count(*) FROM outbox WHERE outbox.shard = every.shard AND shipped_at IS NULL)
    FROM every;
