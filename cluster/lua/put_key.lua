#!lua
-- Put key: writes a key's record, and never un-revokes one. One that comes in as revoked orders its live session to end.
--
-- key, record

local id, record = arg(1), key_at(2)
if id == '' then
  refuse('BADARG a key without id')
end

local before = key_of(id)
if before and before.revoked == '1' then
  record.revoked = '1'
end
write_key(id, record)
if record.revoked == '1' then
  give_order(record.room, REVOKED, id)
end
return answer({})
