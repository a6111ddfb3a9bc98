-- Sends the calls of a plan (a Lua file: {{request, body length or -1 for any}, ...}) and checks each answer.
-- Arguments: plan file, expected status, "step" (every thread begins at the first call) or "share".

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  plan = dofile(args[1])
  expected = tonumber(args[2])
  -- Prime, so that threads are spread over the plan.
  turn = args[3] == "step" and 0 or number * 1571
  wanted, bad, body_bytes, complaint = 0, 0, 0, ""
end

function request()
  turn = turn % #plan + 1
  wanted = plan[turn][2]
  return plan[turn][1]
end

-- Sizes are equal in a plan that is shared; in step a thread has one connection: `wanted` is always right.
function response(status, headers, body)
  local fits = wanted == #body or (wanted < 0 and (#body > 0 or expected == 304))
  if status ~= expected or not fits then
    bad = bad + 1
    if complaint == "" then
      complaint = "status " .. status .. ", " .. #body .. " bytes instead of " .. expected .. ", " .. wanted
    end
  else
    body_bytes = body_bytes + #body
  end
end

function done(summary, latency, requests)
  local bad, bytes, complaint = 0, 0, ""
  for _, thread in ipairs(threads) do
    bad = bad + thread:get("bad")
    bytes = bytes + thread:get("body_bytes")
    if complaint == "" then complaint = thread:get("complaint") end
  end
  local e = summary.errors
  local broken = e.connect + e.read + e.write + e.timeout
  if broken > 0 then
    complaint = complaint .. string.format(" (connect %d, read %d, write %d, timeout %d)",
      e.connect, e.read, e.write, e.timeout)
  end
  io.write(string.format("RESULT %d %.0f %.0f %d %.0f %.0f %s\n", summary.requests - bad, bytes, summary.duration,
    bad + broken, latency:percentile(50), latency:percentile(99), complaint))
end
