#!/usr/bin/python3
"""A small web service to put behind weir: every answer names the instance that gave it.

    app.py --name flask-1 --port 5001 --consul http://127.0.0.1:8500

With --consul it registers itself, again too when Consul has forgotten it, and on SIGTERM it leaves
in the order that loses no request: deregister first, go on serving until nobody asks any more,
then end.

ERROR_RATE, in percent, makes it fail: so many of its answers, and of those of /health, are 500.
"""

import argparse
import os
import random
import signal
import socket
import sys
import threading
import time

from flask import Flask, jsonify, request
from werkzeug.serving import WSGIRequestHandler, make_server

import register

QUIET_S = 0.5  # so long without a request, after deregistering, and nobody is sending any more
LEAVE_S = 10   # ... but no instance stays longer than this


class Activity:
    """WSGI middleware that knows how many requests are under way and when the last one was."""

    def __init__(self, app):
        self._app = app
        self._lock = threading.Lock()
        self._under_way = 0
        self._last = time.monotonic()

    def __call__(self, environ, start_response):
        self._count(+1)
        try:
            return self._app(environ, start_response)
        finally:
            self._count(-1)

    def _count(self, change):
        with self._lock:
            self._under_way += change
            self._last = time.monotonic()

    def is_quiet(self):
        with self._lock:
            return self._under_way == 0 and time.monotonic() - self._last >= QUIET_S


def create_app(name, error_percent=0):
    app = Flask("flask-service")

    @app.before_request
    def fail_sometimes():
        if random.uniform(0, 100) < error_percent:
            return jsonify(instance=name, error="as ERROR_RATE asks"), 500
        return None

    @app.get("/health")
    def health():
        if request.args.get("instance", name) != name:
            return jsonify(error="that instance was here before", instance=name), 404
        return jsonify(status="ok", instance=name)

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    @app.route("/<path:path>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def hello(path):
        return jsonify(instance=name, method=request.method, path=f"/{path}",
                       host=request.host, body_bytes=len(request.get_data()))

    return app


class QuietHandler(WSGIRequestHandler):
    def log_request(self, code="-", size="-"):
        pass  # the gateway's access log has it


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default=socket.gethostname(),
                        help="the instance's name, and its ID in Consul (default: this host's)")
    parser.add_argument("--service", default="flask-service", help="the service it belongs to")
    parser.add_argument("--address", default="127.0.0.1",
                        help="where it listens, and is reached by others; auto: all of this host's "
                             "addresses, and the one that its name has")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--consul", help="URL of the Consul agent to register with")
    options = parser.parse_args()
    address = options.address
    if address == "auto":
        address = socket.gethostbyname(socket.gethostname())
    error_percent = float(os.environ.get("ERROR_RATE") or 0)

    activity = Activity(create_app(options.name, error_percent))
    server = make_server("0.0.0.0" if options.address == "auto" else address, options.port, activity,
                         threaded=True, request_handler=QuietHandler)

    registration = None
    if options.consul:
        registration = register.Registration(options.consul, options.service, options.name, address,
                                             options.port)

    def deregister():
        try:
            registration.remove()
        except Exception as error:  # Consul is away: its check will find out by itself
            print(f"{options.name}: could not deregister: {error}", file=sys.stderr)

    def leave():
        if registration:
            remover = threading.Thread(target=deregister, daemon=True)
            remover.start()
            remover.join(LEAVE_S)  # a Consul that hangs must not keep us
            give_up = time.monotonic() + LEAVE_S
            while not activity.is_quiet() and time.monotonic() < give_up:
                time.sleep(0.05)
        os._exit(0)

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=leave).start())
    if registration:
        registration.keep()  # the socket already listens: a check that comes at once is answered
    server.serve_forever()


if __name__ == "__main__":
    main()
