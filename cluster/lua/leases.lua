-- What the scripts share about leases, events and ends. Prepended after head.lua.
--
-- lease:<room>  the card of the session, its facts, its deadline, an order, and the wish of one newcomer
-- tomb:<room>   the last sessions of a room, so that `ended` is final
-- exp           rooms by deadline;  rooms: rooms by name
-- ev            the unread events; an event's number is its entry id

local CARD = { 'sid', 'room', 'producer', 'key', 'epoch', 'node', 'addr', 'agent', 'granted' }
local FACTS = { 'live', 'media', 'facts' }
local WANT = { 'want_sid', 'want_node', 'want_key', 'want_addr', 'want_rule', 'want_until' }
-- As many sessions of a room are known by id besides the newest; a claim carries no epoch.
local EARLIER_MAX = 16
local REVOKED = '{"reason":"revoked","note":""}'

local function lease_key(room)
  return TAG .. 'lease:' .. room
end

-- The nth arguments on as a card and facts, checked.
local function session_at(nth)
  local session = {}
  for i, name in ipairs(CARD) do
    session[name] = arg(nth + i - 1)
  end
  for i, name in ipairs(FACTS) do
    session[name] = arg(nth + #CARD + i - 1)
  end
  if session.sid == '' or session.room == '' then
    refuse('BADARG a session without id or room')
  end
  int(session.epoch)
  int(session.granted)
  int_or_none(session.live)
  int_or_none(session.media)
  return session
end
local SESSION_ARGS = #CARD + #FACTS

-- The lease of a room with all its fields, '' for what it has not; nil when there is none.
local LEASE = { 'until', 'maxd', 'maxb', 'order' }
for _, names in ipairs({ CARD, FACTS, WANT }) do
  for _, name in ipairs(names) do
    LEASE[#LEASE + 1] = name
  end
end
local function load(room)
  local values = redis.call('HMGET', lease_key(room), unpack(LEASE))
  local lease = {}
  for i, name in ipairs(LEASE) do
    lease[name] = values[i] or ''
  end
  return lease.sid ~= '' and lease or nil
end

local function is_dead(lease)
  return is_past_floor() and tonumber(lease['until']) + times.grace <= now
end

local function pick(record, names)
  local list = {}
  for i, name in ipairs(names) do
    list[i] = record[name]
  end
  return list
end

-- As the API sees it.
local function lease_view(lease)
  return { pick(lease, CARD), pick(lease, FACTS), lease['until'], lease.order }
end

local function ring(node, room)
  redis.call('PUBLISH', 'onair:' .. CLUSTER .. ':door:' .. node, room)
end

-- Appends an event. The digest chains it to all before it, so that a number that was given twice, once by a primary that is
-- gone, can be told from itself.
local function append(kind, at, session, reason, ended)
  local n = dec(shard.n + 1)
  local chain = table.concat({ shard.chain, n, kind, at, session.sid, reason }, ' ')
  chain = string.sub(redis.sha1hex(chain), 1, 16)
  redis.call('XADD', EV, n .. '-0', 'kind', kind, 'at', at, 'reason', reason, 'ended', ended,
    'sid', session.sid, 'room', session.room, 'producer', session.producer, 'key', session.key,
    'epoch', session.epoch, 'node', session.node, 'addr', session.addr, 'agent', session.agent,
    'granted', session.granted, 'live', session.live, 'media', session.media, 'facts', session.facts,
    'chain', chain)
  -- At once: an entry whose number is not remembered would close the shard for ever.
  redis.call('HSET', META, 'n', n, 'chain', chain)
  shard.n, shard.chain = shard.n + 1, chain
  redis.call('PUBLISH', 'onair:' .. CLUSTER .. ':room:' .. session.room, session.epoch)
  redis.call('PUBLISH', 'onair:' .. CLUSTER .. ':ev', SHARD)
end

-- From now on every epoch granted is above this one.
local function raise_epochs(epoch)
  if epoch > shard.epoch then
    set('epoch', epoch)
  end
end

local function until_ttl()
  return dec(now + times.ttl)
end

-- Writes a new lease of this card, with no facts yet, and its event. What its key allows comes with it, if that is known.
local function insert(session, at, key, order)
  local fresh = {}
  for _, name in ipairs(CARD) do
    fresh[name] = session[name]
  end
  fresh.live, fresh.media, fresh.facts = '', '', '{}'
  append('granted', at, fresh, '', '')
  local fields = { 'until', until_ttl(), 'maxd', key and key.maxd or '', 'maxb', key and key.maxb or '',
    'order', order, 'live', '', 'media', '', 'facts', '{}' }
  for _, name in ipairs(CARD) do
    fields[#fields + 1] = name
    fields[#fields + 1] = session[name]
  end
  redis.call('HSET', lease_key(session.room), unpack(fields))
  redis.call('ZADD', EXP, until_ttl(), session.room)
  redis.call('ZADD', ROOMS, 0, session.room)
end

local function extend(room)
  redis.call('HSET', lease_key(room), 'until', until_ttl())
  redis.call('ZADD', EXP, until_ttl(), room)
end

-- === tombstones ===

-- What the room remembers, or nil.
local function tomb_of(room)
  local names = { 'sid', 'epoch', 'earlier', 'superseded', 'until' }
  local values = redis.call('HMGET', TAG .. 'tomb:' .. room, unpack(names))
  if not values[1] then
    return nil
  end
  local tomb = {}
  for i, name in ipairs(names) do
    tomb[name] = values[i] or ''
  end
  tomb.stands = now < tonumber(tomb['until'])
  return tomb
end

-- This very session ended here.
local function knows(tomb, sid)
  return tomb and tomb.stands and (tomb.sid == sid or string.find(tomb.earlier, sid, 1, true) ~= nil)
end

-- A session of this id and epoch is over: it ended here, or a newer one did.
local function covers(tomb, session)
  return tomb and tomb.stands and (tonumber(tomb.epoch) >= tonumber(session.epoch) or knows(tomb, session.sid))
end

-- Forgets the record by itself when its time is over. Not under a test's clock, which Redis does not go by; the time that is
-- written in the record decides anyway.
local function forget_at(key, at)
  if IS_TIMELESS or tonumber(at) > 9007199254740991 then
    redis.call('PERSIST', key)
  else
    redis.call('PEXPIREAT', key, at)
  end
end

-- === ends ===

-- Says that a session is over, whether it had a lease or not, and remembers it.
local function bury(session, reason)
  local ended = now
  if reason == 'lost' or reason == 'timeout' then
    -- Nobody saw the end: it was with the last media.
    ended = tonumber(session.media ~= '' and session.media or session.granted)
  end
  ended = math.max(math.min(ended, now), tonumber(session.granted))
  local before = tomb_of(session.room)
  append('ended', dec(now), session, reason, dec(ended))
  local earlier, superseded = '', ''
  if before and before.stands then
    -- 32 digits and a space each.
    earlier = string.sub(before.sid .. ' ' .. before.earlier, 1, EARLIER_MAX * 33)
    superseded = before.superseded
  end
  if reason == 'superseded' then
    superseded = dec(now)
  end
  local key, last = TAG .. 'tomb:' .. session.room, dec(now + times.tombstone_for)
  redis.call('HSET', key, 'sid', session.sid, 'epoch', session.epoch, 'earlier', earlier,
    'superseded', superseded, 'until', last)
  forget_at(key, last)
end

-- Ends a lease with these facts; whoever waits for the room is rung.
local function finish(lease, reason, facts)
  local was_live = lease.live ~= ''
  lease.live = was_live and lease.live or facts.live
  lease.media, lease.facts = facts.media, facts.facts
  if not was_live and lease.live ~= '' then
    -- It went live and ended between two renewals. Every broadcast that ends has started.
    append('live', dec(now), lease, '', '')
  end
  bury(lease, reason)
  redis.call('DEL', lease_key(lease.room))
  redis.call('ZREM', EXP, lease.room)
  redis.call('ZREM', ROOMS, lease.room)
  if lease.want_until ~= '' and now < tonumber(lease.want_until) then
    ring(lease.want_node, lease.room)
  end
end

-- Ends a lease because nobody was left to report.
local function finish_lost(lease)
  finish(lease, 'lost', { live = lease.live, media = lease.media, facts = lease.facts })
end

-- Tells the holder of a room to end and rings its node; the first order stands. Returns the lease, or nil when nobody holds
-- the room. With `key`, only a session of that key.
local function give_order(room, order, key)
  local lease = load(room)
  if not lease or (key and lease.key ~= key) then
    return nil
  end
  if is_dead(lease) then
    finish_lost(lease)
    return nil
  end
  if lease.order == '' then
    lease.order = order
    redis.call('HSET', lease_key(room), 'order', order)
  end
  ring(lease.node, room)
  return lease
end

-- === keys and holds ===

local KEY = { 'room', 'producer', 'rule', 'maxd', 'maxb', 'revoked', 'until' }

-- The record of a live key, or nil when there is none or its time is over.
local function key_of(id)
  local values = redis.call('HMGET', TAG .. 'key:' .. id, unpack(KEY))
  if not values[1] or now >= tonumber(values[#KEY]) then
    return nil
  end
  local key = {}
  for i, name in ipairs(KEY) do
    key[name] = values[i] or ''
  end
  return key
end

-- The nth arguments on as a record, checked.
local function key_at(nth)
  local key = {}
  for i, name in ipairs(KEY) do
    key[name] = arg(nth + i - 1)
  end
  if key.room == '' or (key.revoked ~= '0' and key.revoked ~= '1') then
    refuse('BADARG not a key\'s record')
  end
  int_or_none(key.maxd)
  int_or_none(key.maxb)
  int(key['until'])
  return key
end

local function write_key(id, key)
  local name = TAG .. 'key:' .. id
  redis.call('HSET', name, 'room', key.room, 'producer', key.producer, 'rule', key.rule, 'maxd', key.maxd,
    'maxb', key.maxb, 'revoked', key.revoked, 'until', key['until'])
  forget_at(name, key['until'])
end

-- The hold in force, as { until, reason }, or nil.
local function hold_of(room)
  local values = redis.call('HMGET', TAG .. 'hold:' .. room, 'until', 'reason')
  if not values[1] or now >= tonumber(values[1]) then
    return nil
  end
  return { values[1], values[2] or '' }
end
