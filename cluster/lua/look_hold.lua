#!lua flags=no-writes
-- Look, hold: the hold of a room that is in force.
--
-- room

return view({ hold_of(arg(1)) or '' })
