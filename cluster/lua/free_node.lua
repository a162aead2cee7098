#!lua flags=allow-oom
-- Free node: ends, as lost, the leases that a node holds, since it has just started and knows of none. No floor protects them.
--
-- node

local node = arg(1)

local freed = {}
for _, room in ipairs(redis.call('ZRANGE', ROOMS, 0, -1)) do
  if redis.call('HGET', lease_key(room), 'node') == node then
    freed[#freed + 1] = room
  end
end
for _, room in ipairs(freed) do
  finish_lost(load(room))
end
return answer({ freed })
