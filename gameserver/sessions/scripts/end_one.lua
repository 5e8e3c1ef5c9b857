-- Gives the key of the player's set if the session was alive.
-- KEYS: session
-- ARGV: now, tombstone, channel, reason, digest, how the key of the player's set must begin or else the app that
--       the session acts for, packet, hash, and its answer if there is one
local e = {now = tonumber(ARGV[1]), tombstone = tonumber(ARGV[2]), channel = ARGV[3], reason = ARGV[4],
  digest = ARGV[5], packet = ARGV[8], hash = ARGV[9], answer = ARGV[10]}
if ARGV[6] ~= '' then
  local v = redis.call('HMGET', KEYS[1], 'u', 'a')
  if not v[1] or (string.sub(v[1], 1, #ARGV[6]) ~= ARGV[6] and v[2] ~= ARGV[7]) then return '' end
end
return bury(KEYS[1], e) or ''
