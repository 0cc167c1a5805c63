"""Uploads that break off: the target must never take a part of a body for the whole of it."""

import pytest

from support.backends import response
from support.waiting import eventually

LENGTH = b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc"
CHUNKED = b"POST /s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


@pytest.fixture
def target(weir, new_backend):
    """What came of each request's body up to the end of the connection."""
    class Target:
        began, bodies = 0, []

    def read_on(_request, connection):
        part = b""
        while b"abc" not in part:
            part += connection.reader.some()
        Target.began += 1
        Target.bodies.append(part + connection.reader.rest())
        return response(200)

    weir.serve("s", new_backend(reads_body=False, answer=read_on).url, retries=5)
    Target.began, Target.bodies = 0, []
    return Target


class TestUploads:
    @pytest.mark.parametrize("upload", [LENGTH, CHUNKED], ids=["length", "chunked"])
    @pytest.mark.parametrize("leave", ["close", "half_close", "reset"])
    def test_a_part_is_not_passed_off_as_the_whole(self, weir, target, upload, leave):
        client = weir.client()
        client.send(upload)
        eventually(lambda: target.began == 1)
        getattr(client, leave)()
        eventually(lambda: target.bodies)
        assert b"0\r\n" not in target.bodies[0] and len(target.bodies[0]) < 100
        assert eventually(lambda: weir.access_log())[-1].split('" ')[1].startswith("499 ")
        client.close()
        assert target.began == 1  # nor is it sent again

    def test_a_bad_chunk_in_the_middle_is_refused_and_told(self, weir, target):
        with weir.client() as client:
            client.send(CHUNKED)
            eventually(lambda: target.began == 1)
            client.send(b"zz\r\n")
            assert client.read().status == 400
            assert client.is_closed_by_peer()
        assert eventually(lambda: target.bodies)[0].endswith(b"abc\r\n")
        line = eventually(lambda: weir.log("bad request"))[0]
        assert (line["reason"], line["client"], line["route"]) == ("bad chunk", "127.0.0.1", "s")
        assert 'weir_requests_refused_total{code="400",reason="bad chunk"} 1' in \
            weir.admin.get("/metrics").text


class TestDownloads:
    def test_a_reset_right_behind_a_part_is_not_passed_off_as_the_end(self, weir, new_backend):
        def answer(_request, connection):
            connection.send(b"HTTP/1.0 200 OK\r\n\r\na part")
            connection.reset()
        weir.serve("s", new_backend(answer=answer).url, retries=0)
        for _ in range(10):
            with weir.client() as client:
                client.send(b"GET /s HTTP/1.0\r\nHost: a\r\n\r\n")
                with pytest.raises(ConnectionError):
                    received = b""
                    while part := client.sock.recv(65536):
                        received += part
                    assert b"a part" not in received, "as if it were all"
                    raise ConnectionResetError  # an error's own response will do as well
