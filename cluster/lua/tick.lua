#!lua flags=allow-oom
-- Tick: looks after the shard. Ends the leases that are past deadline and grace as lost, and says what the shard is missing.
--
-- limit

local limit = int(arg(1))

local reaped = {}
if is_past_floor() then
  reaped = redis.call('ZRANGEBYSCORE', EXP, '-inf', dec(math.max(now - times.grace, 0)), 'LIMIT', 0, limit)
end
for _, room in ipairs(reaped) do
  local lease = load(room)
  if lease then
    finish_lost(lease)
  end
end
return answer({ reaped, shard.loaded, is_past_floor() and '' or dec(shard.floor) })
