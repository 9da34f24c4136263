-- For wrk: one of the bodies in the file BENCH_BODIES after the other, each sent once, to the path BENCH_PATH.
local lines = {}
local at = 0

function init()
  for line in io.lines(os.getenv("BENCH_HEADERS")) do
    local name, value = line:match("^([^:]+): (.*)$")
    wrk.headers[name] = value
  end
  for line in io.lines(os.getenv("BENCH_BODIES")) do
    lines[#lines + 1] = line
  end
end

function request()
  at = at % #lines + 1
  return wrk.format("POST", os.getenv("BENCH_PATH"), nil, lines[at])
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  io.write(string.format('{"requests": %d, "seconds": %.4f, "p50_ms": %.4f, "p99_ms": %.4f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
