-- Who is connected, and what they show.
--
-- A player's key is a hash: "c:<connection>" is the process that holds it, "v" is 0 for who hides, "a" is what
-- the player shows, and "u" until when (ms) they count as present without a connection.
--
-- KEYS[1] the hash; ARGV: what to do, the time (ms), and what that needs.
-- Returns {present, changed}: whether there is a connection or a time that has not passed, and whether others
-- see the player come or go by this.

local key, work, now = KEYS[1], ARGV[1], tonumber(ARGV[2])

local function look()
    local all, connections, visible, stays = redis.call('HGETALL', key), 0, true, false
    for i = 1, #all, 2 do
        local field, value = all[i], all[i + 1]
        if field == 'v' then
            visible = value ~= '0'
        elseif field == 'u' then
            stays = tonumber(value) > now
        elseif field ~= 'a' then
            connections = connections + 1
        end
    end
    return connections, connections > 0 or stays, visible
end

local connections, present, visible = look()
local before = present and visible
if not present and (work == 'enter' or work == 'keep') then redis.call('DEL', key) end -- what was shown before

if work == 'enter' then
    redis.call('HSET', key, 'c:' .. ARGV[3], ARGV[4])
elseif work == 'leave' then
    redis.call('HDEL', key, 'c:' .. ARGV[3])
    local stays = redis.call('HGET', key, 'u')
    if present and stays and tonumber(stays) <= now then redis.call('HDEL', key, 'u') end
elseif work == 'show' then
    if present and ARGV[3] ~= '' then redis.call('HSET', key, 'v', ARGV[3]) end
    if present and ARGV[4] ~= '' then redis.call('HSET', key, 'a', ARGV[4]) end
elseif work == 'keep' then
    redis.call('HSET', key, 'u', ARGV[3], 'v', ARGV[4])
    if ARGV[5] ~= '' then redis.call('HSET', key, 'a', ARGV[5]) end
elseif work == 'extend' then
    if present then
        local stays = tonumber(redis.call('HGET', key, 'u') or '0')
        if stays < now then stays = now end
        redis.call('HSET', key, 'u', stays + tonumber(ARGV[3]))
    end
elseif work == 'drop' then
    if present then redis.call('HDEL', key, 'u') end
elseif work == 'lapse' then -- a time has passed: before it had, the player was present
    local stays = redis.call('HGET', key, 'u')
    if stays and tonumber(stays) <= now then
        before = visible
        redis.call('HDEL', key, 'u')
    end
end

local was_present = present
connections, present, visible = look()
local stays = redis.call('HGET', key, 'u')
if connections > 0 then
    redis.call('PERSIST', key)
elseif stays then -- who sees to it when the time has passed may be away for a while
    redis.call('PEXPIRE', key, tonumber(stays) - now + 86400000)
else
    redis.call('DEL', key)
end
local after = present and visible
local answered = present
if work == 'leave' or work == 'drop' then answered = was_present end
return {answered and 1 or 0, before ~= after and 1 or 0}
