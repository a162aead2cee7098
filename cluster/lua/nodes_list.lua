#!lua flags=no-writes
-- Nodes, list: all that were heard of lately, by name, with the time to judge them by.
--
-- forget_after

local SEEN, RUN, CARD, LOAD, DRAINING, ASKED = unpack(KEYS)
local forget_after = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local nodes = {}
local found = redis.call('ZRANGEBYSCORE', SEEN, string.format('%.0f', now - forget_after), '+inf', 'WITHSCORES')
for i = 1, #found, 2 do
  local id = found[i]
  nodes[#nodes + 1] = {
    redis.call('HGET', CARD, id) or '',
    redis.call('HGET', LOAD, id) or '',
    tonumber(found[i + 1]),
    redis.call('SISMEMBER', DRAINING, id),
    redis.call('SISMEMBER', ASKED, id),
  }
end
return { now, nodes }
