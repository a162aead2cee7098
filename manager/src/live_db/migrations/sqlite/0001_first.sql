-- The Live DB, on SQLite. Times are milliseconds since the Unix epoch. Every list call has an index that gives its order.

CREATE TABLE producer (
    producer_id TEXT PRIMARY KEY,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One room per producer, lasting.
CREATE TABLE room (
    room_id     TEXT PRIMARY KEY,
    producer_id TEXT NOT NULL UNIQUE REFERENCES producer (producer_id),
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A room may be held before it is known here, so there is no reference to it.
CREATE TABLE hold (
    room_id    TEXT PRIMARY KEY,
    held_until INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX hold_by_end ON hold (held_until);

CREATE TABLE live_key (
    live_key_id     TEXT PRIMARY KEY,
    room_id         TEXT NOT NULL REFERENCES room (room_id),
    producer_id     TEXT NOT NULL REFERENCES producer (producer_id),
    takeover        TEXT NOT NULL CHECK (takeover IN ('idle', 'never', 'always')),
    max_duration_ms INTEGER,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    revoked_at      INTEGER,
    revoked_why     TEXT CHECK (revoked_why IN ('asked', 'retired')),
    last_used_at    INTEGER,
    CHECK ((revoked_at IS NULL) = (revoked_why IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX live_key_by_room ON live_key (room_id, expires_at) WHERE revoked_at IS NULL;
CREATE INDEX live_key_by_expiry ON live_key (expires_at);

-- One granted publish. Written from events alone, which may tell of rooms and keys of other issuers: no references.
CREATE TABLE session (
    session_id    TEXT PRIMARY KEY,
    room_id       TEXT NOT NULL,
    producer_id   TEXT NOT NULL,
    live_key_id   TEXT NOT NULL,
    epoch         INTEGER NOT NULL,
    node_id       TEXT NOT NULL,
    client_addr   TEXT NOT NULL,
    client_agent  TEXT NOT NULL,
    granted_at    INTEGER NOT NULL,
    live_at       INTEGER,
    last_media_at INTEGER,
    facts         TEXT NOT NULL,
    ended_at      INTEGER,
    detected_at   INTEGER,
    end_reason    TEXT,
    UNIQUE (room_id, epoch),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL) AND (ended_at IS NULL) = (detected_at IS NULL))
) STRICT;
-- The last fence: a room has one open session, whatever goes wrong elsewhere.
CREATE UNIQUE INDEX session_open ON session (room_id) WHERE ended_at IS NULL;
CREATE INDEX session_by_end ON session (ended_at) WHERE ended_at IS NOT NULL;

-- What viewers saw go on air and off air.
CREATE TABLE broadcast (
    broadcast_id TEXT PRIMARY KEY,
    room_id      TEXT NOT NULL,
    producer_id  TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    epoch        INTEGER NOT NULL,
    node_id      TEXT NOT NULL,
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    detected_at  INTEGER,
    end_reason   TEXT,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL) AND (ended_at IS NULL) = (detected_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX broadcast_open ON broadcast (room_id) WHERE ended_at IS NULL;
CREATE INDEX broadcast_by_start ON broadcast (started_at, broadcast_id);
CREATE INDEX broadcast_by_room ON broadcast (room_id, started_at, broadcast_id);
CREATE INDEX broadcast_by_producer ON broadcast (producer_id, started_at, broadcast_id);
CREATE INDEX broadcast_by_node ON broadcast (node_id, started_at, broadcast_id);
CREATE INDEX broadcast_live ON broadcast (started_at, broadcast_id) WHERE ended_at IS NULL;
CREATE INDEX broadcast_by_end ON broadcast (ended_at) WHERE ended_at IS NOT NULL;

-- Messages for downstream, in the transaction of what they tell. `id` is the order of commits, since there is one writer.
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id   TEXT NOT NULL UNIQUE,
    shard      INTEGER NOT NULL,
    room_id    TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    type       TEXT NOT NULL,
    payload    TEXT NOT NULL CHECK (json_valid(payload)),
    created_at INTEGER NOT NULL,
    shipped_at INTEGER
) STRICT;
CREATE INDEX outbox_unshipped ON outbox (shard, id) WHERE shipped_at IS NULL;
CREATE INDEX outbox_by_age ON outbox (created_at);

-- Events that would not go in. Kept until a person has looked.
CREATE TABLE quarantine (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    shard    INTEGER NOT NULL,
    room_id  TEXT NOT NULL,
    event    TEXT NOT NULL,
    error    TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
