-- What wrk found, as a line of JSON. Times are in microseconds.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "us": %d, "bytes": %d, "failed": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
