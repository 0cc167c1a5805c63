"""gRPC through the gateway as people try it out: by grpcurl, which is of another implementation."""

import json
import subprocess
from concurrent import futures

import grpc
import pytest

from support import REPOSITORY
from support.ports import free_port

PROTO = """
syntax = "proto3";
package tools;
message Text { string text = 1; }
service Echo {
  rpc Unary (Text) returns (Text);
  rpc Collect (stream Text) returns (Text);
  rpc Repeat (Text) returns (stream Text);
  rpc Both (stream Text) returns (stream Text);
}
"""


def encode(text):
    """A Text of PROTO; short, so that its length is one byte."""
    data = text.encode()
    assert len(data) < 128
    return b"\x0a" + bytes([len(data)]) + data


def decode(message):
    return message[2:].decode()


class Echo(grpc.GenericRpcHandler):
    """The service of PROTO. "fail" ends a call of any shape with a status."""

    def service(self, details):
        name = details.method.removeprefix("/tools.Echo/")
        make = {"Unary": grpc.unary_unary_rpc_method_handler,
                "Collect": grpc.stream_unary_rpc_method_handler,
                "Repeat": grpc.unary_stream_rpc_method_handler,
                "Both": grpc.stream_stream_rpc_method_handler}[name]
        return make(getattr(self, name.lower()), request_deserializer=decode,
                    response_serializer=encode)

    @staticmethod
    def take(text, context):
        if text == "fail":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more, thanks")
        return text

    def unary(self, text, context):
        return self.take(text, context)

    def collect(self, texts, context):
        return " ".join(self.take(text, context) for text in texts)

    def repeat(self, text, context):
        for number in range(3):
            yield f"{text} {number}"
        self.take(text, context)

    def both(self, texts, context):
        for text in texts:
            yield self.take(text, context)


@pytest.fixture(scope="module")
def echo_port():
    server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Echo(),))
    port = free_port()
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    yield port
    server.stop(None)


@pytest.fixture(scope="module")
def grpcurl(tmp_path_factory):
    """Calls a method with JSON messages: (the messages of the answer, what went wrong)."""
    binary = subprocess.run([REPOSITORY / "scripts/grpcurl"], check=True, stdout=subprocess.PIPE,
                            text=True).stdout.strip()
    folder = tmp_path_factory.mktemp("proto")
    (folder / "echo.proto").write_text(PROTO, encoding="utf-8")

    def call(option, port, method, *texts):
        result = subprocess.run(
            [binary, option, "-import-path", folder, "-proto", "echo.proto", "-max-time", "60",
             "-d", "@", f"127.0.0.1:{port}", f"tools.Echo/{method}"],
            input="".join(json.dumps({"text": text}) for text in texts), capture_output=True,
            text=True, check=False, timeout=120)
        decoder, answers, rest = json.JSONDecoder(), [], result.stdout.strip()
        while rest:
            answer, end = decoder.raw_decode(rest)
            answers.append(answer["text"])
            rest = rest[end:].strip()
        assert (result.returncode == 0) == (not result.stderr), result
        return answers, result.stderr
    return call


@pytest.fixture(params=["plaintext", "tls"])
def call(request, new_weir, echo_port, grpcurl):
    port, tls_port = free_port(), free_port()
    node = new_weir(start=False, PROXY_LISTEN=f"127.0.0.1:{port} http2, 127.0.0.1:{tls_port} http2 ssl")
    node.proxy_port = port
    node.start()
    node.serve("echo", f"grpc://127.0.0.1:{echo_port}", paths=["/tools.Echo"],
               route={"protocols": ["grpc", "grpcs"], "strip_path": False})
    way = ("-plaintext", port) if request.param == "plaintext" else ("-insecure", tls_port)
    return lambda method, *texts: grpcurl(*way, method, *texts)


def test_a_unary_call_is_answered(call):
    assert call("Unary", "hello") == (["hello"], "")


def test_a_client_streams(call):
    assert call("Collect", "a", "b", "c") == (["a b c"], "")


def test_a_server_streams(call):
    assert call("Repeat", "n") == (["n 0", "n 1", "n 2"], "")


def test_both_stream(call):
    assert call("Both", "a", "b", "c") == (["a", "b", "c"], "")


@pytest.mark.parametrize("method, before", [
    ("Unary", []), ("Collect", []), ("Repeat", ["fail 0", "fail 1", "fail 2"]), ("Both", [])])
def test_a_status_and_its_message_arrive(call, method, before):
    answers, error = call(method, "fail")
    assert answers == before
    assert "Code: ResourceExhausted" in error and "Message: no more, thanks" in error
