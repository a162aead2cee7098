#!lua flags=allow-oom
-- Renew: holders say that they are still there. Extends, flips to `live` once, brings back what was lost, and answers with
-- what is wanted of each session. Never touches the lease of a newer session.
--
-- For each lease its card and facts; at most 256, since nobody else is served meanwhile.

if ARGS % SESSION_ARGS ~= 0 or ARGS / SESSION_ARGS > 256 then
  refuse('BADARG not a list of renewals')
end
local sessions = {}
for nth = 1, ARGS, SESSION_ARGS do
  sessions[#sessions + 1] = session_at(nth)
end

-- Takes back a lease that the shard does not know. Whatever lost the lease lost its events with it, so they are made again, with
-- the same ids and times.
local function adopt(session)
  local key = key_of(session.key)
  -- Whether there was an order is forgotten, but the key still knows.
  local order = (key and key.revoked == '1') and REVOKED or ''
  raise_epochs(tonumber(session.epoch))
  insert(session, session.granted, key, order)
  return { sid = session.sid, live = '', order = order, want_until = '' }
end

local KEPT = { 'sid', 'epoch', 'live', 'order', unpack(WANT) }

local function renew(session)
  local values = redis.call('HMGET', lease_key(session.room), unpack(KEPT))
  local lease = nil
  if values[1] then
    lease = {}
    for i, name in ipairs(KEPT) do
      lease[name] = values[i] or ''
    end
  end
  if lease and lease.sid ~= session.sid then
    if tonumber(lease.epoch) >= tonumber(session.epoch) then
      return { 'lost', lease.epoch }
    end
    -- That the newer one was granted proves that this one had ended, in a past that the shard has lost.
    finish_lost(load(session.room))
    lease = nil
  end
  if not lease then
    local tomb = tomb_of(session.room)
    if covers(tomb, session) then
      return { 'lost', tomb.sid ~= session.sid and tomb.epoch or '' }
    end
    lease = adopt(session)
  end
  local was_live = lease.live ~= ''
  -- The first moment of going live stays.
  session.live = was_live and lease.live or session.live
  if not was_live and session.live ~= '' then
    append('live', dec(now), session, '', '')
  end
  redis.call('HSET', lease_key(session.room), 'until', until_ttl(), 'live', session.live, 'media', session.media,
    'facts', session.facts)
  redis.call('ZADD', EXP, until_ttl(), session.room)
  local is_wanted = lease.want_until ~= '' and now < tonumber(lease.want_until)
  return { 'kept', lease.order, is_wanted and pick(lease, WANT) or '' }
end

local answers = {}
for i, session in ipairs(sessions) do
  answers[i] = renew(session)
end
return answer({ answers })
