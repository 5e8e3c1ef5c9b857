-- KEYS: session, player's set, player's fence
-- ARGV: now, tombstone, channel, prefix of the player's session keys, digest, c, a, m, expires in, most, when full,
--       the epoch that the login saw, or ''
local now, tombstone = tonumber(ARGV[1]), tonumber(ARGV[2])
local digest, most = ARGV[5], tonumber(ARGV[10])
local dropped = {}

local before = redis.call('HMGET', KEYS[1], 'm', 't', 'u')
local why = nil
if before[2] then
  why = why_ended(KEYS[1], now)
elseif before[1] then
  local expires = tonumber(string.match(before[1], EXPIRES))
  if now >= expires then
    why = why_expired(expires, now, tombstone)
  elseif not is_listed(KEYS[1], before[3], ARGV[3]) then
    before[1] = false
  end
end
if why then
  if why[2] ~= 'unknown' then return why end
  redis.call('DEL', KEYS[1])  -- so long ago that it never was; only the garbage collection is late
end

if ARGV[12] ~= '' and tonumber(ARGV[12]) < fence_epoch(KEYS[3], now) then
  return {'E', 'revoked'}  -- a session under this id, if there was one, ended when the fence was set up
end

if why or not before[1] then
  local alive = {}
  for _, other in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    local m = redis.call('HGET', ARGV[4] .. other, 'm')
    if m and now < tonumber(string.match(m, EXPIRES)) then
      alive[#alive + 1] = other
    else
      redis.call('ZREM', KEYS[2], other)
    end
  end
  if #alive >= most and ARGV[11] == 'refuse_newest' then return {'F'} end
  for i = 1, #alive - most + 1 do
    for _, part in ipairs(redis.call('HMGET', ARGV[4] .. alive[i], 'c', 'm')) do dropped[#dropped + 1] = part end
    bury(ARGV[4] .. alive[i], {digest = alive[i], reason = 'replaced', now = now, tombstone = tombstone,
      channel = ARGV[3], packet = '', hash = ''})
  end
end

redis.call('HSET', KEYS[1], 'c', ARGV[6], 'a', ARGV[7], 'm', ARGV[8], 'u', KEYS[2])
redis.call('PEXPIRE', KEYS[1], ARGV[9])
redis.call('ZADD', KEYS[2], ARGV[1], digest)
return {'S', dropped}
