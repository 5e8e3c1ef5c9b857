-- KEYS: session
-- ARGV: now, tombstone, packet, its new state, its answer if it is kept here
local m = redis.call('HGET', KEYS[1], 'm')
if not m or tonumber(ARGV[1]) >= tonumber(string.match(m, EXPIRES)) + tonumber(ARGV[2]) then return 0 end
local last, state, rest = string.match(m, '^(-?%d+):(%a):(.*)$')
if last ~= ARGV[3] or state ~= 'r' then return 0 end
redis.call('HSET', KEYS[1], 'm', last .. ':' .. ARGV[4] .. ':' .. rest, 'r', ARGV[5])
return 1
