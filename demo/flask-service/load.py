#!/usr/bin/python3
"""A small, steady load, which says every few seconds how it goes.

    load.py --rate 20 http://weir-1:8000/api http://weir-2:8000/api
"""

import argparse
import collections
import itertools
import signal
import sys
import time

import requests

SAY_EVERY_S = 5


def ask(session, url):
    """What came: a status and the instance that answered, or an error's kind."""
    try:
        answer = session.get(url, timeout=10)
        name = answer.headers.get("Content-Type", "").startswith("application/json") \
            and answer.json().get("instance")
        return f"{answer.status_code} {name or ''}".strip()
    except (requests.RequestException, ValueError) as error:
        return type(error).__name__


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=20, help="requests a second, all together")
    parser.add_argument("urls", nargs="+")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    session = requests.Session()
    session.trust_env = False
    counts = collections.Counter()
    said = due = time.monotonic()
    for url in itertools.cycle(options.urls):
        counts[ask(session, url)] += 1
        now = time.monotonic()
        if now - said >= SAY_EVERY_S:
            print("  ".join(f"{what}: {count}" for what, count in sorted(counts.items())), flush=True)
            counts.clear()
            said = now
        due = max(due + 1 / options.rate, now)
        time.sleep(due - now)


if __name__ == "__main__":
    main()
