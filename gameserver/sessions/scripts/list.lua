-- KEYS: player's set
-- ARGV: now, prefix of the player's session keys
local found = {}
for _, digest in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local v = redis.call('HMGET', ARGV[2] .. digest, 'c', 'm')
  if v[2] and tonumber(ARGV[1]) < tonumber(string.match(v[2], EXPIRES)) then
    found[#found + 1] = v[1]
    found[#found + 1] = v[2]
  end
end
return found
