-- KEYS: app's index
-- ARGV: cursor, how many
return redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
