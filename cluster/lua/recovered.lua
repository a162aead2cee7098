#!lua flags=allow-oom
-- Recovered: all keys and holds of the shard have been put back. With is_new the shard has never had a session, so there is
-- nobody to wait for. Does nothing when the shard has begun another life since the caller looked: it lacks them again.
--
-- life is_new

local life, is_new = int(arg(1)), arg(2)

if life ~= shard.life then
  return answer({ 0 })
end
set('loaded', '1')
if is_new == '1' then
  set('blank', '0')
  set('floor', 0)
end
return answer({ 1 })
