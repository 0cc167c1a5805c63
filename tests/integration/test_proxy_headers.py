"""What the target is told about a request, and the client about a response."""

import re

import pytest

from support.backends import response


@pytest.fixture
def weir(weir, backend):
    weir.serve("web", backend.url)
    return weir


class TestToTheTarget:
    def test_the_target_learns_who_asked_for_what(self, weir, backend):
        weir.get("/web/some/path?x=1", host="shop.example:8443")
        seen = backend.last.headers
        assert seen.get("X-Real-IP") == "127.0.0.1"
        assert seen.get("X-Forwarded-For") == "127.0.0.1"
        assert seen.get("X-Forwarded-Proto") == "http"
        assert seen.get("X-Forwarded-Host") == "shop.example"
        assert seen.get("X-Forwarded-Port") == str(weir.proxy_port)
        assert seen.get("X-Forwarded-Path") == "/web/some/path"
        assert seen.get("X-Forwarded-Prefix") == "/web"
        assert seen.get("Via") == "1.1 weir"
        assert re.fullmatch("[0-9a-f]{32}", seen.get("X-Kong-Request-Id"))
        assert backend.last.target == "/some/path?x=1"

    def test_forwarded_for_grows_by_the_peer(self, weir, backend):
        weir.get("/web", {"X-Forwarded-For": "10.9.8.7"})
        assert backend.last.headers.get("X-Forwarded-For") == "10.9.8.7, 127.0.0.1"

    def test_an_untrusted_clients_claims_are_replaced(self, weir, backend):
        weir.get("/web", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil",
                          "X-Forwarded-Port": "1", "X-Forwarded-Path": "/evil",
                          "X-Forwarded-Prefix": "/evil", "X-Real-IP": "6.6.6.6"})
        seen = backend.last.headers
        assert seen.get("X-Forwarded-Proto") == "http"
        assert seen.get("X-Forwarded-Host") == "localhost"
        assert seen.get("X-Forwarded-Port") == str(weir.proxy_port)
        assert seen.get("X-Forwarded-Path") == "/web"
        assert seen.get("X-Forwarded-Prefix") == "/web"
        assert seen.get("X-Real-IP") == "127.0.0.1"

    def test_the_via_of_an_earlier_proxy_is_kept(self, weir, backend):
        weir.get("/web", {"Via": "1.0 other"})
        assert ", ".join(backend.last.headers.all("Via")) == "1.0 other, 1.1 weir"

    def test_host_is_the_targets_unless_preserved(self, weir, backend):
        weir.get("/web", host="shop.example")
        assert backend.last.headers.get("Host") == backend.address
        weir.admin.patch("/routes/web", {"preserve_host": True})
        weir.get("/web", host="shop.example")
        assert backend.last.headers.get("Host") == "shop.example"

    def test_an_upstream_may_set_the_host(self, weir, backend):
        weir.pool("pool", [backend], host_header="inner.example")
        weir.get("/pool")
        assert backend.last.headers.get("Host") == "inner.example"

    def test_hop_by_hop_headers_stay_on_their_hop(self, weir, backend):
        weir.get("/web", {"Connection": "keep-alive, X-Mine", "X-Mine": "1", "Keep-Alive": "5",
                          "Proxy-Connection": "keep-alive", "Proxy-Authorization": "Basic x",
                          "Proxy": "evil", "TE": "trailers, deflate", "Upgrade": "h2c",
                          "X-Other": "2"})
        seen = backend.last.headers
        for name in ("X-Mine", "Keep-Alive", "Proxy-Connection", "Proxy", "Upgrade"):
            assert name not in seen, name
        assert seen.get("TE") in (None, "trailers")
        assert seen.get("X-Other") == "2"
        # TE is of this hop, so weir's own Connection has to name it.
        assert seen.get("Connection").lower() in ("keep-alive", "keep-alive, te")

    def test_all_others_pass_in_order_and_spelling(self, weir, backend):
        sent = [("Cookie", "a=1"), ("x-lower", "1"), ("X-Twice", "1"), ("X-Twice", "2"),
                ("Accept", "*/*"), ("X-Empty", ""), ("X-Bytes", "caf\xe9"),
                ("Authorization", "Bearer x"), ("X_Under", "score")]
        weir.get("/web", sent)
        seen = [pair for pair in backend.last.headers if pair[0] in dict(sent)]
        assert seen == sent

    def test_request_ids_differ(self, weir, backend):
        for _ in range(5):
            weir.get("/web")
        ids = [request.headers.get("X-Kong-Request-Id") for request in backend.requests]
        assert len(set(ids)) == 5

    def test_a_connection_header_cannot_strip_what_the_target_relies_on(self, weir, backend):
        weir.get("/web", {"Connection": "close, X-Forwarded-For, X-Real-IP, Host"})
        assert backend.last.headers.get("X-Forwarded-For") == "127.0.0.1"
        assert backend.last.headers.get("X-Real-IP") == "127.0.0.1"
        assert backend.last.headers.get("Host") == backend.address


