"""Turns samples into tables, for a terminal or for Markdown."""

from statistics import median

SUBJECT = "weir"
FLOOR = "forwarder"


def ratio_pairs(names):
    """What is set beside what: weir beside each of the others, else each beside the floor."""
    others = [name for name in names if name != SUBJECT]
    if SUBJECT in names:
        return [(SUBJECT, other) for other in others]
    return [(name, FLOOR) for name in others if name != FLOOR and FLOOR in names]


def paired_ratio(samples, pair, field):
    """The median over the rounds of the ratio within a round: drift hits both sides of it."""
    over, under = samples[pair[0]], samples[pair[1]]
    return median(getattr(a, field) / getattr(b, field) if getattr(b, field) else float("nan")
                  for a, b in zip(over, under))


def table(header, rows, markdown):
    """Rows of strings as lines of text; the first column is aligned left, the others right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))]
        return f"| {' | '.join(cells)} |" if markdown else "  " + "  ".join(cells)

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), *([line(rule)] if markdown else []), *map(line, rows)])


def case_rows(samples):
    for name, rounds in samples.items():
        def middle(field):
            return median(getattr(sample, field) for sample in rounds)

        costs = [sample.cpu_us for sample in rounds]
        to_floor = (f"{paired_ratio(samples, (name, FLOOR), 'cpu_us'):.2f}x"
                    if FLOOR in samples else "")
        yield [name, f"{middle('rate'):,.0f}", f"{median(costs):.2f}",
               f"{min(costs):.1f}-{max(costs):.1f}", to_floor, f"{middle('busy'):.0%}",
               f"{middle('p50_ms'):.2f}", f"{middle('p99_ms'):.2f}",
               str(sum(sample.errors for sample in rounds))]


def cases_text(results, markdown):
    """`results` maps a case to {gateway's name: its samples, one a round}."""
    header = ["gateway", "requests/s", "CPU µs/request", "range", "to floor", "busy", "p50 ms",
              "p99 ms", "errors"]
    return "\n\n".join(
        (f"**{case}**\n\n" if markdown else f"{case}\n") + table(header, list(case_rows(samples)),
                                                                 markdown)
        for case, samples in results.items())


def ratios_text(results, markdown):
    pairs = ratio_pairs(list(next(iter(results.values()))))
    if not pairs:
        return ""
    header = ["case", *(f"{field} {a}/{b}" for field in ("CPU", "rate") for a, b in pairs)]
    rows = [[str(case), *(f"{paired_ratio(samples, pair, field):.2f}x"
                          for field in ("cpu_us", "rate") for pair in pairs)]
            for case, samples in results.items()]
    title = "Ratios (CPU µs per request: less is better; requests/s: more is better)"
    return (f"**{title}**\n\n" if markdown else f"{title}\n") + table(header, rows, markdown)


def memory_text(memories, markdown):
    """`memories` maps a gateway's name to its samples, one a round."""
    header = ["gateway", "idle connections", "KiB each", "MiB at start", "MiB with them"]
    rows = []
    for name, rounds in memories.items():
        each = median(memory.per_connection_kib for memory in rounds)
        start = median(memory.start_kib for memory in rounds)
        count = rounds[0].connections
        rows.append([name, f"{count:,}", f"{each:.2f}", f"{start / 1024:.1f}",
                     f"{(start + each * count) / 1024:.1f}"])
    title = "Memory (PSS) of idle keep-alive connections"
    return (f"**{title}**\n\n" if markdown else f"{title}\n") + table(header, rows, markdown)


def crowds_text(crowds, markdown):
    """`crowds` maps a gateway's name to its samples, one a round."""
    header = ["gateway", "slow clients", "p50 ms without", "p50 ms with", "p99 ms without",
              "p99 ms with", "failures"]
    rows = []
    for name, rounds in crowds.items():
        def middle(field):
            return f"{median(getattr(crowd, field) for crowd in rounds):.2f}"

        rows.append([name, f"{rounds[0].slow:,}", middle("quiet_p50_ms"), middle("p50_ms"),
                     middle("quiet_p99_ms"), middle("p99_ms"),
                     str(sum(crowd.failures for crowd in rounds))])
    title = "Good requests, 1,000 a second, beside clients that send a byte in two seconds"
    return (f"**{title}**\n\n" if markdown else f"{title}\n") + table(header, rows, markdown)


def workers_text(workers, markdown):
    """`workers` maps a number of workers to samples, one a round; empty: weir wasn't measured."""
    if not workers:
        return ""
    header = ["workers", "CPU µs/request", "range", "requests/s"]
    rows = []
    for count, rounds in workers.items():
        costs = [sample.cpu_us for sample in rounds]
        rows.append([str(count), f"{median(costs):.2f}", f"{min(costs):.1f}-{max(costs):.1f}",
                     f"{median(sample.rate for sample in rounds):,.0f}"])
    title = "weir with one worker and with two, on both cores"
    return (f"**{title}**\n\n" if markdown else f"{title}\n") + table(header, rows, markdown)


def noise_text(results):
    """A warning when others used the gateway's core, or an empty string."""
    worst = max(sample.foreign for samples in results.values() for rounds in samples.values()
                for sample in rounds)
    if worst < 0.05:
        return ""
    return (f"Other processes used up to {worst:.0%} of the gateway's core during a run. "
            "Requests/s are too low and latencies too high by that; CPU per request suffers less, through the "
            "caches: see how wide the ranges are, and run again on a quiet machine.")
