-- Keys of other issuers that are refused. They have no row in live_key, since nobody asked us for them; the registry keeps a
-- record of each, and gets it back from here when it has lost its memory.
CREATE TABLE denied_key (
    live_key_id TEXT PRIMARY KEY,
    room_id     TEXT NOT NULL,
    producer_id TEXT NOT NULL,
    denied_at   INTEGER NOT NULL,
    -- When the record may be forgotten.
    kept_until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX denied_key_by_end ON denied_key (kept_until);
