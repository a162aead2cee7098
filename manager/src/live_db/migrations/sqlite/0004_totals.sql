-- What rooms have broadcast, counted in the transaction that stores it: per room, and per shard for all together.
CREATE TABLE room_totals (
    room_id     TEXT PRIMARY KEY,
    producer_id TEXT NOT NULL,
    broadcasts  INTEGER NOT NULL,
    live_ms     INTEGER NOT NULL,
    bytes_in    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX room_totals_by_producer ON room_totals (producer_id);

ALTER TABLE shard_owner ADD COLUMN broadcasts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shard_owner ADD COLUMN live_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shard_owner ADD COLUMN bytes_in INTEGER NOT NULL DEFAULT 0;

INSERT INTO room_totals (room_id, producer_id, broadcasts, live_ms, bytes_in)
    SELECT broadcast.room_id, max(broadcast.producer_id), count(*),
           sum(max(0, coalesce(broadcast.ended_at, started_at) - started_at)),
           sum(CASE WHEN broadcast.ended_at IS NULL THEN 0 ELSE coalesce(session.facts ->> 'bytes_in', 0) END)
    FROM broadcast LEFT JOIN session USING (session_id) GROUP BY broadcast.room_id;
-- A room's shard is a hash that SQL does not know; only the sum over all shards is ever asked for.
UPDATE shard_owner SET (broadcasts, live_ms, bytes_in) =
    (SELECT coalesce(sum(broadcasts), 0), coalesce(sum(live_ms), 0), coalesce(sum(bytes_in), 0) FROM room_totals)
    WHERE shard = 0;
