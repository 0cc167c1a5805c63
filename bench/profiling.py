"""Where a gateway's CPU time goes: counters, system calls per request, and the top functions."""

import argparse
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import http2
from gateways import GATEWAYS, Backend, Weir, build_programs, check_programs, find_program
from load import Case, run_wrk
from machine import (BenchError, cpu_seconds, exit_on_signals, lift_file_limit, process_tree,
                     two_cores, wait_until)

SAMPLES_PER_SECOND = 499  # prime, so as not to beat with the kernel's tick; few, as each costs µs
TOOL_SECONDS = 60          # how long a tool may take to write down what it saw
SYSTEM_CALLS = set(
    "accept4 brk clock_gettime close connect epoll_ctl epoll_pwait epoll_wait futex getsockopt "
    "madvise mmap munmap read readv recvfrom recvmsg sendmsg sendto setsockopt shutdown socket "
    "splice write writev".split())
EVENTS = "task-clock,context-switches,page-faults,cycles,instructions,branch-misses,cache-misses"


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="bench/profile", description="Shows where a gateway's CPU time goes under load.")
    parser.add_argument("--gateway", choices=GATEWAYS, default="weir",
                        help="whom to start and profile (default weir)")
    parser.add_argument("--weir", "--binary", type=pathlib.Path, default=Weir.binary,
                        metavar="PATH", help="the weir to start (default build/release/weir)")
    parser.add_argument("--pid", type=int, help="profile this running gateway instead …")
    parser.add_argument("--port", type=int, help="… which answers on this port of 127.0.0.1")
    parser.add_argument("--path", default="/128", help="what is asked for (default /128)")
    parser.add_argument("--connections", type=int, default=64, metavar="N", help="default 64")
    parser.add_argument("--streams", type=int, metavar="N",
                        help="HTTP/2 over TLS, so many requests at a time on each connection")
    parser.add_argument("--seconds", type=int, default=5, metavar="S",
                        help="length of each run (default 5)")
    parser.add_argument("--top", type=int, default=40, metavar="N",
                        help="how many functions to print (default 40)")
    parser.add_argument("--callgrind", action="store_true",
                        help="count instructions with valgrind instead: exact, user space only")
    options = parser.parse_args()
    if (options.pid is None) != (options.port is None):
        parser.error("--pid and --port belong together")
    if options.streams and (options.pid or options.gateway not in http2.GATEWAYS):
        parser.error("--streams is for a gateway that is started, and speaks HTTP/2")
    if options.pid and options.callgrind:
        parser.error("--callgrind starts the gateway itself: it takes no --pid")
    Weir.binary = options.weir.resolve()
    return options


class Subject:
    """What is profiled: its processes, its port, and the load on it."""

    def __init__(self, options, pids, port, load_core, gateway=None):
        self.options, self.pids, self.port, self.load_core = options, pids, port, load_core
        self.gateway = gateway  # where HTTP/2 is the load

    def load(self):
        """One run of wrk or h2load; returns the number of requests that it made."""
        if self.gateway:
            case = http2.Case("profile", self.options.path, self.options.connections,
                              self.options.streams)
            return http2.run_for(self.gateway, case, self.options.seconds, self.load_core)[0]
        case = Case(self.options.path, self.options.path, self.options.connections)
        requests = run_wrk(self.port, case, self.options.seconds, self.load_core)["requests"]
        if requests == 0:
            raise BenchError(f"nothing answers on port {self.port}")
        return requests

    def load_under(self, command, log_path):
        """Loads while a tool watches that SIGINT stops; returns requests and CPU seconds."""
        with open(log_path, "wb") as log:
            tool = subprocess.Popen(["setpriv", "--pdeathsig", "INT", *command], stdout=log,
                                    stderr=log, start_new_session=True)
        try:
            await_attached(tool, self.pids, log_path)
            before = cpu_seconds(self.pids)
            requests = self.load()
            return requests, cpu_seconds(self.pids) - before
        finally:
            tool.send_signal(signal.SIGINT)
            try:
                tool.wait(TOOL_SECONDS)
            except subprocess.TimeoutExpired:
                tool.kill()
                tool.wait()


