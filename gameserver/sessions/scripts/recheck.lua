-- KEYS: session, player's set
-- ARGV: now, digest
-- When the session expires, or '' when it is gone; then the player's set forgets it too.
local m = redis.call('HGET', KEYS[1], 'm')
local expires = m and string.match(m, EXPIRES)
if expires and tonumber(ARGV[1]) < tonumber(expires) then return expires end
redis.call('ZREM', KEYS[2], ARGV[2])
return ''
