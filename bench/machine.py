"""The machine under the benchmark: its cores, free ports, and processes that are sure to end."""

import os
import platform
import resource
import signal
import socket
import subprocess
import time

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 5


class BenchError(Exception):
    """Something is missing or went wrong; the sentence is for the person at the terminal."""


def exit_on_signals():
    """Turns the signals that end a program into SystemExit, so that everything is cleaned up."""

    def on_signal(number, _frame):
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)  # the clean-up is bounded in time: let it finish
        raise SystemExit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, on_signal)


def two_cores():
    """The cores of the gateway and of the load: the first two that we may use."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("two cores are needed, one for the gateway and one for the load")
    return cores[0], cores[1]


def lift_file_limit():
    """Raises our limit of open files, which every child inherits; returns the limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what, seconds=10):
    """Polls until condition() is true. `what` names its absence, should it not come in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{what} within {seconds} seconds")
        time.sleep(0.02)


def description():
    """What of the machine the figures depend on, in one line."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.partition(":")[2].strip() for line in cpuinfo
                      if line.startswith("model name")), platform.machine())
    with open("/proc/sys/net/ipv4/tcp_congestion_control") as control:
        return (f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, "
                f"TCP {control.read().strip()}")


def core_busy_seconds(core):
    """CPU seconds that anyone has spent on a core since the machine started."""
    with open("/proc/stat") as stat:
        for line in stat:
            fields = line.split()
            if fields[0] == f"cpu{core}":
                user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[1:8])
                return (user + nice + system + irq + softirq) / CLOCK_TICKS
    raise BenchError(f"/proc/stat knows no core {core}")


class Process:
    """A child pinned to one core, in a session of its own, that dies with us whatever happens."""

    def __init__(self, command, core, log_path, environment=None, stdout=None):
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log,
                env=environment, start_new_session=True)

    @property
    def pid(self):
        return self.child.pid

    def pids(self):
        """The process and all that descend from it."""
        return process_tree(self.pid)

    def has_ended(self):
        return self.child.poll() is not None

    def last_words(self):
        """The end of the log, for error messages."""
        with open(self.log_path, errors="replace") as log:
            return "".join(log.readlines()[-10:]).strip() or "(nothing was logged)"

    def stop(self):
        """SIGTERM, then SIGKILL for whatever of the tree is left after a few seconds."""
        if self.child.stdout:
            self.child.stdout.close()
        if self.has_ended():
            return
        tree = self.pids()
        self.child.terminate()
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in tree:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.child.wait(STOP_SECONDS)


def process_tree(pid):
    pids = [pid]
    for parent in pids:  # grows while it is walked
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as children:
                    pids.extend(map(int, children.read().split()))
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended meanwhile
    return pids


def cpu_seconds(pids):
    """User and system time of processes, all their threads included."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()  # the name may contain anything
        ticks += int(fields[11]) + int(fields[12])
    return ticks / CLOCK_TICKS


def memory_kib(pids, kinds=("Pss:",)):
    """Memory of processes; as PSS, what they share is counted once."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            total += sum(int(line.split()[1]) for line in rollup if line.startswith(kinds))
    return total


def data_memory_kib(pids):
    """The same without mapped files, whose share changes as others start and end."""
    return memory_kib(pids, ("Pss_Anon:", "Pss_Shmem:"))