def await_attached(tool, pids, log_path):
    """perf keeps a file open for each event, strace is named in the process's status."""
    def attached():
        if tool.poll() is not None:
            raise BenchError(f"a tool ended at once:\n{pathlib.Path(log_path).read_text()}")
        with open(f"/proc/{pids[-1]}/status") as status:
            if f"TracerPid:\t{tool.pid}\n" in status.read():
                return True
        with contextlib.suppress(FileNotFoundError, PermissionError):
            files = [os.readlink(f"/proc/{tool.pid}/fd/{fd}")
                     for fd in os.listdir(f"/proc/{tool.pid}/fd")]
            return any("perf_event" in name for name in files)
        return False

    wait_until(attached, "the tool did not attach to the gateway")


def comma_list(pids):
    return ",".join(map(str, pids))


def show(title, lines):
    print(f"\n{title}")
    for line in lines:
        print(f"  {line}")


def counters(subject, directory):
    """perf stat, divided by the requests."""
    output = directory / "stat"
    requests, cpu = subject.load_under(
        [find_program("perf"), "stat", "-x", ";", "-o", output, "-e", EVENTS,
         "-p", comma_list(subject.pids)], directory / "stat.log")
    lines = [f"{cpu * 1e6 / requests:10.2f}  CPU µs (from /proc)"]
    for line in output.read_text().splitlines():
        fields = line.split(";")
        if len(fields) < 3 or not re.fullmatch(r"[\d.]+", fields[0]):
            continue  # comments, and what this machine does not count
        unit = " µs" if fields[1] == "msec" else ""
        each = float(fields[0]) * (1e3 if unit else 1) / requests
        lines.append(f"{each:10.2f}  {fields[2]}{unit}")
    show(f"Counters per request ({requests:,} requests)", lines)


def system_calls(subject, directory):
    """strace -c, divided by the requests. It slows the gateway: events come in larger batches."""
    output = directory / "strace"
    attach = [word for pid in subject.pids for word in ("-p", str(pid))]
    requests, _ = subject.load_under(
        [find_program("strace"), "-f", "-c", "-U", "calls,errors,name", "-o", output, *attach],
        directory / "strace.log")
    rows = []
    for line in output.read_text().splitlines():
        match = re.fullmatch(r"\s*(\d+)\s+(\d+)?\s*(\w+)", line)
        if match and match[3] != "total":
            rows.append((int(match[1]), int(match[2] or 0), match[3]))
    rows.sort(reverse=True)
    lines = [f"{calls / requests:10.3f}  {name}"
             + (f"  ({errors / requests:.3f} with an error)" if errors else "")
             for calls, errors, name in rows if calls / requests >= 0.0005]
    total = sum(calls for calls, _, _ in rows) / requests
    show(f"System calls per request under strace ({requests:,} requests)",
         [*lines, f"{total:10.3f}  in all"])


def perf_report(data, *arguments):
    """Lines of (share, text) from perf report."""
    command = [find_program("perf"), "report", "-i", str(data), "--stdio", "-q", "-g", "none",
               "--percent-limit", "0.3", *arguments]
    output = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, timeout=TOOL_SECONDS).stdout
    for line in output.splitlines():
        match = re.match(r"\s*([\d.]+)%\s+(?:[\d.]+%\s+)?(.*\S)", line)
        if match:
            yield float(match[1]), re.sub(r"(\s+-)+$", "", match[2])  # empty columns at the end


def system_call_times(rows):
    """The rows that are a system call's entry; some are only seen as the function behind it."""
    times = {}
    for share, text in rows:
        match = re.search(r"\] (?:__(?:x64|arm64)_sys_|ksys_|do_)(\w+)$", text)
        if match and match[1] in SYSTEM_CALLS:
            times[match[1]] = max(share, times.get(match[1], 0.0))
    return sorted(((share, name) for name, share in times.items()), reverse=True)


