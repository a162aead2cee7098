#!lua flags=no-writes
-- Look, leases: those of rooms after a room, in order of room, without the dead.
--
-- after limit

local after, limit = arg(1), int(arg(2))

local leases = {}
local from = after == '' and '-' or '(' .. after
local rooms = redis.call('ZRANGEBYLEX', ROOMS, from, '+')
for _, room in ipairs(rooms) do
  if #leases == limit then
    break
  end
  local lease = load(room)
  if lease and not is_dead(lease) then
    leases[#leases + 1] = lease_view(lease)
  end
end
return view({ leases })
