-- KEYS: lock
-- ARGV: now, the first lock, the longest, how long it is remembered; in ms
-- A lock is a text, until:count. Gives how long it holds from now.
local now, memory = tonumber(ARGV[1]), tonumber(ARGV[4])
local count = 0
local v = redis.call('GET', KEYS[1])
if v then
  local lasts, its_count = string.match(v, '^(%d+):(%d+)$')
  if now < tonumber(lasts) then return string.format('%.0f', tonumber(lasts) - now) end
  if now < tonumber(lasts) + memory then count = tonumber(its_count) end
end
local length = math.min(tonumber(ARGV[2]) * 2 ^ count, tonumber(ARGV[3]))
redis.call('SET', KEYS[1], string.format('%.0f:%d', now + length, math.min(count + 1, 50)), 'PX',
  string.format('%.0f', length + memory + GARBAGE_MS))
return string.format('%.0f', length)
