"""Builds of weir beside each other: short runs in turn, many of them, and the ratios within a round."""

import argparse
import os
import pathlib
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median

from gateways import GATEWAYS, Backend, Weir, build_programs, check_programs
from load import CASES, run_wrk
from machine import BenchError, description, exit_on_signals, lift_file_limit, two_cores
from report import table

CASE_NAMES = dict(zip(("small", "small512", "16k", "16k512", "1m", "new"), CASES))


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="bench/versus", description="Measures builds of weir beside each other.")
    parser.add_argument("builds", nargs="+", metavar="BUILD",
                        help="a path, NAME=path, or one of haproxy, nginx, forwarder; "
                        "ratios are to the first")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASE_NAMES),
                        metavar="NAMES", help=f"some of {','.join(CASE_NAMES)}")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="default 15")
    parser.add_argument("--seconds", type=int, default=1, metavar="S",
                        help="length of each wrk run (default 1)")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    options = parser.parse_args()
    for name in options.cases:
        if name not in CASE_NAMES:
            parser.error(f"{name} is none of {', '.join(CASE_NAMES)}")
    return options


def kind_of(build):
    """The name of a build and its Gateway class."""
    if build in GATEWAYS and build != Weir.name:
        return build, GATEWAYS[build]
    name, _, path = build.rpartition("=")
    binary = pathlib.Path(path).resolve()
    if not os.access(binary, os.X_OK):
        raise BenchError(f"there is no weir at {binary}")
    name = name or binary.name
    return name, type("Build", (Weir,), {"name": name, "binary": binary})


def run_seconds(pids):
    """CPU seconds of processes, to the nanosecond: short runs are no place for ticks of 10 ms."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as schedstat:
                total += int(schedstat.read().split()[0])
    return total / 1e9


def costs_together(gateways, case, seconds, load_core):
    """CPU µs for each request of every gateway, all of them under load at the same time: what else
    the machine does, they suffer alike."""
    pids = {name: gateway.process.pids() for name, gateway in gateways.items()}
    before = {name: run_seconds(pids[name]) for name in gateways}
    with ThreadPoolExecutor(len(gateways)) as pool:
        runs = {name: pool.submit(run_wrk, gateway.port, case, seconds, load_core)
                for name, gateway in gateways.items()}
    requests = {name: run.result()["requests"] for name, run in runs.items()}
    for name in gateways:
        if requests[name] == 0:
            raise BenchError(f"{name} answered nothing: {case}")
    return {name: (run_seconds(pids[name]) - before[name]) * 1e6 / requests[name]
            for name in gateways}


def quartiles(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]


def rows_of(costs):
    """`costs` maps a name to its costs, one a round."""
    first = next(iter(costs.values()))
    for name, each in costs.items():
        ratios = [a / b for a, b in zip(each, first)]
        low, high = quartiles(ratios)
        yield [name, f"{median(each):.2f}", f"{min(each):.2f}", f"{median(ratios):.3f}",
               f"{low:.3f}-{high:.3f}"]


def measure(options, gateways, load_core):
    results = {case: {name: [] for name in gateways} for case in options.cases}
    for number in range(options.rounds):
        for case in options.cases:
            costs = costs_together(gateways, CASE_NAMES[case], options.seconds, load_core)
            for name, each in costs.items():
                results[case][name].append(each)
        print(f"bench: round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return results


def main():
    options = parse_arguments()
    kinds = dict(map(kind_of, options.builds))
    check_programs([name for name, kind in kinds.items() if kind in GATEWAYS.values()])
    build_programs()
    gateway_core, load_core = two_cores()
    lift_file_limit()
    with tempfile.TemporaryDirectory(prefix="weir-versus-") as name, ExitStack() as stack:
        directory = pathlib.Path(name)
        backend = Backend(load_core, directory)
        stack.callback(backend.stop)
        gateways = {}
        for name, kind in kinds.items():
            gateways[name] = kind(backend.port, gateway_core, directory)
            stack.callback(gateways[name].stop)
            gateways[name].start()
            run_wrk(gateways[name].port, CASES[3], 1, load_core)  # warms pools and caches
        results = measure(options, gateways, load_core)
    print(description())
    header = ["build", "CPU µs/request", "least", "ratio", "half of the rounds"]
    for case, costs in results.items():
        title = str(CASE_NAMES[case])
        print(f"\n**{title}**\n" if options.markdown else f"\n{title}")
        print(table(header, list(rows_of(costs)), options.markdown))


if __name__ == "__main__":
    exit_on_signals()
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench: {error}")
