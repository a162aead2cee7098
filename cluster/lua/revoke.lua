#!lua flags=allow-oom
-- Revoke: revokes a live key and, in the same step, orders its live session to end. 0 when there is no such key.
--
-- key

local id = arg(1)

local key = key_of(id)
if not key then
  return answer({ 0 })
end
redis.call('HSET', TAG .. 'key:' .. id, 'revoked', '1')
give_order(key.room, REVOKED, id)
return answer({ 1 })
