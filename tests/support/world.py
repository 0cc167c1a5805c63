"""Clocks and names that a test moves under a running weir."""

import mmap
import os
import struct
import subprocess

from . import REPOSITORY

SIZE = 72


class World:
    """Set `wall` and `slept` (seconds) and `address` at any time; `environment` is weir's."""

    def __init__(self, directory):
        library, path = os.path.join(directory, "world.so"), os.path.join(directory, "world")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", library,
                        str(REPOSITORY / "tests/support/world.c"), "-ldl"], check=True)
        with open(path, "wb") as file:
            file.write(bytes(SIZE))
        with open(path, "r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), SIZE)
        self.environment = {"LD_PRELOAD": library, "TEST_WORLD": path}

    def _set(self, offset, data):
        self._bytes[offset:offset + len(data)] = data

    def move_wall_clock(self, seconds):
        self._set(0, struct.pack("q", seconds))

    def sleep(self, seconds):
        """The machine has been suspended for so long in all."""
        self._set(8, struct.pack("q", seconds))

    def pass_time(self, seconds):
        """So much time more has passed, in all, than really has: timers are due so much earlier."""
        self._set(64, struct.pack("q", seconds))

    def resolve_to(self, address):
        """What names under .test mean from now on; None: they don't exist."""
        self._set(16, (address or "").encode().ljust(48, b"\0"))
