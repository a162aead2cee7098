#!lua flags=allow-oom
-- Lift hold: 1 when one was in force.
--
-- room

local room = arg(1)

local hold = hold_of(room)
redis.call('DEL', TAG .. 'hold:' .. room)
return answer({ hold and 1 or 0 })