class TestToTheClient:
    def test_the_client_sees_where_the_time_went(self, weir, backend):
        answer = weir.get("/web")
        assert int(answer.headers.get("X-Kong-Upstream-Latency")) >= 0
        assert int(answer.headers.get("X-Kong-Proxy-Latency")) >= 0
        assert answer.headers.get("Via") == "1.1 weir"
        assert answer.headers.get("X-Kong-Request-Id") == backend.last.headers.get(
            "X-Kong-Request-Id")

    def test_hop_by_hop_headers_stay_on_their_hop(self, weir, backend):
        backend.answer = response(200, [("Connection", "X-Mine"), ("X-Mine", "1"),
                                        ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "x"),
                                        ("X-Other", "2")], b"x")
        seen = weir.get("/web").headers
        for name in ("X-Mine", "Keep-Alive", "Proxy-Connection"):
            assert name not in seen, name
        assert seen.get("X-Other") == "2"

    def test_all_others_pass(self, weir, backend):
        sent = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Server", "theirs/1"),
                ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("X-Bytes", "caf\xe9"),
                ("Location", "/elsewhere")]
        backend.answer = response(302, sent, b"")
        answer = weir.get("/web")
        assert answer.status == 302
        for name, _ in sent:
            assert answer.headers.all(name) == [v for n, v in sent if n == name]

    def test_the_reason_phrase_passes(self, weir, backend):
        backend.answer = response(418, reason="I'm a teapot")
        assert weir.get("/web").start_line == "HTTP/1.1 418 I'm a teapot"

    def test_an_answer_of_weirs_own_says_so(self, weir):
        answer = weir.get("/none")
        assert answer.headers.get("Server") == "weir"
        assert int(answer.headers.get("X-Kong-Response-Latency")) >= 0
        assert re.fullmatch("[0-9a-f]{32}", answer.headers.get("X-Kong-Request-Id"))
        assert "Via" not in answer.headers

    @pytest.mark.parametrize("accept, content_type, text", [
        (None, "application/json; charset=utf-8",
         '{\n  "message":"no Route matched with those values",\n  "request_id":"%s"\n}'),
        ("application/json", "application/json; charset=utf-8", '{\n  "message":"no Route'),
        ("text/plain", "text/plain; charset=utf-8",
         "no Route matched with those values\nrequest_id: %s\n"),
        ("text/html", "text/html; charset=utf-8", "<p>no Route matched with those values.</p>"),
        ("application/xml", "application/xml; charset=utf-8",
         '<?xml version="1.0" encoding="UTF-8"?>\n<error>\n'
         "  <message>no Route matched with those values</message>\n"),
        ("text/html;q=0.1, application/json", "application/json; charset=utf-8", '"message"'),
        ("image/png", "application/json; charset=utf-8", '"message"'),
    ])
    def test_errors_come_in_the_type_that_is_accepted(self, weir, accept, content_type, text):
        answer = weir.get("/none", {"Accept": accept} if accept else ())
        assert answer.status == 404
        assert answer.headers.get("Content-Type") == content_type
        id = answer.headers.get("X-Kong-Request-Id")
        assert (text % id if "%s" in text else text) in answer.text


