#!lua flags=no-writes
-- Snapshot: a page of leases after a room, in order of room, the dead too, and how far the shard has come. Whoever knows all
-- events up to there, and finds a room of the page without a lease, has heard how its last session ended.
--
-- after limit

local after, limit = arg(1), int(arg(2))

local leases = {}
local from = after == '' and '-' or '(' .. after
local rooms = redis.call('ZRANGEBYLEX', ROOMS, from, '+', 'LIMIT', 0, dec(limit))
for _, room in ipairs(rooms) do
  local lease = load(room)
  if lease then
    leases[#leases + 1] = lease_view(lease)
  end
end
-- Where the next page begins; by the rooms, so that one without a lease does not end the list.
local next_after = #rooms == limit and rooms[#rooms] or ''
return view({ leases, next_after, shard.loaded, is_past_floor() and '' or dec(shard.floor) })
