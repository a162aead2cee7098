#!lua flags=allow-oom
-- Nodes, drain: asks a node to drain, if it is there to hear it with its next beat.
--
-- id dead_after

local SEEN, RUN, CARD, LOAD, DRAINING, ASKED = unpack(KEYS)
local id, dead_after = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local seen = tonumber(redis.call('ZSCORE', SEEN, id) or '0')
if now - seen >= dead_after then
  return 0
end
redis.call('SADD', ASKED, id)
return 1
