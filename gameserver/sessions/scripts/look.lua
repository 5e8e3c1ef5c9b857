-- KEYS: session
-- ARGV: now, tombstone, 'no' or 'renew' or a new life, channel
local v = redis.call('HMGET', KEYS[1], 'm', 'c', 'u')
local now, tombstone = tonumber(ARGV[1]), tonumber(ARGV[2])
if not v[1] then return why_ended(KEYS[1], now) end
local last, state, lease, expires, life, window, packets, hash = string.match(v[1], MOVING)
expires = tonumber(expires)
if now >= expires then return why_expired(expires, now, tombstone) end
if not is_listed(KEYS[1], v[3], ARGV[4]) then return {'E', 'unknown'} end
if ARGV[3] == 'no' then return {'S', v[2], v[1]} end
local renewed
if ARGV[3] == 'renew' then
  renewed = math.max(expires, now + tonumber(life))
else
  life = ARGV[3]
  renewed = now + tonumber(life)
end
local m = string.format('%s:%s:%s:%.0f:%s:%s:%s:%s', last, state, lease, renewed, life, window, packets, hash)
redis.call('HSET', KEYS[1], 'm', m)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', renewed - now + tombstone + GARBAGE_MS))
return {'S', v[2], m}
