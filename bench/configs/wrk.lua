-- Prints wrk's results as one line of JSON. Nothing here runs while requests are made.
done = function(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\nbench {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d}\n',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
