-- The Live DB, on PostgreSQL. Times are milliseconds since the Unix epoch, except leases, which run by the server's clock.
-- Every list call has an index that gives its order. Ids are compared byte by byte, as everywhere else.

-- Whose database this is: one row.
CREATE TABLE cluster (
    is_only BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (is_only),
    name    TEXT NOT NULL
);

-- Runs of Managers. A run that a newer one of the same node has displaced never owns anything again.
CREATE TABLE manager (
    node_id      TEXT COLLATE "C" NOT NULL,
    incarnation  TEXT COLLATE "C" NOT NULL,
    lives_until  TIMESTAMPTZ NOT NULL,
    is_displaced BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (node_id, incarnation)
);

-- A shard, its owner, and its counters: one row that every transaction on the shard locks, so that its term fences and its
-- numbers have no gaps. Room in its pages, since it is rewritten all the time and no index has anything that changes.
CREATE TABLE shard_owner (
    shard       INTEGER PRIMARY KEY CHECK (shard BETWEEN 0 AND 63),
    -- Rises with every change of owner.
    term        BIGINT NOT NULL DEFAULT 0,
    -- Nobody, or a run of a Manager.
    node_id     TEXT COLLATE "C",
    incarnation TEXT COLLATE "C",
    -- The event stored last; 0 before the first.
    position    BIGINT NOT NULL DEFAULT 0,
    -- The newest message of the outbox; 0 before the first.
    last_seq    BIGINT NOT NULL DEFAULT 0,
    unshipped   BIGINT NOT NULL DEFAULT 0,
    -- Of all rooms of the shard.
    broadcasts  BIGINT NOT NULL DEFAULT 0,
    live_ms     BIGINT NOT NULL DEFAULT 0,
    bytes_in    BIGINT NOT NULL DEFAULT 0,
    CHECK ((node_id IS NULL) = (incarnation IS NULL))
) WITH (fillfactor = 10);
INSERT INTO shard_owner (shard) SELECT generate_series(0, 63);

CREATE TABLE producer (
    producer_id TEXT COLLATE "C" PRIMARY KEY,
    created_at  BIGINT NOT NULL
);

-- One room per producer, lasting.
CREATE TABLE room (
    room_id     TEXT COLLATE "C" PRIMARY KEY,
    producer_id TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES producer (producer_id),
    created_at  BIGINT NOT NULL
);

