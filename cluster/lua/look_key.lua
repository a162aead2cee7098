#!lua flags=no-writes
-- Look, key: the record of a live key, until it expires.
--
-- key

local key = key_of(arg(1))
return view({ key and pick(key, KEY) or '' })
