-- Gives the key of the player's set if the session was alive.
-- KEYS: session
-- ARGV: now, tombstone, channel, reason, digest, how the key of the player's set must begin, packet, hash,
--       and its answer if there is one
local e = {now = tonumber(ARGV[1]), tombstone = tonumber(ARGV[2]), channel = ARGV[3], reason = ARGV[4],
  digest = ARGV[5], packet = ARGV[7], hash = ARGV[8], answer = ARGV[9]}
if ARGV[6] ~= '' then
  local set = redis.call('HGET', KEYS[1], 'u')
  if not set or string.sub(set, 1, #ARGV[6]) ~= ARGV[6] then return '' end
end
return bury(KEYS[1], e) or ''
