-- A session is a hash:
--   c  what stays as it was opened, for the server to decode
--   a  the app it acts for
--   m  what moves: packet:state:lease:expires:life:window:packets:hash, all times in milliseconds
--      state: b nothing but the login yet, r running, f given back, d done, q done and the answer is in SQL
--   r  the answer of the last packet
--   u  the key of the player's set. The session is valid only while that set names it: what a player's sessions
--      are ended by must know them all, and Redis may lose one key and keep another.
--   e  since:count, its mark: something waits for the player since then
-- Once ended it is a tombstone instead:
--   t  until:packet:reason:hash
--   r  the answer of the packet that ended it
-- A fence is a text, epoch:until, and stops logins that saw a lower epoch.
-- Times are the callers' clocks, never the server's, so that tests may move them; PEXPIRE only collects garbage.

local MOVING = '^(-?%d+):(%a):(%d+):(%d+):(%d+):(%d+):(%d+):(.*)$'
local EXPIRES = '^[^:]*:[^:]*:[^:]*:(%d+)'
local GARBAGE_MS = 60000

-- Why a key holds no live session, and the answer when this very packet ended it.
local function why_ended(key, now, packet, hash)
  local v = redis.call('HMGET', key, 't', 'r')
  if not v[1] then return {'E', 'unknown'} end
  local lasts, its_packet, reason, its_hash = string.match(v[1], '^(%d+):(-?%d*):([%a_]+):(.*)$')
  if now >= tonumber(lasts) then return {'E', 'unknown'} end
  if packet and its_packet == packet and its_hash == hash and v[2] then return {'E', reason, v[2]} end
  return {'E', reason}
end

local function why_expired(expires, now, tombstone)
  if now >= expires + tombstone then return {'E', 'unknown'} end
  return {'E', 'expired'}
end

-- Whether the player's set names a live session. One that it does not name could be ended by nobody, so it ends here.
local function is_listed(key, set, channel)
  local digest = string.match(key, '[^:]+$')
  if redis.call('ZSCORE', set, digest) then return true end
  redis.call('DEL', key)
  redis.call('PUBLISH', channel, digest .. ' revoked')
  return false
end

local function set_stone(key, lasts, packet, reason, hash, answer)
  redis.call('HSET', key, 't', string.format('%.0f:%s:%s:%s', lasts, packet, reason, hash))
  if answer then redis.call('HSET', key, 'r', answer) end
end

-- The epoch below which a player's logins are refused; -1 when all are welcome.
local function fence_epoch(key, now)
  local v = redis.call('GET', key)
  if not v then return -1 end
  local epoch, lasts = string.match(v, '^(%d+):(%d+)$')
  return now < tonumber(lasts) and tonumber(epoch) or -1
end

-- Turn a session into a tombstone. Gives the key of the player's set if it was alive.
-- e: digest, reason, now, tombstone, channel, and for a packet that asked for it: packet, hash, answer
local function bury(key, e)
  local v = redis.call('HMGET', key, 'm', 'u', 't')
  if v[3] then
    local lasts, its_packet, reason = string.match(v[3], '^(%d+):(-?%d*):([%a_]+)')
    if e.packet ~= '' and its_packet == '' and e.now < tonumber(lasts) then
      set_stone(key, tonumber(lasts), e.packet, reason, e.hash, e.answer)
    end
    return false
  end
  if not v[1] then return false end
  local expires = tonumber(string.match(v[1], EXPIRES))
  local alive = e.now < expires
  local lasts = (alive and e.now or expires) + e.tombstone
  redis.call('DEL', key)
  redis.call('ZREM', v[2], e.digest)
  if e.now >= lasts then return false end
  set_stone(key, lasts, e.packet, alive and e.reason or 'expired', e.hash, e.answer)
  redis.call('PEXPIRE', key, string.format('%.0f', lasts - e.now + GARBAGE_MS))
  if alive then redis.call('PUBLISH', e.channel, e.digest .. ' ' .. e.reason) end
  return alive and v[2]
end

-- Mark a session that something waits for; from the earliest time on.
local function mark(key, since)
  local v = redis.call('HMGET', key, 'm', 'e')
  if not v[1] then return end
  local count = 0
  if v[2] then
    local earlier, marks = string.match(v[2], '^(%d+):(%d+)$')
    if tonumber(earlier) < tonumber(since) then since = earlier end
    count = tonumber(marks)
  end
  redis.call('HSET', key, 'e', string.format('%s:%d', since, count + 1))
end
