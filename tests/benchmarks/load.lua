-- Sends packets of many sessions in turn. Arguments: the file with one "sessionId" a line, the app id, and the
-- messages of each packet; "%N" in them becomes a number that is new each time.
local sessions, ids, turn, number = {}, {}, 0, 0
local app, messages
local thread_count = 0

function setup(thread)
  thread:set("offset", thread_count)
  thread_count = thread_count + 1
end

function init(args)
  local file, index = io.open(args[1]), 0
  app, messages = args[2], args[3]
  local threads = tonumber(args[4])
  for line in file:lines() do
    if index % threads == offset then
      sessions[#sessions + 1] = line
      ids[#ids + 1] = tonumber(args[5])
    end
    index = index + 1
  end
  file:close()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  turn = turn % #sessions + 1
  ids[turn] = ids[turn] + 1
  number = number + 1
  local body = string.format('{"packetId":%d,"sessionId":"%s","gameId":"%s","messages":[', ids[turn], sessions[turn], app)
    .. messages:gsub("%%N", number) .. "]}"
  return wrk.format(nil, nil, nil, body)
end

function response(status, headers, body)
  if status ~= 200 or body:find('"reason_code"', 1, true) then
    refused = (refused or 0) + 1
    if refused <= 3 then
      io.stderr:write(status, " ", body:sub(1, 300), "\n")
    end
  end
end
