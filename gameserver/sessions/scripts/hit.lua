-- KEYS: counter
-- ARGV: now, limit, window, cost
local now, limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local start, count = now, 0
local v = redis.call('GET', KEYS[1])
if v then
  local its_start, its_count = string.match(v, '^(%d+):(%d+)$')
  if now - tonumber(its_start) < window then start, count = tonumber(its_start), tonumber(its_count) end
end
if count + math.max(cost, 1) > limit then return 0 end
if cost > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f:%d', start, count + cost), 'PX',
    string.format('%.0f', start + window - now + GARBAGE_MS))
end
return 1
