-- Keys that open nothing any more are few among those that do, and listed, newest first, without looking through all.
CREATE INDEX live_key_revoked ON live_key (created_at, live_key_id) WHERE revoked_at IS NOT NULL;

-- A room's broadcasts are its producer's: without this the planner takes the two filters for independent, expects next to
-- nothing and reads all of a room that has very many.
CREATE STATISTICS broadcast_rooms_and_producers (dependencies, mcv) ON room_id, producer_id FROM broadcast;
