-- Sends packets of many players in turn. Arguments: the file with one "session entity number" a line, the app id, the
-- messages of each packet, how many threads there are, the packetId to begin above, and how: "on" goes round, "once" uses
-- each line once. In the messages "%N" becomes a number that is new each time, "%E" the entity and "%P" the number of the
-- line; "%A" and "%B" become "left" and "right", in every other packet "right" and "left". A session "-" is none. A session waits for its answer before it sends again, as players do.
local sessions, entities, numbers, turn, count = {}, {}, {}, 0, 0
local waiting, line_of = {}, {}  -- lines that wait for an answer, and the line of a packetId
local app, messages, threads, once, first
local thread_count = 0

function setup(thread)
  thread:set("offset", thread_count)
  thread_count = thread_count + 1
end

function init(args)
  local file, index = io.open(args[1]), 0
  app, messages, threads, once = args[2], args[3], tonumber(args[4]), args[6] == "once"
  first = tonumber(args[5])
  for line in file:lines() do
    if index % threads == offset then
      local n = #sessions + 1
      sessions[n], entities[n], numbers[n] = line:match("(%S+) (%S+) (%S+)")
      if sessions[n] == "-" then sessions[n] = "" end
    end
    index = index + 1
  end
  file:close()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  if once and turn == #sessions then
    wrk.thread:stop()
  else
    repeat turn = turn % #sessions + 1 until not waiting[turn]
  end
  count = count + 1
  waiting[turn], line_of[first + count] = true, turn
  local a, b = "left", "right"
  if count % 2 == 0 then a, b = b, a end
  local body = string.format('{"packetId":%d,"sessionId":"%s","gameId":"%s","messages":[', first + count, sessions[turn], app)
    .. messages:gsub("%%N", count * threads + offset):gsub("%%E", entities[turn]):gsub("%%P", numbers[turn])
      :gsub("%%A", a):gsub("%%B", b) .. "]}"
  return wrk.format(nil, nil, nil, body)
end

function response(status, headers, body)
  local id = tonumber(body:match('^{"packetId":(%d+)'))
  if line_of[id] then
    waiting[line_of[id]], line_of[id] = nil, nil
  else  -- the floor answers everything alike
    waiting, line_of = {}, {}
  end
  if status ~= 200 or body:find('"reason_code"', 1, true) or body:find('"success":false', 1, true) then
    refused = (refused or 0) + 1
    if not once or refused > 64 then  -- the last packets of a list that has run out are repeats
      io.stderr:write(status, " ", body:sub(1, 200), "\n")
    end
  end
end
