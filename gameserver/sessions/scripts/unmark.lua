-- KEYS: session
-- ARGV: the mark that was seen
if redis.call('HGET', KEYS[1], 'e') == ARGV[1] then redis.call('HDEL', KEYS[1], 'e') end
return 1