-- What rooms have broadcast. A room may be another issuer's, so there is no reference to it.
CREATE TABLE room_totals (
    room_id     TEXT COLLATE "C" PRIMARY KEY,
    producer_id TEXT COLLATE "C" NOT NULL,
    broadcasts  BIGINT NOT NULL,
    live_ms     BIGINT NOT NULL,
    bytes_in    BIGINT NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX room_totals_by_producer ON room_totals (producer_id);

-- A room may be held before it is known here, so there is no reference to it.
CREATE TABLE hold (
    room_id    TEXT COLLATE "C" PRIMARY KEY,
    held_until BIGINT NOT NULL,
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX hold_by_end ON hold (held_until);

CREATE TABLE live_key (
    live_key_id     TEXT COLLATE "C" PRIMARY KEY,
    room_id         TEXT COLLATE "C" NOT NULL REFERENCES room (room_id),
    producer_id     TEXT COLLATE "C" NOT NULL REFERENCES producer (producer_id),
    takeover        TEXT NOT NULL CHECK (takeover IN ('idle', 'never', 'always')),
    max_duration_ms BIGINT,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    revoked_at      BIGINT,
    revoked_why     TEXT CHECK (revoked_why IN ('asked', 'retired')),
    last_used_at    BIGINT,
    CHECK ((revoked_at IS NULL) = (revoked_why IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX live_key_by_room ON live_key (room_id, expires_at) WHERE revoked_at IS NULL;
CREATE INDEX live_key_by_expiry ON live_key (expires_at);

-- Keys of other issuers that are refused. They have no row in live_key, since nobody asked us for them; the registry keeps a
-- record of each, and gets it back from here when it has lost its memory.
CREATE TABLE denied_key (
    live_key_id TEXT COLLATE "C" PRIMARY KEY,
    room_id     TEXT COLLATE "C" NOT NULL,
    producer_id TEXT COLLATE "C" NOT NULL,
    denied_at   BIGINT NOT NULL,
    -- When the record may be forgotten.
    kept_until  BIGINT NOT NULL
);
CREATE INDEX denied_key_by_end ON denied_key (kept_until);

-- One granted publish. Written from events alone, which may tell of rooms and keys of other issuers: no references.
CREATE TABLE session (
    session_id    TEXT COLLATE "C" PRIMARY KEY,
    shard         INTEGER NOT NULL,
    room_id       TEXT COLLATE "C" NOT NULL,
    producer_id   TEXT COLLATE "C" NOT NULL,
    live_key_id   TEXT COLLATE "C" NOT NULL,
    epoch         BIGINT NOT NULL,
    node_id       TEXT COLLATE "C" NOT NULL,
    client_addr   TEXT NOT NULL,
    client_agent  TEXT NOT NULL,
    granted_at    BIGINT NOT NULL,
    live_at       BIGINT,
    last_media_at BIGINT,
    facts         TEXT NOT NULL,
    ended_at      BIGINT,
    detected_at   BIGINT,
    end_reason    TEXT,
    UNIQUE (room_id, epoch),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL) AND (ended_at IS NULL) = (detected_at IS NULL))
) WITH (fillfactor = 80);
-- The last fence: a room has one open session, whatever goes wrong elsewhere.
CREATE UNIQUE INDEX session_open ON session (room_id) WHERE ended_at IS NULL;
CREATE INDEX session_open_by_shard ON session (shard) WHERE ended_at IS NULL;
CREATE INDEX session_by_epoch ON session (shard, epoch);
CREATE INDEX session_by_end ON session (ended_at) WHERE ended_at IS NOT NULL;

-- What viewers saw go on air and off air.
CREATE TABLE broadcast (
    broadcast_id TEXT COLLATE "C" PRIMARY KEY,
    room_id      TEXT COLLATE "C" NOT NULL,
    producer_id  TEXT COLLATE "C" NOT NULL,
    session_id   TEXT COLLATE "C" NOT NULL,
    epoch        BIGINT NOT NULL,
    node_id      TEXT COLLATE "C" NOT NULL,
    started_at   BIGINT NOT NULL,
    ended_at     BIGINT,
    detected_at  BIGINT,
    end_reason   TEXT,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL) AND (ended_at IS NULL) = (detected_at IS NULL))
);
CREATE UNIQUE INDEX broadcast_open ON broadcast (room_id) WHERE ended_at IS NULL;
CREATE INDEX broadcast_by_start ON broadcast (started_at, broadcast_id);
CREATE INDEX broadcast_by_room ON broadcast (room_id, started_at, broadcast_id);
CREATE INDEX broadcast_by_producer ON broadcast (producer_id, started_at, broadcast_id);
CREATE INDEX broadcast_by_node ON broadcast (node_id, started_at, broadcast_id);
-- A room may have had very many broadcasts, and few or none of them on a node that is asked for.
CREATE INDEX broadcast_by_room_and_node ON broadcast (room_id, node_id, started_at, broadcast_id);
CREATE INDEX broadcast_by_producer_and_node ON broadcast (producer_id, node_id, started_at, broadcast_id);
-- What is on air is little beside what was.
CREATE INDEX broadcast_live ON broadcast (started_at, broadcast_id) WHERE ended_at IS NULL;
CREATE INDEX broadcast_live_by_producer ON broadcast (producer_id) WHERE ended_at IS NULL;
CREATE INDEX broadcast_live_by_node ON broadcast (node_id, started_at, broadcast_id) WHERE ended_at IS NULL;
CREATE INDEX broadcast_by_end ON broadcast (ended_at) WHERE ended_at IS NOT NULL;

-- Messages for downstream, in the transaction of what they tell, numbered within their shard without gaps: the number comes
-- from shard_owner, whose row is locked until the commit, so that the order of numbers is the order of commits.
CREATE TABLE outbox (
    shard      INTEGER NOT NULL,
    seq        BIGINT NOT NULL,
    event_id   TEXT COLLATE "C" NOT NULL UNIQUE,
    room_id    TEXT COLLATE "C" NOT NULL,
    epoch      BIGINT NOT NULL,
    type       TEXT NOT NULL,
    payload    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    shipped_at BIGINT,
    PRIMARY KEY (shard, seq)
);
CREATE INDEX outbox_unshipped ON outbox (shard, seq) WHERE shipped_at IS NULL;
CREATE INDEX outbox_oldest_unshipped ON outbox (created_at) WHERE shipped_at IS NULL;

-- Events that would not go in. Kept until a person has looked.
CREATE TABLE quarantine (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id TEXT COLLATE "C" NOT NULL UNIQUE,
    shard    INTEGER NOT NULL,
    room_id  TEXT COLLATE "C" NOT NULL,
    event    TEXT NOT NULL,
    error    TEXT NOT NULL,
    at       BIGINT NOT NULL
);
