-- Note that a session acts for a player. Gives nil when it may not, and all of them when they are many.
-- KEYS: the set of sessions that act for the player, player's fence
-- ARGV: now, digest or '' where nothing is to be noted, epoch or '', how long the set lasts, how many are many
local now = tonumber(ARGV[1])
if ARGV[3] ~= '' and tonumber(ARGV[3]) < fence_epoch(KEYS[2], now) then return false end
if ARGV[2] == '' then return {} end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if redis.call('ZCARD', KEYS[1]) <= tonumber(ARGV[5]) then return {} end
return redis.call('ZRANGE', KEYS[1], 0, -1)
