#!lua flags=allow-oom
-- Nodes, beat: a node says that it is there. Takes the name if it is free, or its holder has not been heard of for long.
--
-- id incarnation card load draining dead_after forget_after

local SEEN, RUN, CARD, LOAD, DRAINING, ASKED = unpack(KEYS)
local id, run, card, load, draining = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local dead_after, forget_after = tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local seen = tonumber(redis.call('ZSCORE', SEEN, id) or '0')
local holder = redis.call('HGET', RUN, id)
local is_new = holder ~= run
if holder and is_new and now - seen < dead_after then
  return { 'taken', math.max(now - seen, 0) }
end
local gone = redis.call('ZRANGEBYSCORE', SEEN, '-inf', string.format('(%.0f', now - forget_after), 'LIMIT', 0, 100)

for _, other in ipairs(gone) do
  redis.call('ZREM', SEEN, other)
  for _, key in ipairs({ RUN, CARD, LOAD }) do
    redis.call('HDEL', key, other)
  end
  for _, key in ipairs({ DRAINING, ASKED }) do
    redis.call('SREM', key, other)
  end
end
if is_new then
  -- What was asked of the run before is not asked of this one.
  redis.call('SREM', ASKED, id)
  redis.call('HSET', RUN, id, run)
end
redis.call('ZADD', SEEN, string.format('%.0f', now), id)
redis.call('HSET', CARD, id, card)
redis.call('HSET', LOAD, id, load)
redis.call(draining == '1' and 'SADD' or 'SREM', DRAINING, id)
return { 'alive', is_new and 1 or 0, redis.call('SISMEMBER', ASKED, id) }
