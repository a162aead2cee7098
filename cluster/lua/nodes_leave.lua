#!lua flags=allow-oom
-- Nodes, leave: a node gives its name back, if it is still its own.
--
-- id incarnation

local SEEN, RUN, CARD, LOAD, DRAINING, ASKED = unpack(KEYS)
local id, run = ARGV[1], ARGV[2]

if redis.call('HGET', RUN, id) ~= run then
  return 0
end
redis.call('ZREM', SEEN, id)
redis.call('HDEL', RUN, id)
redis.call('HDEL', CARD, id)
redis.call('HDEL', LOAD, id)
redis.call('SREM', DRAINING, id)
redis.call('SREM', ASKED, id)
return 1