class TestAccessLog:
    def test_every_request_has_its_line(self, weir, backend):
        from support.waiting import eventually
        with weir.client() as client:  # one connection, so one worker's file
            client.get("/web/a?b=c", {"User-Agent": "tester", "Referer": "http://from.example"})
            client.get("/none")
        lines = eventually(lambda: weir.access_log()[-2:] if len(weir.access_log()) >= 2 else None)
        assert '"GET /web/a?b=c HTTP/1.1" 200' in lines[0]
        assert '"tester"' in lines[0] and '"http://from.example"' in lines[0]
        assert f'kong_request_id: "{backend.last.headers.get("X-Kong-Request-Id")}"' in lines[0]
        assert '"GET /none HTTP/1.1" 404' in lines[1]

    def test_a_client_cannot_forge_lines(self, weir):
        from support.waiting import eventually
        weir.get("/web", {"User-Agent": 'a" 200 "b', "Referer": "\x80\xff"})
        line = eventually(lambda: weir.access_log())[-1]
        assert 'a" 200 "b' not in line
        assert len(weir.access_log()) == 1


class TestMaxForwards:
    """RFC 9110, section 7.6.2: how far an OPTIONS request is to travel."""

    def test_the_last_hop_answers_by_itself(self, weir, backend):
        weir.serve("s", backend.url)
        answer = weir.request("OPTIONS", "/s", [("Max-Forwards", "0")])
        assert (answer.status, answer.body, backend.requests) == (200, b"", [])
        assert weir.request("OPTIONS", "*", [("Max-Forwards", "0")]).status == 200

    @pytest.mark.parametrize("method,sent,seen", [
        ("OPTIONS", "2", "1"), ("OPTIONS", "many", "many"), ("GET", "0", "0"), ("GET", "5", "5")])
    def test_others_count_down_or_pass_it_on(self, weir, backend, method, sent, seen):
        weir.serve("s", backend.url)
        assert weir.request(method, "/s", [("max-forwards", sent)]).status == 200
        assert backend.last.headers.get("Max-Forwards") == seen


class TestTraceparent:
    """W3C Trace Context."""
    GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @pytest.mark.parametrize("start", ["on", "off"])
    def test_a_clients_own_goes_on(self, new_weir, backend, start):
        weir = new_weir(TRACEPARENT=start)
        weir.serve("s", backend.url)
        weir.get("/s", [("TraceParent", self.GOOD), ("tracestate", "a=b")])
        assert backend.last.headers.get("traceparent") == self.GOOD
        assert backend.last.headers.get("tracestate") == "a=b"

    def test_none_is_begun_unless_asked_for(self, weir, backend):
        weir.serve("s", backend.url)
        weir.get("/s")
        assert "traceparent" not in backend.last.headers

    @pytest.mark.parametrize("headers", [
        [], [("traceparent", "nonsense"), ("tracestate", "a=b")],
        [("traceparent", GOOD), ("traceparent", GOOD)], [("traceparent", GOOD + "-more")],
        [("traceparent", GOOD.upper())], [("traceparent", GOOD[:3] + "0" * 32 + GOOD[35:])],
        [("traceparent", GOOD[:36] + "0" * 16 + GOOD[52:])],
        [("traceparent", "ff" + GOOD[2:])]])
    def test_one_is_begun_where_there_is_no_good_one(self, new_weir, backend, headers):
        weir = new_weir(TRACEPARENT="on")
        weir.serve("s", backend.url)
        answer = weir.get("/s", headers)
        version, trace, parent, flags = backend.last.headers.get("traceparent").split("-")
        assert (version, trace, flags) == ("00", answer.headers.get("X-Kong-Request-Id"), "00")
        assert re.fullmatch("[0-9a-f]{16}", parent) and parent != "0" * 16
        assert "tracestate" not in backend.last.headers
