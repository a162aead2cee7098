#!lua flags=allow-oom
-- Put hold: refuses all publishers of a room until the hold ends; an earlier hold is replaced. Ends nobody.
--
-- room until reason

local room, last, reason = arg(1), arg(2), arg(3)
int(last)

local key = TAG .. 'hold:' .. room
redis.call('HSET', key, 'until', last, 'reason', reason)
forget_at(key, last)
return answer({})
