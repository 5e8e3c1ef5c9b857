-- KEYS: session
-- ARGV: now, tombstone, packet, the end of its lease
local m = redis.call('HGET', KEYS[1], 'm')
if not m or tonumber(ARGV[1]) >= tonumber(string.match(m, EXPIRES)) + tonumber(ARGV[2]) then return 0 end
local last, state, lease, rest = string.match(m, '^(-?%d+):(%a):(%d+):(.*)$')
if last ~= ARGV[3] or state ~= 'r' then return 0 end
if tonumber(ARGV[4]) > tonumber(lease) then lease = ARGV[4] end
redis.call('HSET', KEYS[1], 'm', last .. ':r:' .. lease .. ':' .. rest)
return 1
