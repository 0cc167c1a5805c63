"""docs/tutorial.md, as a newcomer follows it: each command, and what the page says that it shows."""

import re
import subprocess

import pytest

from support import REPOSITORY
from support.compose import FILE, PORTS
from support.waiting import eventually

PAGE = REPOSITORY / "docs/tutorial.md"
BLOCK = re.compile(r"^```(\w+)( eventually)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps():
    """(commands, whether they may be repeated, what must be seen, in order)"""
    found = []
    for kind, again, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "sh":
            found.append((text, bool(again), []))
        elif kind == "text":
            found[-1][2].extend(text.splitlines())
    return found


def in_order(lines, output):
    at = 0
    for line in lines:
        at = output.find(line, at)
        if at < 0:
            return False
        at += len(line)
    return True


@pytest.fixture
def shell(fresh):
    """Runs commands as the page has them, but on the ports of this stack and with its images."""
    def run(commands):
        for variable, port in PORTS.items():
            commands = commands.replace(f"localhost:{port}/", f"localhost:{fresh.ports[variable]}/")
            commands = re.sub(rf"(--connect-to \S+:localhost:){port}\b",
                              rf"\g<1>{fresh.ports[variable]}", commands)
        commands = commands.replace(" --build", "").replace("/tmp/", f"{run.folder}/")
        done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", commands], cwd=run.cwd,
                              env={**fresh.environment, "COMPOSE_FILE": str(FILE)}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                              check=False)
        if "cd deploy/compose" in commands:
            run.cwd = FILE.parent
        return done
    run.cwd = REPOSITORY
    return run


def test_each_command_does_what_the_page_says(shell, tmp_path):
    shell.folder = tmp_path
    found = steps()
    assert len(found) > 20
    for commands, may_repeat, expected in found:
        last = []

        def works():
            done = shell(commands)
            last[:] = [f"exit code {done.returncode}:\n{done.stdout}"]
            return done.returncode == 0 and in_order(expected, done.stdout)
        if may_repeat:
            eventually(works, lambda: f"{commands}shows {expected}; it shows {last}", within=60,
                       every=0.2)
        else:
            assert works(), f"{commands}should show {expected}; {last[0]}"
