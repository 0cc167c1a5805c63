"""Ports that nobody else has."""

import fcntl
import itertools
import os
import random
import resource
import socket
import tempfile

# Below the range that the kernel hands out for outgoing connections, so that none of those sits on
# a port between our looking and the server's binding.
FIRST, LAST = 12000, 32000

_candidates = itertools.cycle(range(FIRST, LAST))
_locks = []  # held until this process ends: two runs on one machine never share a port

# A file for each: more than the usual limit of a shell.
_, _most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_most_files, _most_files))


def _is_locked_for_us(port):
    folder = os.path.join(tempfile.gettempdir(), f"weir-test-ports-{os.getuid()}")
    os.makedirs(folder, exist_ok=True)
    lock = open(os.path.join(folder, str(port)), "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return False
    _locks.append(lock)
    return True


def _is_free(port):
    # Without SO_REUSEADDR or SO_REUSEPORT: a listener of any kind makes this fail. Both families,
    # for a listener on [::] takes 127.0.0.1's port too.
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as error:
            if family == socket.AF_INET6 and error.errno != 98:  # no IPv6 here
                continue
            return False
    return True


def free_port():
    """A TCP port on which nothing listens and which no other test run will take."""
    global _candidates
    if not _locks:
        start = random.randrange(FIRST, LAST)
        _candidates = itertools.chain(range(start, LAST), range(FIRST, start))
    for port in _candidates:
        if _is_free(port) and _is_locked_for_us(port):
            return port
    raise RuntimeError("no free port left")