def functions(subject, directory):
    """perf record -g: time by program, by system call, by function."""
    data = directory / "perf.data"
    requests, cpu = subject.load_under(
        [find_program("perf"), "record", "-q", "-g", "-F", str(SAMPLES_PER_SECOND), "-o", data,
         "-p", comma_list(subject.pids)], directory / "record.log")
    each_us = cpu * 1e6 / requests

    def lines(rows):
        return [f"{share:6.2f}%  {share * each_us / 100:6.2f} µs  {text}" for share, text in rows]

    show(f"Time by program and library ({each_us:.2f} µs a request while perf records)",
         lines(perf_report(data, "--no-children", "--sort", "dso")))
    show("Time inside each system call, with all that it calls",
         lines(system_call_times(perf_report(data, "--children", "--sort", "symbol"))))
    top = list(perf_report(data, "--no-children", "--sort", "symbol,dso"))
    show("Top functions, their own time alone", lines(top[:subject.options.top]))


def make_gateway(options, backend, core, load_core, directory, stack, wrapper=()):
    kinds = GATEWAYS
    if options.streams:
        kinds = http2.GATEWAYS
        http2.OverTls.certificate = http2.make_certificate(directory, "ecdsa")
    gateway = kinds[options.gateway](backend.port, core, directory, wrapper)
    stack.callback(gateway.stop)
    if options.streams:
        gateway.grpc_port = http2.start_grpc_backend(load_core, directory, stack)
    return gateway


def instructions(options, backend, gateway_core, load_core, directory, stack):
    """callgrind: instructions per function, counted while the load runs; the kernel is unseen."""
    output = directory / "callgrind"
    output.mkdir()
    directory.chmod(0o711)
    output.chmod(0o1777)  # a gateway may have given up root by the time that it ends
    gateway = make_gateway(options, backend, gateway_core, load_core, directory, stack,
                           [find_program("valgrind"), "--tool=callgrind", "--instr-atstart=no",
                            f"--callgrind-out-file={output}/%p"])
    gateway.start(seconds=60)
    pids = gateway.process.pids()
    for pid in pids:
        subprocess.run(["callgrind_control", "-i", "on", str(pid)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=TOOL_SECONDS)
    requests = Subject(options, pids, gateway.port, load_core,
                       gateway if options.streams else None).load()
    busiest = max(pids, key=lambda pid: cpu_seconds([pid]))
    gateway.stop()  # callgrind writes when the process ends
    text = subprocess.run(["callgrind_annotate", str(output / str(busiest))], text=True,
                          stdout=subprocess.PIPE, timeout=TOOL_SECONDS).stdout
    rows = re.findall(r"^\s*([\d,]+) \(\s*([\d.]+)%\)\s+(.*\S)", text, re.MULTILINE)
    if not rows:
        raise BenchError("callgrind counted nothing: it can't follow a worker that was forked and "
                         f"changed its user\n{gateway.process.last_words()}")
    show(f"Instructions per request in user space ({requests:,} requests)",
         [f"{int(count.replace(',', '')) / requests:10.0f}  {share:>6}%  {name}"
          for count, share, name in rows[:options.top + 1]])


def subject_of(options, backend, gateway_core, load_core, directory, stack):
    """The running gateway that was named, or a fresh one."""
    if options.pid:
        return Subject(options, process_tree(options.pid), options.port, load_core)
    gateway = make_gateway(options, backend, gateway_core, load_core, directory, stack)
    gateway.start()
    return Subject(options, gateway.process.pids(), gateway.port, load_core,
                   gateway if options.streams else None)


def main():
    options = parse_arguments()
    tools = ["valgrind"] if options.callgrind else ["perf", "strace"]
    check_programs(tools if options.pid else [options.gateway, *tools])
    build_programs()
    gateway_core, load_core = two_cores()
    lift_file_limit()
    with tempfile.TemporaryDirectory(prefix="weir-profile-") as name, \
            contextlib.ExitStack() as stack:
        directory = pathlib.Path(name)
        backend = Backend(load_core, directory)
        stack.callback(backend.stop)
        print(f"{options.pid or options.gateway}: GET {options.path}, "
              f"{options.connections} connections"
              f"{f' of {options.streams} streams' if options.streams else ''}, "
              f"{options.seconds} s a run", flush=True)
        if options.callgrind:
            instructions(options, backend, gateway_core, load_core, directory, stack)
            return
        subject = subject_of(options, backend, gateway_core, load_core, directory, stack)
        subject.load()  # warms pools and caches
        for look in (counters, system_calls, functions):
            look(subject, directory)


if __name__ == "__main__":
    exit_on_signals()
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench: {error}")
