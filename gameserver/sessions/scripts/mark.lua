-- Gives the digests of the sessions that act for the player: they may be in other slots.
-- KEYS: player's set, the set of sessions that act for the player
-- ARGV: prefix of the player's session keys, since
for _, digest in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do mark(ARGV[1] .. digest, ARGV[2]) end
return redis.call('ZRANGE', KEYS[2], 0, -1)
