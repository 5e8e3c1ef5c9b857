-- One list: a sorted set of seq .. id by key, and a hash of id to seq (16 hex digits, so that text sorts as numbers).
-- The member "" (key -inf) and the field "" stand for "nothing has been lost"; both must be there. The field says
-- "whole", or which builder is at work. The set and the hash may be lost one by one; then the list counts as lost.
local set, hash = KEYS[1], KEYS[2]
local mode = ARGV[1]
local state = redis.call('HGET', hash, '')
if state and not redis.call('ZSCORE', set, '') then state = false end

local function put(id, seq, key)
  local old = redis.call('HGET', hash, id)
  if old then redis.call('ZREM', set, old .. id) end
  if seq then
    redis.call('HSET', hash, id, seq)
    if key ~= '' then redis.call('ZADD', set, key, seq .. id) end
  elseif old then
    redis.call('HDEL', hash, id)
  end
end

-- Apply changes from ARGV[at]; returns what undoes them.
local function change(at, count)
  local undo = {}
  for i = 1, count do
    local id, seq, key = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    at = at + 3
    local old = redis.call('HGET', hash, id)
    if not old or old > seq then
      local score = old and redis.call('ZSCORE', set, old .. id)
      undo[#undo + 1] = {id, old, score or ''}
      put(id, seq, key)
    end
  end
  return undo
end

if mode == 'page' or mode == 'around' then
  if state ~= 'whole' then return false end
  local backwards, id = ARGV[2] == '1', ARGV[3]
  local from, to = tonumber(ARGV[4]), tonumber(ARGV[5])
  local undo = change(7, tonumber(ARGV[6]))
  local size = redis.call('ZCARD', set) - 1
  local answer
  if mode == 'around' then
    local seq = redis.call('HGET', hash, id)
    local rank = seq and redis.call('ZRANK', set, seq .. id)
    if rank then
      rank = rank - 1
      if backwards then rank = size - 1 - rank end
      from, to = rank - from, rank + to
    else
      answer = {size, -1, {}}
    end
  end
  if not answer then
    if from < 0 then from = 0 end
    if to > size - 1 then to = size - 1 end
    local rows = {}
    if to >= from then
      if backwards then
        rows = redis.call('ZREVRANGE', set, from, to, 'WITHSCORES')
      else
        rows = redis.call('ZRANGE', set, from + 1, to + 1, 'WITHSCORES')
      end
    end
    answer = {size, from, rows}
  end
  for i = #undo, 1, -1 do
    put(undo[i][1], undo[i][2], undo[i][3])
  end
  return answer
end

if mode == 'change' then
  if not state then return 0 end
  change(3, tonumber(ARGV[2]))
  return 1
end

if mode == 'repair' then
  local id, seen, seq, key = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
  if not state then return 0 end
  local now = redis.call('HGET', hash, id)
  if now and not redis.call('ZSCORE', set, now .. id) then
    if seen ~= '' then return 0 end
  elseif (now or '') ~= seen then
    return 0
  end
  if seq == '' then put(id, false, '') else put(id, seq, key) end
  return 1
end

if mode == 'begin' then
  -- A builder that is gone leaves its state behind; KEYS[3] says whether one is at work.
  if state == 'whole' or redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
  redis.call('DEL', set, hash)
  redis.call('ZADD', set, '-inf', '')
  redis.call('HSET', hash, '', ARGV[2])
  redis.call('SET', KEYS[3], ARGV[2], 'EX', ARGV[3])
  return 1
end

if mode == 'extend' then
  if state ~= ARGV[2] then return 0 end
  redis.call('SET', KEYS[3], ARGV[2], 'EX', ARGV[3])
  return 1
end

if mode == 'finish' then
  if state ~= ARGV[2] then return 0 end
  redis.call('HSET', hash, '', 'whole')
  redis.call('DEL', KEYS[3])
  return 1
end

return redis.error_reply('unknown mode')
