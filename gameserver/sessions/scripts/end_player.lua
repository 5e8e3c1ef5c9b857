-- Gives the digests of the player's sessions that were alive, and of those that act for the player.
-- KEYS: player's set, player's fence, the set of sessions that act for the player. The sessions that the first one
--       names share its slot.
-- ARGV: now, tombstone, channel, reason, prefix of the player's session keys, the digest that stays,
--       the digest a packet came by, epoch or '', how long a fence lasts, packet, hash, and its answer if there is one
local ended, by_seen = {}, false
if ARGV[8] ~= '' then
  local now, life = tonumber(ARGV[1]), tonumber(ARGV[9])
  local epoch = math.max(tonumber(ARGV[8]), fence_epoch(KEYS[2], now))
  redis.call('SET', KEYS[2], string.format('%.0f:%.0f', epoch, now + life), 'PX',
    string.format('%.0f', life + GARBAGE_MS))
end
local function bury_one(digest)
  local mine = digest == ARGV[7]
  return bury(ARGV[5] .. digest, {now = tonumber(ARGV[1]), tombstone = tonumber(ARGV[2]), channel = ARGV[3],
    reason = ARGV[4], digest = digest, packet = mine and ARGV[10] or '', hash = mine and ARGV[11] or '',
    answer = mine and ARGV[12] or nil})
end
for _, digest in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if digest ~= ARGV[6] then
    if digest == ARGV[7] then by_seen = true end
    if bury_one(digest) then ended[#ended + 1] = digest end
    redis.call('ZREM', KEYS[1], digest)  -- also when garbage collection took the session
  end
end
-- The session a packet came by may have ended before: its tombstone still wants the answer.
if ARGV[7] ~= '' and not by_seen and redis.call('HEXISTS', ARGV[5] .. ARGV[7], 't') == 1 then bury_one(ARGV[7]) end
return {ended, redis.call('ZRANGE', KEYS[3], 0, -1)}
