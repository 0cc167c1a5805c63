"""weir beside nginx, HAProxy and a bare byte forwarder: the same load, the same cores, in turn."""

import argparse
import pathlib
import sys
import tempfile
from contextlib import ExitStack

import report
from crowd import measure_crowd
from gateways import GATEWAYS, MAX_CLIENTS, Backend, TwoWorkers, Weir, build_programs, check_programs
from load import CASES, QUICK_CASES, measure, measure_idle, run_wrk
from machine import BenchError, description, exit_on_signals, lift_file_limit, two_cores

IDLE_CONNECTIONS = 10000
QUICK_IDLE_CONNECTIONS = 400
SLOW_CLIENTS = 5000
QUICK_SLOW_CLIENTS = 400
SPARE_FILES = 500  # besides the connections: logs, listeners, libraries


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="bench/run", description="Measures weir beside nginx, HAProxy and a byte forwarder.")
    parser.add_argument("--quick", action="store_true",
                        help="one short round: proves that everything works, measures little")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N",
                        help="rounds, of which medians are reported (default 3)")
    parser.add_argument("--seconds", type=positive, default=3, metavar="S",
                        help="length of each wrk run (default 3)")
    parser.add_argument("--only", type=gateway_names, default=list(GATEWAYS), metavar="NAMES",
                        help=f"some of {','.join(GATEWAYS)}")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--weir", type=pathlib.Path, default=Weir.binary, metavar="PATH",
                        help="the weir to measure (default build/release/weir)")
    options = parser.parse_args()
    if options.quick:
        options.rounds = options.seconds = 1
    Weir.binary = options.weir.resolve()
    return options


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def gateway_names(text):
    names = text.split(",")
    for name in names:
        if name not in GATEWAYS:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(GATEWAYS)}")
    return [name for name in GATEWAYS if name in names]  # in the one order of all tables


def progress(sentence):
    print(f"bench: {sentence}", file=sys.stderr, flush=True)


def in_turn(names, round_number):
    """The gateways in an order that starts elsewhere each round: no place is a privilege."""
    shift = round_number % len(names)
    return names[shift:] + names[:shift]


class Bench:
    """The backend and the settings that all measurements of a run share."""

    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.gateway_core, self.load_core = two_cores()
        self.files = lift_file_limit()
        self.stack = ExitStack()
        self.backend = Backend(self.load_core, directory)
        self.stack.callback(self.backend.stop)

    def started(self, stack, name, part):
        """Starts a gateway that is stopped when `stack` is left."""
        gateway = GATEWAYS[name](self.backend.port, self.gateway_core, self.directory / part)
        stack.callback(gateway.stop)
        gateway.start()
        return gateway

    def measure_load(self):
        """All gateways run all the time, as an idle one costs nothing; loaded they are in turn."""
        names, seconds = self.options.only, self.options.seconds
        cases = QUICK_CASES if self.options.quick else CASES
        results = {case: {name: [] for name in names} for case in cases}
        with ExitStack() as stack:
            gateways = {name: self.started(stack, name, "load") for name in names}
            for name in names:
                run_wrk(gateways[name].port, CASES[3], 1, self.load_core)  # warms pools and caches
            for round_number in range(self.options.rounds):
                for case in cases:
                    progress(f"round {round_number + 1} of {self.options.rounds}: {case}")
                    for name in in_turn(names, round_number):
                        results[case][name].append(
                            measure(gateways[name], case, seconds, self.load_core))
        return results

    def measure_memory(self):
        count = self.idle_count()
        memories = {name: [] for name in self.options.only}
        for round_number in range(self.options.rounds):
            progress(f"round {round_number + 1} of {self.options.rounds}: {count} idle connections")
            for name in in_turn(self.options.only, round_number):
                with ExitStack() as stack:
                    gateway = self.started(stack, name, f"idle-{round_number}")
                    memories[name].append(measure_idle(gateway, count))
        return memories

    def measure_crowds(self):
        """Good requests beside slow clients."""
        count = min(QUICK_SLOW_CLIENTS if self.options.quick else SLOW_CLIENTS,
                    MAX_CLIENTS - SPARE_FILES)
        crowds = {name: [] for name in self.options.only}
        for round_number in range(self.options.rounds):
            progress(f"round {round_number + 1} of {self.options.rounds}: {count} slow clients")
            for name in in_turn(self.options.only, round_number):
                with ExitStack() as stack:
                    gateway = self.started(stack, name, f"slow-{round_number}")
                    crowds[name].append(
                        measure_crowd(gateway, count, self.options.seconds, self.load_core))
        return crowds

    def measure_workers(self):
        """One worker and two, both on both cores, as the second is of no use on one."""
        if "weir" not in self.options.only:
            return {}
        samples = {1: [], 2: []}
        with ExitStack() as stack:
            gateways = {}
            for count, kind in ((1, Weir), (2, TwoWorkers)):
                gateways[count] = kind(self.backend.port, f"{self.gateway_core},{self.load_core}",
                                       self.directory / "workers")
                stack.callback(gateways[count].stop)
                gateways[count].start()
                run_wrk(gateways[count].port, CASES[0], 1, self.load_core)
            for round_number in range(self.options.rounds):
                progress(f"round {round_number + 1} of {self.options.rounds}: one worker, two workers")
                for count in in_turn([1, 2], round_number):
                    samples[count].append(measure(gateways[count], CASES[0], self.options.seconds,
                                                  self.load_core))
        return samples

    def idle_count(self):
        """Fewer than planned where open files are scarce: the forwarder needs two a connection."""
        wanted = QUICK_IDLE_CONNECTIONS if self.options.quick else IDLE_CONNECTIONS
        return min(wanted, MAX_CLIENTS - 20, (self.files - SPARE_FILES) // 2)


def describe_run(options, bench):
    return (f"{description()}\nGateways on core {bench.gateway_core}, wrk and backend on core "
            f"{bench.load_core}; {options.rounds} round(s), {options.seconds} s a run")


def main():
    options = parse_arguments()
    check_programs(options.only)
    build_programs()
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory:
        bench = Bench(options, pathlib.Path(directory))
        with bench.stack:
            results, memories = bench.measure_load(), bench.measure_memory()
            crowds, workers = bench.measure_crowds(), bench.measure_workers()
    texts = [describe_run(options, bench), report.cases_text(results, options.markdown),
             report.ratios_text(results, options.markdown),
             report.memory_text(memories, options.markdown),
             report.crowds_text(crowds, options.markdown),
             report.workers_text(workers, options.markdown), report.noise_text(results)]
    print("\n\n".join(text for text in texts if text))


if __name__ == "__main__":
    exit_on_signals()
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench: {error}")
