#!lua
-- Acquire: who may have a room. Grants only what is free, dead or the asker's own; a room that is held is asked for, never
-- taken. Refused by Redis itself when memory is full.
--
-- room sid key node addr agent, then nothing or the record of a key that another issuer minted

local room, sid, key_id = arg(1), arg(2), arg(3)
local claim = { room = room, sid = sid, key = key_id, node = arg(4), addr = arg(5), agent = arg(6) }
local issued = ARGS > 6 and key_at(7) or nil
if room == '' or sid == '' or key_id == '' then
  refuse('BADARG a claim without room, session or key')
end

local function granted(lease)
  return answer({ 'granted', pick(lease, CARD), lease.maxd, lease.maxb })
end

local lease = load(room)
if lease and lease.sid == sid then
  -- The asker will believe from the moment it asked this time, so the deadline moves too.
  extend(room)
  return granted(lease)
end
local tomb = tomb_of(room)
if knows(tomb, sid) then
  return answer({ 'ended' })
end
local hold = hold_of(room)
local key = key_of(key_id)
if not key and shard.loaded ~= '1' then
  -- The record may be among those that were lost, and may say that the key is revoked.
  if hold then
    return answer({ 'held', hold[1] })
  end
  return answer({ 'recovering' })
end
if not key and issued then
  write_key(key_id, issued)
  key = now < tonumber(issued['until']) and issued or nil
end
if hold then
  return answer({ 'held', hold[1] })
end
if not key then
  return answer({ 'unknown_key' })
end
if key.revoked == '1' then
  return answer({ 'revoked' })
end
if key.room ~= room then
  return answer({ 'wrong_room' })
end
-- Before the holder is bothered: it must not yield to someone who would then be refused.
if redis.call('XLEN', EV) >= UNREAD_MAX then
  return answer({ 'backlog' })
end
if not lease and is_closed() then
  return answer({ 'recovering' })
end
if lease and is_dead(lease) then
  finish_lost(lease)
  lease = nil
end

if not lease then
  -- Time keeps epochs rising over a failover, the mark keeps them rising when the clock does not.
  raise_epochs(math.max(shard.epoch + 1, now_us))
  claim.producer, claim.epoch, claim.granted = key.producer, dec(shard.epoch), dec(now)
  claim.maxd, claim.maxb = key.maxd, key.maxb
  insert(claim, claim.granted, key, '')
  return granted(claim)
end

-- How soon the holder would yield: at once, as someone's own ghost, or after a longer silence.
local function weight(rule, of_key, from)
  if rule == 'always' then
    return 3
  elseif rule == 'idle' then
    return (of_key == lease.key and from == lease.addr) and 2 or 1
  end
  return 0
end

-- Notes the wish. There is room for one: the one that the holder would yield to soonest stays, and of equals the latest, since
-- earlier ones may have gone away. False when another stays.
local function note()
  if lease.want_until ~= '' and now < tonumber(lease.want_until) then
    if lease.want_sid == sid then
      -- Asking again does not make the wish last longer.
      return true
    end
    if weight(lease.want_rule, lease.want_key, lease.want_addr) > weight(key.rule, key_id, claim.addr) then
      return false
    end
  end
  redis.call('HSET', lease_key(room), 'want_sid', sid, 'want_node', claim.node, 'want_key', key_id,
    'want_addr', claim.addr, 'want_rule', key.rule, 'want_until', dec(now + times.want_for))
  return true
end

local is_resting = tomb and tomb.superseded ~= '' and now < tonumber(tomb.superseded) + times.takeover_every
local wanted = key.rule ~= 'never' and not is_resting and note()
if wanted then
  ring(lease.node, room)
end
local since = tonumber(lease.media ~= '' and lease.media or lease.granted)
local age = math.max(now - since, 0)
return answer({ 'busy', wanted and 1 or 0, lease.sid, lease.epoch, lease.node, lease.granted, dec(age) })
