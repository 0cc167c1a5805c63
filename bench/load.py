"""Puts load on a gateway and takes its measure: one wrk run, or many idle connections."""

import json
import pathlib
import socket
import subprocess
import time
from dataclasses import dataclass

from gateways import find_program
from machine import (BenchError, core_busy_seconds, cpu_seconds, data_memory_kib, memory_kib,
                     wait_until)

WRK_SCRIPT = pathlib.Path(__file__).resolve().parent / "configs" / "wrk.lua"


@dataclass(frozen=True)
class Case:
    path: str
    body: str
    connections: int
    is_churn: bool = False  # a connection carries one request

    def __str__(self):
        what = "new connections" if self.is_churn else "connections"
        return f"{self.body} bodies, {self.connections} {what}"


CASES = [Case(path, body, connections)
         for path, body in (("/128", "128-byte"), ("/16k", "16-KiB"))
         for connections in (64, 512)]
CASES += [Case("/1m", "1-MiB", 64), Case("/128", "128-byte", 64, is_churn=True)]
QUICK_CASES = [CASES[1], *CASES[4:]]


@dataclass(frozen=True)
class Sample:
    """One wrk run against one gateway."""

    rate: float      # requests/s
    cpu_us: float    # of the gateway, per request
    busy: float      # share of its core that the gateway used
    foreign: float   # share of its core that others used meanwhile
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True)
class Memory:
    """One gateway with many idle connections."""

    start_kib: int           # before the first of them
    connections: int
    per_connection_kib: float


def run_wrk(port, case, seconds, core):
    """Runs wrk, pinned to a core, and returns what configs/wrk.lua reports."""
    command = ["taskset", "-c", str(core), find_program("wrk"), "--latency", "--threads", "1",
               "--connections", str(case.connections), "--duration", f"{seconds}s",
               "--script", str(WRK_SCRIPT), *(["--header", "Connection: close"] if case.is_churn else []),
               f"http://127.0.0.1:{port}{case.path}"]
    try:
        output = subprocess.run(["setpriv", "--pdeathsig", "TERM", *command], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                timeout=seconds + 20).stdout
    except subprocess.TimeoutExpired:
        raise BenchError(f"wrk did not end within {seconds + 20} seconds: {case}") from None
    for line in output.splitlines():
        if line.startswith("bench "):
            return json.loads(line[len("bench "):])
    raise BenchError(f"wrk reported nothing: {output}")


def measure(gateway, case, seconds, load_core):
    pids = gateway.process.pids()
    core = gateway.core if isinstance(gateway.core, int) else int(gateway.core.split(",")[0])
    core_before, cpu_before = core_busy_seconds(core), cpu_seconds(pids)
    began = time.monotonic()
    result = run_wrk(gateway.port, case, seconds, load_core)
    elapsed = time.monotonic() - began
    cpu = cpu_seconds(pids) - cpu_before
    foreign = core_busy_seconds(core) - core_before - cpu
    if result["requests"] == 0:
        raise BenchError(f"{gateway.name} answered nothing: {case}\n{gateway.process.last_words()}")
    return Sample(rate=result["requests"] / result["seconds"],
                  cpu_us=cpu * 1e6 / result["requests"], busy=cpu / elapsed,
                  foreign=max(0.0, foreign / elapsed), p50_ms=result["p50_ms"],
                  p99_ms=result["p99_ms"], errors=result["errors"])


def request_once(connection):
    """One small request on a kept connection, read to the last byte of its body."""
    connection.sendall(b"GET /128 HTTP/1.1\r\nHost: bench\r\n\r\n")
    answer = b""
    while len(answer.partition(b"\r\n\r\n")[2]) < 128:
        piece = connection.recv(4096)
        if not piece:
            raise BenchError(f"a kept connection was closed after {answer!r}")
        answer += piece


def measure_idle(gateway, count):
    """Memory of a freshly started gateway for each idle connection that made one request."""
    connections = []

    def connect_and_request(how_many):
        for _ in range(how_many):
            connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
            connections.append(connection)
            request_once(connection)

    try:
        connect_and_request(10)  # what is set up once, by the first requests, is no connection's
        pids = gateway.process.pids()
        start, before = memory_kib(pids), settled_memory_kib(pids)
        connect_and_request(count)
        after = settled_memory_kib(pids)
        return Memory(start, count, (after - before) / count)
    except OSError as error:
        raise BenchError(
            f"{gateway.name} with {len(connections)} idle connections: {error}") from None
    finally:
        for connection in connections:
            connection.close()


def settled_memory_kib(pids):
    """The memory once two looks, some time apart, agree."""
    last = -1

    def is_settled():
        nonlocal last
        time.sleep(0.2)
        previous, last = last, data_memory_kib(pids)
        return previous == last

    wait_until(is_settled, "memory did not settle", seconds=15)
    return last
