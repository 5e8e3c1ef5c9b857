-- KEYS: lock
-- ARGV: now
local v = redis.call('GET', KEYS[1])
return v and tonumber(ARGV[1]) < tonumber(string.match(v, '^%d+')) and 1 or 0
