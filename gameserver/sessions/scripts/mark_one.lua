-- KEYS: session
-- ARGV: since
mark(KEYS[1], ARGV[1])
return 1
