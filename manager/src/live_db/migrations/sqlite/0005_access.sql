-- Who may ask the API. Of a token only the hash is kept.
CREATE TABLE api_token (
    token_id     TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('viewer', 'issuer', 'admin')),
    hash         BLOB NOT NULL CHECK (length(hash) = 32),
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

-- Who did what through the API. `audit_id` begins with the time.
CREATE TABLE audit (
    audit_id    TEXT PRIMARY KEY,
    at          INTEGER NOT NULL,
    caller      TEXT NOT NULL,
    caller_id   TEXT NOT NULL,
    caller_name TEXT,
    role        TEXT,
    action      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    details     TEXT NOT NULL CHECK (json_valid(details)),
    request_id  TEXT NOT NULL,
    peer        TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_by_subject ON audit (subject, audit_id);
CREATE INDEX audit_by_caller ON audit (caller_id, audit_id);
CREATE INDEX audit_by_action ON audit (action, audit_id);

-- Keys are listed newest first, all of them or those of a room.
-- The most that a session may send, in bits per second.
ALTER TABLE live_key ADD COLUMN max_bitrate INTEGER;

CREATE INDEX live_key_by_age ON live_key (created_at, live_key_id);
CREATE INDEX live_key_of_room ON live_key (room_id, created_at, live_key_id);
