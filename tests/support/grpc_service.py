"""A gRPC service of the four shapes, by grpcio, and channels to call it. Messages are bytes."""

import threading
from concurrent import futures

import grpc

from .ports import free_port

ANY_SIZE = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class GrpcService:
    """`/test.Service/`: Unary, Collect (client streaming), Repeat (server streaming), Echo (both).
    A request "fail N text" ends with that status; "wait" waits until the call is over, as it is
    when its client has gone, or until stop(). `calls` are what came, `over` the names of those that
    have ended."""

    def __init__(self, certificate=None, port=None, options=(), workers=64):
        self.port = port or free_port()
        self.certificate = certificate
        self.options = options
        self.workers = workers
        self.calls = []
        self.peers = []
        self.over = []
        self.release = threading.Event()
        self._server = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{'grpcs' if self.certificate else 'grpc'}://{self.address}"

    def start(self):
        self._server = grpc.server(futures.ThreadPoolExecutor(self.workers),
                                   options=ANY_SIZE + [("grpc.so_reuseport", 0), *self.options])
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
            "test.Service", {
                "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
                "Collect": grpc.stream_unary_rpc_method_handler(self._collect),
                "Repeat": grpc.unary_stream_rpc_method_handler(self._repeat),
                "Echo": grpc.stream_stream_rpc_method_handler(self._echo)}),))
        if self.certificate:
            credentials = grpc.ssl_server_credentials(
                [(self.certificate.key_pem.encode(), self.certificate.pem.encode())])
            assert self._server.add_secure_port(self.address, credentials) == self.port
        else:
            assert self._server.add_insecure_port(self.address) == self.port
        self._server.start()

    def stop(self, grace=None):
        self.release.set()
        return self._server.stop(grace)

    def _begin(self, name, context):
        self.calls.append((name, dict(context.invocation_metadata()), context.time_remaining()))
        self.peers.append(context.peer())
        if not context.add_callback(lambda: self.over.append(name)):
            self.over.append(name)
        context.send_initial_metadata((("x-initial", name),))
        context.set_trailing_metadata((("x-trailing", name), ("x-binary-bin", b"\0\xff")))

    def _wait(self, context):
        over = threading.Event()
        if not context.add_callback(over.set):
            over.set()  # it is over already
        while not over.wait(0.02) and not self.release.is_set():
            pass

    def _take(self, message, context):
        if message.startswith(b"fail "):
            _, status, text = message.split(b" ", 2)
            code = next(code for code in grpc.StatusCode if code.value[0] == int(status))
            context.abort(code, text.decode())
        if message == b"wait":
            self._wait(context)
        return message

    def _unary(self, message, context):
        self._begin("Unary", context)
        return self._take(message, context)

    def _collect(self, messages, context):
        self._begin("Collect", context)
        return b"".join(self._take(message, context) for message in messages)

    def _repeat(self, message, context):
        self._begin("Repeat", context)
        count, size = (int(word) for word in message.split()[:2])
        for number in range(count):
            yield b"%d:" % number + b"x" * size
        if message.endswith(b"wait"):
            self._wait(context)

    def _echo(self, messages, context):
        self._begin("Echo", context)
        for message in messages:
            yield self._take(message, context)


class GrpcClient:
    """A channel to a node, with a method for each of the service's."""

    def __init__(self, port, credentials=None, name="localhost"):
        options = ANY_SIZE + [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
                              ("grpc.enable_http_proxy", 0),
                              ("grpc.ssl_target_name_override", name)]
        address = f"127.0.0.1:{port}"
        self.channel = (grpc.secure_channel(address, credentials, options) if credentials
                        else grpc.insecure_channel(address, options[:-1]))
        prefix = "/test.Service/"
        self.unary = self.channel.unary_unary(prefix + "Unary")
        self.collect = self.channel.stream_unary(prefix + "Collect")
        self.repeat = self.channel.unary_stream(prefix + "Repeat")
        self.echo = self.channel.stream_stream(prefix + "Echo")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.channel.close()


def status_of(call):
    """What a call that is to fail ended with: its name, and what it said."""
    try:
        result = call()
        if hasattr(result, "code"):
            list(result)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError("the call did not fail")
