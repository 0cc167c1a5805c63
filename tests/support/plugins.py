"""One node and one backend for a whole file of tests about plugins; each test has its own service."""

import itertools

from . import wire
from .backends import Backend

_numbers = itertools.count(1)


class Api:
    """A service behind a path of its own, and consumers that are its alone."""

    def __init__(self, node, backend):
        self.node, self.backend, self.admin = node, backend, node.admin
        self.name = f"api{next(_numbers)}"
        self.path = f"/{self.name}"
        node.serve(self.name, backend.url)

    def plug(self, plugin, config=None, path=None, **fields):
        """A row for this service, or of another path ('' for everything)."""
        path = f"/services/{self.name}" if path is None else path
        return self.admin.create(f"{path}/plugins",
                                 {"name": plugin, "config": config or {}, **fields})

    def consumer(self, suffix="", **fields):
        return self.admin.create("/consumers", {"username": f"{self.name}{suffix}", **fields})

    def credential(self, consumer, kind, **fields):
        return self.admin.create(f"/consumers/{consumer['id']}/{kind}", fields)

    def get(self, more="", headers=(), **options):
        return self.request("GET", more, headers, **options)

    def request(self, method, more="", headers=(), body=b"", **options):
        return wire.one(self.node.proxy_port, method, self.path + more, headers, body, **options)

    @property
    def seen(self):
        """The headers that the backend saw last."""
        return self.backend.last.headers


def site(node):
    """For a fixture: yields a function that makes Apis, and stops its backend in the end."""
    backend = Backend()
    yield lambda: Api(node, backend)
    backend.stop()
