-- Sends the request of the file BENCH_REQUEST (path, headers, an empty line, the body) and prints
-- one line of JSON. Without a function `request` or `response`, wrk does all of it in C. If there is
-- BENCH_ID, each request gets a number of its own in its place, as long as the first.

local file = assert(io.open(os.getenv("BENCH_REQUEST"), "rb"))
wrk.method = "POST"
wrk.path = file:read("*l")
for line in file:lines() do
  if line == "" then break end
  local name, value = line:match("^([^:]+): (.*)$")
  wrk.headers[name] = value
end
wrk.body = file:read("*a")
file:close()

local id = os.getenv("BENCH_ID")
if id then
  local before, after
  request = function()
    if not before then
      local whole = wrk.format()
      local from, to = whole:find(id, 1, true)
      before, after = whole:sub(1, from - 1), whole:sub(to + 1)
      id = tonumber(id)
    end
    id = id + 1
    return before .. string.format("%d", id) .. after
  end
end

done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "bytes": %d, "p50": %.1f, "p99": %.1f, ' ..
    '"status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
