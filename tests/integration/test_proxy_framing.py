"""HTTP/1.1 on both sides: connections, message framing, and what is refused for being ambiguous."""

import pytest

from support import wire
from support.backends import chunked, response
from support.waiting import eventually


@pytest.fixture
def weir(weir, backend):
    """A node with one service, at every path, unchanged."""
    weir.serve("all", backend.url, paths=["/"], route={"strip_path": False})
    return weir


class TestConnections:
    def test_a_clients_connection_is_kept(self, weir):
        with weir.client() as client:
            for number in range(20):
                assert client.get(f"/{number}").status == 200

    def test_connections_to_a_target_are_pooled(self, weir, backend):
        with weir.client() as client:
            for number in range(20):
                assert client.get(f"/{number}").status == 200
        assert backend.connections == 1

    def test_pipelined_requests_are_answered_in_order(self, weir):
        with weir.client() as client:
            client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(20)))
            assert [client.read().json()["target"] for _ in range(20)] == [
                f"/{n}" for n in range(20)]

    def test_a_pipelined_request_behind_a_body_is_not_taken_for_it(self, weir):
        with weir.client() as client:
            client.send(b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
                        b"POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                        b"3\r\nabc\r\n0\r\n\r\n"
                        b"GET /3 HTTP/1.1\r\nHost: h\r\n\r\n")
            answers = [client.read().json() for _ in range(3)]
        assert [(a["target"], a["body_bytes"]) for a in answers] == [("/1", 5), ("/2", 3),
                                                                     ("/3", 0)]

    def test_a_request_that_comes_byte_by_byte_is_served(self, weir):
        with weir.client() as client:
            for byte in b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc":
                client.send(bytes([byte]))
            assert client.read().json()["body_bytes"] == 3

    def test_empty_lines_before_a_request_are_skipped(self, weir):
        with weir.client() as client:
            client.send(b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.read().status == 200

    def test_connection_close_is_honoured(self, weir):
        with weir.client() as client:
            answer = client.get("/", {"Connection": "close"})
            assert answer.headers.get("Connection") == "close"
            assert client.is_closed_by_peer()

    def test_http_1_0_is_answered_and_closed(self, weir):
        with weir.client() as client:
            client.send(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
            assert client.read().status == 200
            assert client.is_closed_by_peer()

    def test_http_1_0_gets_no_chunks(self, weir, backend):
        backend.answer = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          + chunked(b"hello ", b"world"))
        with weir.client() as client:
            client.send(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
            answer = client.read()
        assert "Transfer-Encoding" not in answer.headers
        assert answer.body == b"hello world"

    def test_a_client_that_only_closes_its_writing_side_gets_its_answer(self, weir):
        with weir.client() as client:
            client.send_request("GET", "/")
            client.half_close()
            assert client.read().status == 200

    @pytest.mark.threads
    def test_a_thousand_clients_are_served(self, weir):
        clients = [weir.client() for _ in range(1000)]
        for round in range(2):
            for client in clients:
                client.send_request("GET", f"/{round}")
            for client in clients:
                assert client.read().status == 200
        for client in clients:
            client.close()

    def test_a_client_that_leaves_early_harms_nobody(self, weir, backend):
        for number in range(20):
            client = weir.client()
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\npart")
            (client.reset if number % 2 else client.close)()
        assert weir.get("/").status == 200
        eventually(lambda: backend.open_connections <= 2)

    def test_a_kept_connection_that_the_target_closed_is_not_used_again(self, weir, backend):
        with weir.client() as client:
            for _ in range(10):
                assert client.get("/").status == 200
                backend.drop_connections()

    def test_a_target_that_says_close_is_not_asked_twice_on_one_connection(self, weir, backend):
        backend.answer = response(200, {"Connection": "close"}, b"bye")
        with weir.client() as client:
            for _ in range(3):
                answer = client.get("/")
                assert answer.body == b"bye"
                assert answer.headers.get("Connection") != "close"
        assert backend.connections == 3


class TestRequestBodies:
    def test_a_body_with_a_length_arrives_whole(self, weir, backend):
        body = bytes(range(256)) * 1000
        assert weir.request("POST", "/", body=body).json()["body_bytes"] == len(body)
        assert backend.last.body == body

    def test_a_chunked_body_arrives_whole(self, weir, backend):
        data = chunked(b"one", b"two" * 5000, b"!")
        with weir.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
            assert client.read().status == 200
        assert backend.last.body == b"one" + b"two" * 5000 + b"!"

    def test_chunk_extensions_are_dropped(self, weir, backend):
        with weir.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                        b"3;a=b\r\nabc\r\n0\r\n\r\n")
            assert client.read().status == 200
        assert backend.last.body == b"abc"

    def test_an_empty_body_is_kept_apart_from_none(self, weir, backend):
        weir.request("POST", "/", body=b"")
        assert backend.last.headers.get("Content-Length") == "0"
        weir.get("/")
        assert "Content-Length" not in backend.last.headers
        assert "Transfer-Encoding" not in backend.last.headers

    def test_a_get_may_have_a_body(self, weir, backend):
        weir.request("GET", "/", {"Content-Length": "3"}, b"abc")
        assert backend.last.body == b"abc"

    EXPECTING = (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
                 b"Expect: 100-continue\r\n\r\n")

    def test_who_expects_100_continue_gets_it_before_the_body(self, weir, backend):
        def go_on(head, connection):
            if head.headers.get("Expect"):
                connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        backend.before_body = go_on
        with weir.client() as client:
            for _ in range(3):
                client.send(self.EXPECTING)
                assert client.reader.head().status == 100
                client.send(b"hello")
                assert client.read().json()["body_bytes"] == 5
        assert backend.last.body == b"hello"

    def test_who_expects_100_continue_and_does_not_wait_is_served(self, weir, backend):
        with weir.client() as client:
            for _ in range(3):
                client.send(self.EXPECTING + b"hello")
                assert client.read().json()["body_bytes"] == 5

    def test_who_expects_100_continue_may_be_refused_without_sending_the_body(self, weir,
                                                                              new_backend):
        picky = new_backend("picky", response(413, {"Connection": "close"}, b"too much"),
                            reads_body=False)
        weir.serve("picky", picky.url)
        with weir.client() as client:
            client.send(self.EXPECTING.replace(b"POST / ", b"POST /picky "))
            assert client.read().status == 413

    def test_a_target_that_answers_before_the_body_ends_is_heard(self, weir, new_backend):
        early = new_backend("early", reads_body=False)

        def refuse(_request, connection):
            connection.send(response(403, {"Connection": "close"}, b"no"))
            connection.close()
        early.answer = refuse
        weir.serve("early", early.url)
        with weir.client() as client:
            client.send(b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
            client.send(b"x" * 1000)
            assert client.read().status == 403


class TestResponseBodies:
    def test_a_chunked_body_arrives_whole(self, weir, backend):
        backend.answer = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          + chunked(b"hello ", b"w" * 40000, b"!"))
        with weir.client() as client:
            for _ in range(3):
                assert client.get("/").body == b"hello " + b"w" * 40000 + b"!"

    def test_a_body_that_ends_with_the_connection_arrives_whole(self, weir, backend):
        def until_close(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 50000)
            connection.close()
        backend.answer = until_close
        with weir.client() as client:
            answer = client.get("/")
            assert answer.body == b"z" * 50000
            # weir knows no length either: it sends chunks, and keeps the connection.
            assert answer.headers.get("Transfer-Encoding") == "chunked"
            assert client.get("/").status == 200

    def test_parts_are_passed_on_as_they_come(self, weir, backend):
        """A client that sees the first event lets the target send the second: no buffering."""
        import threading
        goes_on = threading.Event()

        def events(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            assert goes_on.wait(30)
            connection.send(b"6\r\nsecond\r\n0\r\n\r\n")
        backend.answer = events
        with weir.client() as client:
            client.send_request("GET", "/")
            client.reader.response_head()
            assert client.reader.chunk() == b"first"
            goes_on.set()
            assert client.reader.chunk() == b"second"
            assert client.reader.chunk() == b""

    def test_trailers_are_passed_on(self, weir, backend):
        backend.answer = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                          b"Trailer: X-Digest\r\n\r\n"
                          + chunked(b"data", trailers=[("X-Digest", "abc")]))
        with weir.client() as client:
            answer = client.get("/", {"TE": "trailers"})
            assert answer.body == b"data"
            assert answer.trailers.get("X-Digest") == "abc"
            assert client.get("/").status == 200

    def test_head_has_the_headers_and_no_body(self, weir, backend):
        backend.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"
        with weir.client() as client:
            for _ in range(3):
                answer = client.request("HEAD", "/")
                assert (answer.headers.get("Content-Length"), answer.body) == ("12345", b"")

    @pytest.mark.parametrize("fault", [
        b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Bad Name: 1\r\n",
        b"X: " + b"x" * 100_000 + b"\r\n"], ids=["two-lengths", "a-bad-name", "too-long"])
    def test_head_that_is_refused_has_no_body_either(self, weir, fault):
        with weir.client() as client:
            client.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n" + fault + b"\r\n")
            answer = b""
            while part := client.sock.recv(65536):
                answer += part
            assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431")
            assert b"\r\nContent-Length: " in answer
            assert answer.endswith(b"\r\n\r\n")

    def test_head_may_announce_chunks(self, weir, backend):
        backend.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        with weir.client() as client:
            for _ in range(3):
                assert client.request("HEAD", "/").status == 200

    @pytest.mark.parametrize("status", [204, 304])
    def test_answers_without_a_body_by_definition(self, weir, backend, status):
        backend.answer = response(status, {"ETag": '"x"'})
        with weir.client() as client:
            for _ in range(3):
                answer = client.get("/")
                assert (answer.status, answer.body) == (status, b"")
                assert answer.headers.get("ETag") == '"x"'
        assert backend.connections == 1

    def test_304_may_carry_the_length_that_200_would_have(self, weir, backend):
        backend.answer = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"
        with weir.client() as client:
            for _ in range(3):
                assert client.get("/").status == 304

    def test_interim_responses_are_passed_on(self, weir, backend):
        backend.answer = (b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
                          + response(200, body=b"done"))
        with weir.client() as client:
            for _ in range(2):
                answer = client.get("/")
                assert (answer.status, answer.body) == (200, b"done")
                assert [i.status for i in answer.interim] == [103]

    def test_http_1_0_clients_get_no_interim_responses(self, weir, backend):
        backend.answer = b"HTTP/1.1 103 Early Hints\r\n\r\n" + response(200, body=b"done")
        with weir.client() as client:
            client.send(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
            answer = client.read()
            assert (answer.status, answer.interim) == (200, [])

    def test_an_http_1_0_target_is_understood(self, weir, backend):
        def old(_request, connection):
            connection.send(b"HTTP/1.0 200 OK\r\n\r\nold but gold")
            connection.close()
        backend.answer = old
        with weir.client() as client:
            assert client.get("/").body == b"old but gold"
            assert client.get("/").status == 200

    def test_a_body_cut_short_is_not_passed_off_as_whole(self, weir, backend):
        def cut(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\npart")
            connection.close()
        backend.answer = cut
        with weir.client() as client, pytest.raises(wire.Closed):
            client.get("/")

    def test_a_short_body_cut_short_is_502(self, weir, backend):
        """It is held until it is whole, so there is still time to say what happened."""
        def cut(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
            connection.close()
        backend.answer = cut
        with weir.client() as client:
            assert client.request("POST", "/").status == 502

    def test_chunks_cut_short_are_not_passed_off_as_whole(self, weir, backend):
        def cut(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
            connection.close()
        backend.answer = cut
        with weir.client() as client, pytest.raises(wire.Closed):
            client.get("/")


class TestRefusedRequests:
    """Whoever reads these differently from weir would see other requests than weir routed."""

    HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"

    @pytest.mark.parametrize("name, data", [
        ("length-and-chunked", HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                                      b"0\r\n\r\n"),
        ("two-lengths", HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        ("a-list-of-lengths", HEAD + b"Content-Length: 5, 6\r\n\r\nhello!"),
        ("a-negative-length", HEAD + b"Content-Length: -5\r\n\r\n"),
        ("a-signed-length", HEAD + b"Content-Length: +5\r\n\r\nhello"),
        ("a-hex-length", HEAD + b"Content-Length: 0x5\r\n\r\nhello"),
        ("an-overlong-length", HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n"),
        ("an-empty-length", HEAD + b"Content-Length: \r\n\r\n"),
        ("an-unknown-coding", HEAD + b"Transfer-Encoding: gzip\r\n\r\n"),
        ("chunked-not-last", HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        ("chunked-twice", HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ("almost-chunked", HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("chunked-in-1.0", b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"0\r\n\r\n"),
        ("a-space-before-the-colon", HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        ("a-folded-line", HEAD + b"X-Folded: a\r\n b\r\n\r\n"),
        ("a-folded-coding", HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
        ("a-space-before-the-first-header", b"GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
        ("bare-lf-in-the-head", b"GET / HTTP/1.1\nHost: h\n\n"),
        ("bare-lf-after-a-header", b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"),
        ("bare-cr-in-a-value", HEAD + b"X: a\rb\r\nContent-Length: 0\r\n\r\n"),
        ("a-nul-in-a-value", HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n"),
        ("a-nul-in-a-name", HEAD + b"X\0: b\r\nContent-Length: 0\r\n\r\n"),
        ("an-empty-name", HEAD + b": b\r\nContent-Length: 0\r\n\r\n"),
        ("no-colon", HEAD + b"nonsense\r\nContent-Length: 0\r\n\r\n"),
        ("two-hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("no-host", b"GET / HTTP/1.1\r\n\r\n"),
        ("a-space-in-the-target", b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("a-control-character-in-the-target", b"GET /a\x01b HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("a-method-in-small-letters-with-brackets", b"get(x) / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("no-version", b"GET /\r\nHost: h\r\n\r\n"),
        ("a-bad-version", b"GET / HTTP/1.x\r\nHost: h\r\n\r\n"),
        ("another-protocol", b"GET / RTSP/1.0\r\nHost: h\r\n\r\n"),
        ("a-tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64
         + b"\r\n\r\n"),
    ], ids=lambda value: value if isinstance(value, str) else "")
    def test_an_ambiguous_or_broken_head_is_refused_and_closed(self, weir, backend, name, data):
        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
        with weir.client() as client:
            client.send(data + smuggled)
            answer = client.read()
            assert answer.status in (400, 501, 505), answer
            assert answer.headers.get("Connection") == "close"
            assert client.is_closed_by_peer()
        assert backend.requests == []

    @pytest.mark.parametrize("name, body", [
        ("no-number", b"x\r\nabc\r\n0\r\n\r\n"),
        ("too-long-a-number", b"fffffffffffffffff\r\n"),
        ("a-signed-number", b"-3\r\nabc\r\n0\r\n\r\n"),
        ("a-hex-prefix", b"0x3\r\nabc\r\n0\r\n\r\n"),
        ("bare-lf-after-the-size", b"3\nabc\r\n0\r\n\r\n"),
        ("bare-lf-after-the-data", b"3\r\nabc\n0\r\n\r\n"),
        ("more-data-than-announced", b"3\r\nabcd\r\n0\r\n\r\n"),
        ("no-end-after-the-data", b"3\r\nabc0\r\n\r\n"),
    ], ids=lambda value: value if isinstance(value, str) else "")
    def test_a_broken_chunked_body_is_refused_and_closed(self, weir, backend, name, body):
        """The head may be on its way to the target by then, the smuggled request never."""
        with weir.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body
                        + b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
            received = client.reader.rest()  # ends: the connection is closed
        assert received == b"" or received.startswith(b"HTTP/1.1 400 ")
        assert received.count(b"HTTP/1.1 ") <= 1
        assert weir.get("/after").status == 200
        assert "/smuggled" not in [request.target for request in backend.requests]

    def test_a_head_over_the_limit_is_431(self, new_weir, backend):
        weir = new_weir(MAX_HEAD=4096)
        weir.serve("all", backend.url, paths=["/"])
        assert weir.get("/", {"X-Fine": "x" * 3000}).status == 200
        with weir.client() as client:
            answer = client.get("/", {"X-Long": "x" * 5000})
            assert answer.status == 431
            assert client.is_closed_by_peer()
        assert len(backend.requests) == 1

    def test_a_head_that_never_ends_is_cut_off(self, weir):
        with weir.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n")
            try:
                for _ in range(100000):
                    client.send(b"X-More: and more\r\n" * 10)
            except ConnectionError:
                return
        pytest.fail("18 MB of head were taken")

    @pytest.mark.parametrize("headers, body", [
        (b"Content-Length: 101\r\n", b"x" * 101),
        (b"Transfer-Encoding: chunked\r\n", chunked(b"x" * 60, b"x" * 60)),
    ], ids=["length", "chunked"])
    def test_a_body_over_the_limit_is_413(self, new_weir, backend, headers, body):
        weir = new_weir(MAX_BODY=100)
        weir.serve("all", backend.url, paths=["/"])
        assert weir.request("POST", "/", body=b"x" * 100).status == 200
        with weir.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\n" + headers + b"\r\n" + body)
            assert client.read().status == 413
        assert [len(r.body) for r in backend.requests] == [100]

    def test_the_error_says_what_is_wrong_in_the_usual_form(self, weir):
        with weir.client() as client:
            client.send(b"nonsense\r\n\r\n")
            answer = client.read()
        assert answer.status == 400
        assert "Bad request" in answer.text
        assert "request_id" in answer.text


class TestRefusedResponses:
    """A target that can't be understood makes a 502, and nothing of it reaches the client."""

    @pytest.mark.parametrize("name, data", [
        ("no-http", b"nonsense\r\n\r\n"),
        ("length-and-chunked", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                               b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("two-lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        ("a-bad-length", b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"),
        ("an-unknown-coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxxxx"),
        ("a-bare-cr-in-a-value", b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\n"
                                 b"Content-Length: 0\r\n\r\n"),
        ("a-bare-lf-in-a-value", b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: evil=1\r\n"
                                 b"Content-Length: 0\r\n\r\n"),
        ("a-folded-line", b"HTTP/1.1 200 OK\r\nX: a\r\n Set-Cookie: evil=1\r\n"
                          b"Content-Length: 0\r\n\r\n"),
        ("a-nul", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
        ("a-space-before-the-colon", b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"),
        ("a-bad-status", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
        ("a-switch-nobody-asked-for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
                                      b"Connection: Upgrade\r\n\r\n"),
        ("nothing", b""),
        ("half-a-head", b"HTTP/1.1 200 OK\r\nX: "),
        ("an-endless-head", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200000),
    ], ids=lambda value: value if isinstance(value, str) else "")
    def test_a_response_that_makes_no_sense_is_502(self, weir, backend, name, data):
        def bad(_request, connection):
            connection.send(data)
            connection.close()
        backend.answer = bad
        with weir.client() as client:
            # A GET might rightly be tried again; what counts is what comes back.
            client.send_request("POST", "/", body=b"x")
            answer = client.read()
            assert answer.status == 502, answer
            assert "Set-Cookie" not in answer.headers
            assert "An invalid response was received from the upstream server" in answer.text

            backend.answer = response(200, body=b"fine")
            assert weir.get("/").body == b"fine"

    def test_bytes_after_a_response_do_not_answer_the_next_request(self, weir, backend):
        backend.answer = response(200, body=b"one") + response(200, body=b"evil")
        with weir.client() as client:
            for _ in range(5):
                assert client.get("/").body == b"one"
        assert backend.connections == 5

    def test_an_answer_nobody_asked_for_does_not_answer_the_next_request(self, weir, backend):
        """It comes while the connection waits in the pool."""
        connections = []

        def remember(_request, connection):
            connections.append(connection)
            return response(200, body=b"asked")
        backend.answer = remember
        with weir.client() as client:
            assert client.get("/").body == b"asked"
            connections[0].send(response(200, body=b"not asked"))
            eventually(lambda: backend.open_connections == 0)
            assert client.get("/").body == b"asked"
