-- Gives the key of the player's set if the session was alive.
-- KEYS: session
-- ARGV: now, tombstone, channel, reason, digest, packet, hash, and its answer if there is one
local e = {now = tonumber(ARGV[1]), tombstone = tonumber(ARGV[2]), channel = ARGV[3], reason = ARGV[4],
  digest = ARGV[5], packet = ARGV[6], hash = ARGV[7], answer = ARGV[8]}
return bury(KEYS[1], e) or ''
