-- KEYS: app's index
-- ARGV: member, the score it had, its new score or '' if it is gone; and so on
-- A member whose score has changed since was opened again or seen to by somebody else.
local gone = 0
for i = 1, #ARGV, 3 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    if ARGV[i + 2] == '' then
      gone = gone + redis.call('ZREM', KEYS[1], ARGV[i])
    else
      redis.call('ZADD', KEYS[1], ARGV[i + 2], ARGV[i])
    end
  end
end
return gone
