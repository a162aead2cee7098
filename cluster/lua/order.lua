#!lua flags=allow-oom
-- Order: tells the holder of a room to end, and rings its node.
--
-- room order

local room, order = arg(1), arg(2)
if order == '' then
  refuse('BADARG an empty order')
end

local lease = give_order(room, order)
return answer({ lease and lease_view(lease) or '' })
