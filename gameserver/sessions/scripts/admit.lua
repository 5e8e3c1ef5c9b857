-- KEYS: session
-- ARGV: now, tombstone, packet, hash, app, lease, packets in a window, window, channel
local v = redis.call('HMGET', KEYS[1], 'm', 'c', 'a', 'u', 'e')
local now, tombstone, packet, hash = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
if not v[1] then return why_ended(KEYS[1], now, packet, hash) end

local last, state, lease, expires, life, window, packets, last_hash = string.match(v[1], MOVING)
expires, window, packets = tonumber(expires), tonumber(window), tonumber(packets)
if now >= expires then return why_expired(expires, now, tombstone) end
if not is_listed(KEYS[1], v[4], ARGV[9]) then return {'E', 'unknown'} end
if v[3] ~= ARGV[5] then return {'O', v[2], v[1]} end
if now - window >= tonumber(ARGV[8]) then window, packets = now, 0 end
if packets >= tonumber(ARGV[7]) then return {'L', v[2], v[1]} end

-- A lease that ends too late was given by a clock far ahead; whoever holds it may be long dead.
local outcome
if packet == last then
  if state == 'b' or hash ~= last_hash then outcome = 'U'
  elseif state == 'd' then outcome = 'P'
  elseif state == 'q' then outcome = 'Q'
  elseif state == 'r' and now < tonumber(lease) and tonumber(lease) <= now + 2 * tonumber(ARGV[6]) then outcome = 'B'
  else outcome = 'R' end
elseif tonumber(packet) > tonumber(last) then outcome = 'A'
else outcome = 'T' end

if outcome == 'A' or outcome == 'R' then
  last, state, last_hash = packet, 'r', hash
  lease = string.format('%.0f', now + tonumber(ARGV[6]))
end
local renewed = math.max(expires, now + tonumber(life))  -- a process whose clock lags must not shorten a life
local m = string.format('%s:%s:%s:%.0f:%s:%.0f:%d:%s', last, state, lease, renewed, life, window, packets + 1, last_hash)
redis.call('HSET', KEYS[1], 'm', m)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', renewed - now + tombstone + GARBAGE_MS))
if outcome == 'P' then return {outcome, v[2], m, redis.call('HGET', KEYS[1], 'r')} end
if v[5] and (outcome == 'A' or outcome == 'R') then return {outcome, v[2], m, v[5]} end
return {outcome, v[2], m}
