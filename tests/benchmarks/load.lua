-- Sends packets of many players in turn. Arguments: the file with one "session entity number" a line, the app id, the
-- messages of each packet, how many threads there are, the packetId to begin above, and how: "on" goes round, "once" uses
-- each line once. In the messages "%N" becomes a number that is new each time, "%E" the entity and "%P" the number of the
-- line; a session "-" is none.
local sessions, entities, numbers, ids, turn, count = {}, {}, {}, {}, 0, 0
local app, messages, threads, once
local thread_count = 0

function setup(thread)
  thread:set("offset", thread_count)
  thread_count = thread_count + 1
end

function init(args)
  local file, index = io.open(args[1]), 0
  app, messages, threads, once = args[2], args[3], tonumber(args[4]), args[6] == "once"
  for line in file:lines() do
    if index % threads == offset then
      local n = #ids + 1
      sessions[n], entities[n], numbers[n] = line:match("(%S+) (%S+) (%S+)")
      if sessions[n] == "-" then sessions[n] = "" end
      ids[n] = tonumber(args[5])
    end
    index = index + 1
  end
  file:close()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  if once and turn == #ids then
    wrk.thread:stop()
  else
    turn = turn % #ids + 1
  end
  ids[turn] = ids[turn] + 1
  count = count + 1
  local body = string.format('{"packetId":%d,"sessionId":"%s","gameId":"%s","messages":[', ids[turn], sessions[turn], app)
    .. messages:gsub("%%N", count * threads + offset):gsub("%%E", entities[turn]):gsub("%%P", numbers[turn]) .. "]}"
  return wrk.format(nil, nil, nil, body)
end

function response(status, headers, body)
  if status ~= 200 or body:find('"reason_code"', 1, true) then
    refused = (refused or 0) + 1
    if not once or refused > 64 then  -- the last packets of a list that has run out are repeats
      io.stderr:write(status, " ", body:sub(1, 200), "\n")
    end
  end
end
