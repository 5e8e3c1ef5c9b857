-- KEYS: session
-- ARGV: now, tombstone, c, a, channel, when it was opened
local v = redis.call('HMGET', KEYS[1], 'm', 'u')
local m = v[1]
local now, tombstone = tonumber(ARGV[1]), tonumber(ARGV[2])
if not m then return why_ended(KEYS[1], now) end
local expires = tonumber(string.match(m, EXPIRES))
if now >= expires then return why_expired(expires, now, tombstone) end
if not is_listed(KEYS[1], v[2], ARGV[5]) then return {'E', 'unknown'} end
redis.call('HSET', KEYS[1], 'c', ARGV[3], 'a', ARGV[4])
mark(KEYS[1], ARGV[6])
return {'S', ARGV[3], m}
