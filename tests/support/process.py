"""A server process with its log in a file."""

import os
import signal
import subprocess

from .waiting import eventually


class Process:
    """Starts `command` in a session of its own; what it prints goes to the file `log_path`."""

    def __init__(self, command, log_path, env=None, cwd=None):
        self.command = [str(word) for word in command]
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self._child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=log, env=env, cwd=cwd, start_new_session=True)

    @property
    def pid(self):
        return self._child.pid

    @property
    def exit_code(self):
        """None while it runs; negative: the signal that ended it."""
        return self._child.poll()

    @property
    def is_running(self):
        return self.exit_code is None

    def log_text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_until(self, is_ready, what):
        """Polls `is_ready`, and gives up at once when the process has ended."""
        def ready_or_dead():
            if not self.is_running:
                raise RuntimeError(f"{self.command[0]} ended with {self.exit_code} instead of "
                                   f"{what}:\n{self.log_text()[-4000:]}")
            return is_ready()
        eventually(ready_or_dead, lambda: f"{what}; its log:\n{self.log_text()[-4000:]}")

    def signal(self, number):
        if self.is_running:
            os.kill(self.pid, number)

    def wait(self, within=60):
        return self._child.wait(within)

    def stop(self, within=60):
        """SIGTERM; returns the exit code. Kills, and raises, when it takes longer than `within`."""
        self.signal(signal.SIGTERM)
        try:
            return self._child.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.command[0]} did not end within {within} s of SIGTERM:\n"
                                 f"{self.log_text()[-4000:]}") from None

    def kill(self):
        """kill -9."""
        self.signal(signal.SIGKILL)
        self._child.wait()
