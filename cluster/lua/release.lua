#!lua flags=allow-oom
-- Release: ends a session for its holder. Also when the lease is not here and nothing says that the session is over: then the
-- registry lost it, and the true reason shall survive.
--
-- card facts reason

local session, reason = session_at(1), arg(SESSION_ARGS + 1)
if not string.find(reason, '^[a-z_]+$') then
  refuse('BADARG not a reason')
end

local lease = load(session.room)
if lease and lease.sid == session.sid then
  finish(lease, reason, session)
  return answer({ 'ended' })
end
if lease and tonumber(lease.epoch) >= tonumber(session.epoch) then
  return answer({ 'over' })
end
if lease then
  -- That the newer one was granted proves that this one had ended, in a past that the shard has lost.
  finish_lost(lease)
end
if covers(tomb_of(session.room), session) then
  return answer({ 'over' })
end
raise_epochs(tonumber(session.epoch))
bury(session, reason)
return answer({ 'ended' })
