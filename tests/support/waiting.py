"""Waiting for conditions, which is how these tests meet everything that takes time."""

import select
import time

# Far beyond what anything here takes: a machine under load is slow, and only a failing test waits
# this long.
PATIENCE_S = 30


def eventually(condition, what=None, within=PATIENCE_S, every=0.01):
    """Polls `condition` until it returns something true, which is returned.

    An AssertionError or connection error inside it counts as "not yet"; the last one is shown when
    time is up. `what` says what was waited for: text, or a function that makes the text then.
    """
    deadline = time.monotonic() + within
    while True:
        last = None
        try:
            result = condition()
            if result:
                return result
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            break
        time.sleep(every)
    text = what() if callable(what) else what
    raise AssertionError(f"not within {within} s: {text or condition}" +
                         (f" (last: {last})" if last else "")) from last


def is_readable(sock, within):
    """Whether something comes on a socket; select() knows only the first 1,024 descriptors."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(within * 1000))


def always(condition, what=None, during=1.0, every=0.02):
    """Fails as soon as `condition` is false within the next `during` seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert condition(), what or condition
        time.sleep(every)
