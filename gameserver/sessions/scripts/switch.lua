-- KEYS: session
-- ARGV: now, tombstone, c, a
local m = redis.call('HGET', KEYS[1], 'm')
local now, tombstone = tonumber(ARGV[1]), tonumber(ARGV[2])
if not m then return why_ended(KEYS[1], now) end
local expires = tonumber(string.match(m, EXPIRES))
if now >= expires then return why_expired(expires, now, tombstone) end
redis.call('HSET', KEYS[1], 'c', ARGV[3], 'a', ARGV[4])
return {'S', ARGV[3], m}
