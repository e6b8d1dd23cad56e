-- wrk's requests: a body whose @@ becomes another number in each, to a path whose @0 becomes one of 64.
local file = assert(io.open(os.getenv("WRK_BODY")))
local body, path, turn = file:read("*a"), os.getenv("WRK_PATH"), 0

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function request()
  turn = turn + 1
  return wrk.format(nil, (path:gsub("@0", turn % 64)), nil, (body:gsub("@@", turn)))
end

function done(summary)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, errors.status, lost, summary.duration))
end
