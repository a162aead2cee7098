#!lua flags=no-writes
-- Look, lease: who holds a room now. A dead lease counts as none.
--
-- room

local lease = load(arg(1))
return view({ lease and not is_dead(lease) and lease_view(lease) or '' })
