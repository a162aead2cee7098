-- Keys that open nothing any more are few among those that do, and listed, newest first, without looking through all.
CREATE INDEX live_key_revoked ON live_key (created_at, live_key_id) WHERE revoked_at IS NOT NULL;
