#!lua flags=allow-oom
-- Acknowledge: forgets the events up to this one, if it is the very event that was read. After a failover the number may have
-- been given anew to something that nobody has read yet. Rings those who read what the events were stored as.
--
-- n chain

local n, chain = int(arg(1)), arg(2)

local id = dec(n) .. '-0'
local entry = redis.call('XRANGE', EV, id, id)[1]
local is_read = false
for i = 1, entry and #entry[2] or 0, 2 do
  is_read = is_read or (entry[2][i] == 'chain' and entry[2][i + 1] == chain)
end
if is_read then
  redis.call('XTRIM', EV, 'MINID', '=', dec(n + 1) .. '-0')
  redis.call('PUBLISH', 'onair:' .. CLUSTER .. ':stored', SHARD)
end
return answer({ is_read and 1 or 0 })
