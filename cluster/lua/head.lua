-- The head of every script: who calls, what time it is, and what the shard remembers of itself. Prepended after the `#!lua` line.
--
-- KEYS are the four of the shard. The records of a room or a key are named from the same hash tag, so they live in the same
-- slot; which ones a script touches is known only when it has read others.
-- Order in every script: check the arguments, read, decide, write. Redis does not take back what a failed script has written.
-- ARGV starts with what every call says; a script's own arguments follow, see `arg`.

local META, EXP, ROOMS, EV = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local HEAD = 14
-- The version of this layout, and the number of shards: both are fixed for the life of a cluster.
local LAYOUT = '1/64'

-- Ends the script with an error of its own code, before anything is written.
local function refuse(text)
  error({ err = text })
end

-- A whole number that a double can hold, from decimal digits; anything else is refused.
local function int(text)
  if type(text) ~= 'string' or #text > 20 or not string.find(text, '^%d+$') then
    refuse('BADARG a whole number was expected')
  end
  return tonumber(text)
end

-- The same for a number that may be missing; checks only.
local function int_or_none(text)
  if text ~= '' then
    int(text)
  end
  return text
end

-- tostring() would write 1.8e+15.
local function dec(number)
  return string.format('%.0f', number)
end

local function arg(nth)
  return ARGV[HEAD + nth] or refuse('BADARG an argument is missing')
end

-- The number of the script's own arguments.
local ARGS = #ARGV - HEAD

local TAG = string.match(META or '', '^({s%d%d}:)meta$') or refuse('BADARG the first key is not a shard\'s')
local SHARD = string.sub(TAG, 3, 4)
if EXP ~= TAG .. 'exp' or ROOMS ~= TAG .. 'rooms' or EV ~= TAG .. 'ev' then
  refuse('BADARG the keys are not those of one shard')
end
if ARGS < 0 then
  refuse('BADARG the head is cut off')
end

local CLUSTER = ARGV[1]
local times = {
  ttl = int(ARGV[2]),
  grace = int(ARGV[3]),
  want_for = int(ARGV[4]),
  takeover_every = int(ARGV[5]),
  tombstone_for = int(ARGV[6]),
}
local UNREAD_MAX = int(ARGV[7])
local GAP = ARGV[8] ~= '' and int(ARGV[8]) or nil
local RUN = ARGV[9]
local known = { life = int(ARGV[10]), n = int(ARGV[11]) }

-- From when to when, by the clock of this Redis, the caller has been in touch with it, never longer apart than GAP.
local contact = ARGV[12] ~= '' and { from = int(ARGV[12]), to = int(ARGV[13]) } or nil

-- The clock is read once: two reads may differ. Tests put their own.
local IS_TIMELESS = ARGV[14] ~= ''
local now, now_us
if IS_TIMELESS then
  now = int(ARGV[14])
  now_us = now * 1000
else
  local time = redis.call('TIME')
  now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
  now = math.floor(now_us / 1000)
end

-- What the shard remembers of itself. `changed` is what `answer` will write.
local shard, changed
do
  local fields = { 'cluster', 'layout', 'life', 'n', 'chain', 'epoch', 'seen', 'floor', 'run', 'loaded', 'blank' }
  local values = redis.call('HMGET', META, unpack(fields))
  shard, changed = {}, {}
  for i, name in ipairs(fields) do
    shard[name] = values[i] or ''
  end
  if shard.cluster ~= '' and shard.cluster ~= CLUSTER then
    refuse('WRONGCLUSTER this Redis belongs to another cluster')
  end
  if shard.cluster ~= '' and shard.layout ~= LAYOUT then
    refuse('WRONGLAYOUT this Redis is written by another version')
  end
  for _, name in ipairs({ 'life', 'n', 'epoch', 'floor' }) do
    shard[name] = tonumber(shard[name]) or 0
  end
  shard.seen = tonumber(shard.seen)
end
-- Where the shard was before this call; what a script that only reads says.
local stored_life = shard.life

local function set(name, value)
  shard[name] = value
  changed[name] = type(value) == 'number' and dec(value) or value
end

-- Nobody is dead because Redis was. After a time in which nobody could renew, no lease counts as dead until every holder has
-- had the time to; and where memory was lost besides, rooms without a lease stay closed that long.
do
  local is_new = shard.cluster == ''
  -- The caller has seen, confirmed, what this shard does not know.
  local is_rewound = known.life > shard.life or (known.life == shard.life and known.n > shard.n)
  local floor = now + times.ttl + times.grace
  if is_new then
    set('cluster', CLUSTER)
    set('layout', LAYOUT)
  end
  if is_new or (GAP and is_rewound) then
    -- A new life, so that those who come later with the old numbers do not find the same loss again.
    set('life', math.max(now_us, known.life + 1))
    set('loaded', GAP and '0' or '1')
    set('blank', GAP and '1' or '0')
    set('floor', GAP and floor or 0)
  elseif GAP then
    local seen = shard.seen or 0
    if contact and contact.from - seen <= GAP then
      -- Nobody had business in this shard, but Redis was there.
      seen = math.max(seen, contact.to)
    end
    local is_away = now - seen > GAP
    local is_restarted = RUN ~= '' and shard.run ~= '' and shard.run ~= RUN
    if is_away or is_restarted then
      if now >= shard.floor then
        set('blank', '0')
      end
      set('floor', floor)
    end
  end
  if RUN ~= '' and shard.run ~= RUN then
    set('run', RUN)
  end
end

-- Everybody alive has had time to renew.
local function is_past_floor()
  return now >= shard.floor
end

-- Rooms without a lease are closed: someone may be on air there.
local function is_closed()
  return shard.blank == '1' and not is_past_floor()
end

-- Every answer begins with the life of the shard and the number of its newest event. This is the answer of a script that only
-- reads, and so cannot begin another life.
local function view(list)
  return { stored_life, shard.n, unpack(list) }
end

-- The answer of a script that may write: remembers that the shard was alive now.
local function answer(list)
  local fields = { 'seen', dec(now) }
  for name, value in pairs(changed) do
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  redis.call('HSET', META, unpack(fields))
  return { shard.life, shard.n, unpack(list) }
end
