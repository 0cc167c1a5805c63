"""Plugins that shape traffic: cors, rate-limiting, request-size-limiting."""

import threading

import pytest

from support import plugins, wire
from support.backends import chunked, response


@pytest.fixture(scope="module")
def make_api(node):
    yield from plugins.site(node)


@pytest.fixture
def api(make_api):
    return make_api()


ORIGIN = "https://app.example"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}


def allowed(answer):
    return answer.headers.all("Access-Control-Allow-Origin")


class TestCors:
    def test_by_default_all_may(self, api):
        api.plug("cors")
        answer = api.get(headers={"Origin": ORIGIN})
        assert (answer.status, allowed(answer)) == (200, ["*"])
        assert "Vary" not in answer.headers
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert allowed(api.get()) == ["*"]

    def test_a_preflight_is_answered(self, api):
        seen = len(api.backend.requests)
        row = api.plug("cors", {"max_age": 3600})
        answer = api.request("OPTIONS", headers={
            **PREFLIGHT, "Access-Control-Request-Headers": "X-A,X-B"})
        assert (answer.status, answer.body, allowed(answer)) == (200, b"", ["*"])
        assert answer.headers.get("Access-Control-Allow-Headers") == "X-A,X-B"
        assert answer.headers.get("Access-Control-Allow-Methods") == (
            "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT")
        assert answer.headers.get("Access-Control-Max-Age") == "3600"
        assert answer.headers.get("Content-Length") == "0"
        assert len(api.backend.requests) == seen
        config = {"methods": ["GET", "PUT"], "headers": ["X-C", "X-D"], "private_network": True,
                  "credentials": True, "origins": [ORIGIN]}
        api.admin.patch(f"/plugins/{row['id']}", {"config": config})
        answer = api.request("OPTIONS", headers={
            **PREFLIGHT, "Access-Control-Request-Private-Network": "true"})
        assert answer.headers.get("Access-Control-Allow-Headers") == "X-C,X-D"
        assert answer.headers.get("Access-Control-Allow-Methods") == "GET,PUT"
        assert answer.headers.get("Access-Control-Allow-Private-Network") == "true"
        assert answer.headers.get("Access-Control-Allow-Credentials") == "true"
        assert (allowed(answer), answer.headers.all("Vary")) == ([ORIGIN], ["Origin"])
        assert len(api.backend.requests) == seen

    def test_what_only_looks_like_one_goes_on(self, api):
        row = api.plug("cors")
        seen = len(api.backend.requests)
        for headers in ({"Origin": ORIGIN}, {"Access-Control-Request-Method": "PUT"}):
            assert api.request("OPTIONS", headers=headers).status == 200
        assert len(api.backend.requests) == seen + 2
        api.admin.patch(f"/plugins/{row['id']}", {"config": {"preflight_continue": True}})
        answer = api.request("OPTIONS", headers=PREFLIGHT)
        assert len(api.backend.requests) == seen + 3
        assert not allowed(answer)  # the service's own to say

    def test_one_origin_is_told_whoever_asks(self, api):
        api.plug("cors", {"origins": [ORIGIN], "exposed_headers": ["X-A", "X-B"]})
        for headers in ({}, {"Origin": ORIGIN}, {"Origin": "https://evil.example"}):
            answer = api.get(headers=headers)
            assert (allowed(answer), answer.headers.all("Vary")) == ([ORIGIN], ["Origin"])
            assert answer.headers.get("Access-Control-Expose-Headers") == "X-A,X-B"

    @pytest.mark.parametrize("origin, told", [
        ("https://a.example", True), ("http://a.example", False), ("https://a.example:443", True),
        ("https://a.example:8443", False), ("https://x.b.example", True),
        ("https://x.b.example.evil", False), ("http://c.example:81", True), ("null", False),
        ("https://sub.d.example", True), ("https://sub.d.example.evil", False),
        ("https://evilsub.d.example", False), ("https://d.example", False), (None, False)])
    def test_of_several_the_one_that_asks(self, api, origin, told):
        api.plug("cors", {"origins": [
            "https://a.example:443", r"^https://.*\.b\.example$", "http://c.example:81",
            r"(.*[.])?sub\.d\.example", *(rf"https://.*\.{i}\.example" for i in range(50))]})
        api.backend.answer = response(headers={"Access-Control-Allow-Origin": "*"})
        try:
            answer = api.get(headers={"Origin": origin} if origin else {})
        finally:
            api.backend.answer = api.backend._echo
        wanted = [origin.replace(":443", "")] if told else []
        assert (allowed(answer), answer.headers.all("Vary")) == (wanted, ["Origin"])

    def test_credentials_need_a_name(self, api):
        api.plug("cors", {"credentials": True})
        answer = api.get(headers={"Origin": ORIGIN})
        assert (allowed(answer), answer.headers.get("Vary")) == ([ORIGIN], "Origin")
        assert answer.headers.get("Access-Control-Allow-Credentials") == "true"
        answer = api.get()
        assert allowed(answer) == ["*"]
        assert "Access-Control-Allow-Credentials" not in answer.headers

    def test_a_refusal_of_another_plugin_may_be_read(self, api):
        api.plug("cors", {"origins": [ORIGIN]})
        api.plug("key-auth")
        answer = api.get(headers={"Origin": ORIGIN})
        assert (answer.status, allowed(answer)) == (401, [ORIGIN])
        assert api.request("OPTIONS", headers=PREFLIGHT).status == 200

    def test_of_an_unreachable_service_too(self, api):
        api.plug("cors", {"origins": [ORIGIN]})
        api.admin.patch(f"/services/{api.name}", {"port": 1, "retries": 0})
        answer = api.get(headers={"Origin": ORIGIN})
        assert (answer.status, allowed(answer)) == (502, [ORIGIN])


class TestRateLimiting:
    def test_so_many_pass_and_no_more(self, api):
        api.plug("rate-limiting", {"year": 2, "month": 2})
        seen = len(api.backend.requests)
        for left in (1, 0):
            answer = api.get()
            assert answer.status == 200
            assert answer.headers.get("X-RateLimit-Limit-Year") == "2"
            assert answer.headers.get("X-RateLimit-Remaining-Year") == str(left)
            assert answer.headers.get("X-RateLimit-Remaining-Month") == str(left)
            assert answer.headers.get("RateLimit-Limit") == "2"
            assert answer.headers.get("RateLimit-Remaining") == str(left)
            assert 0 < int(answer.headers.get("RateLimit-Reset")) <= 31536000
            assert "Retry-After" not in answer.headers
        answer = api.get()
        assert (answer.status, answer.json()["message"]) == (429, "API rate limit exceeded")
        assert answer.headers.get("RateLimit-Remaining") == "0"
        assert answer.headers.get("Retry-After") == answer.headers.get("RateLimit-Reset")
        assert len(api.backend.requests) == seen + 2

    def test_workers_count_together(self, new_weir, backend):
        weir = new_weir(WORKERS=2)
        weir.serve("web", backend.url)
        weir.admin.create("/plugins", {"name": "rate-limiting", "config": {"year": 50}})
        statuses = []

        def ask():
            for _ in range(20):
                statuses.append(weir.get("/web").status)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (statuses.count(200), statuses.count(429)) == (50, 30)

    def test_counters_outlive_a_change_of_the_configuration(self, api):
        row = api.plug("rate-limiting", {"year": 2})
        assert api.get().status == 200
        api.admin.patch(f"/plugins/{row['id']}", {"config": {"year": 3}})
        assert api.get().headers.get("RateLimit-Remaining") == "1"

    def test_its_own_words_and_no_headers(self, api):
        api.plug("rate-limiting", {"year": 1, "hide_client_headers": True, "error_code": 403,
                                   "error_message": 'slow "down"'})
        api.get()
        answer = api.get()
        assert (answer.status, answer.json()["message"]) == (403, 'slow "down"')
        assert not [name for name, _ in answer.headers if "rate" in name.lower()]
        assert "Retry-After" not in answer.headers

    def test_what_the_service_says_of_limits_is_not_heard(self, api):
        api.plug("rate-limiting", {"year": 9})
        api.backend.answer = response(headers={"RateLimit-Limit": "1",
                                               "X-RateLimit-Remaining-Year": "77"})
        try:
            answer = api.get()
        finally:
            api.backend.answer = api.backend._echo
        assert answer.headers.all("RateLimit-Limit") == ["9"]
        assert answer.headers.all("X-RateLimit-Remaining-Year") == ["8"]

    @pytest.mark.parametrize("by", ["consumer", "credential"])
    def test_each_one_has_its_own(self, api, by):
        api.plug("key-auth", {"anonymous": api.consumer("-nobody")["id"]})
        api.plug("rate-limiting", {"year": 1, "limit_by": by})
        consumer = api.consumer()
        keys = [api.credential(consumer, "key-auth")["key"] for _ in range(2)]
        assert api.get(headers={"apikey": keys[0]}).status == 200
        second = api.get(headers={"apikey": keys[1]}).status
        assert second == (429 if by == "consumer" else 200)
        assert [api.get().status, api.get().status] == [200, 429]

    def test_a_consumers_row_goes_first(self, api):
        api.plug("key-auth")
        api.plug("rate-limiting", {"year": 1})
        rich, poor = api.consumer("rich"), api.consumer("poor")
        api.plug("rate-limiting", {"year": 3}, consumer={"id": rich["id"]})
        limits = [api.get(headers={"apikey": api.credential(who, "key-auth")["key"]})
                  .headers.get("RateLimit-Limit") for who in (rich, poor)]
        assert limits == ["3", "1"]

    @pytest.mark.parametrize("config, same, other", [
        ({"limit_by": "header", "header_name": "X-Who"},
         ("", {"X-Who": "a"}), ("", {"X-Who": "b"})),
        ({"limit_by": "ip"}, ("/x", {"X-Who": "b"}), None),
        ({"limit_by": "service"}, ("/x", {}), None)])
    def test_who_is_who(self, api, config, same, other):
        api.plug("rate-limiting", {"year": 1, **config})
        first = other and ("", {"X-Who": "a"}) or ("", {})
        assert api.get(*first).status == 200
        assert api.get(*same).status == 429
        if other:
            assert api.get(*other).status == 200

    def test_a_path_and_all_the_others(self, api):
        api.plug("rate-limiting", {"year": 1, "limit_by": "path", "path": f"{api.path}/costly"})
        assert [api.get("/costly").status, api.get("/costly").status] == [200, 429]
        assert [api.get("/a").status, api.get("/b").status] == [200, 429]

    @pytest.mark.parametrize("config, part", [
        ({"policy": "cluster"}, "config.policy=cluster"),
        ({"policy": "redis", "redis": {"host": "r"}}, "config.policy=redis")])
    def test_a_policy_that_is_not_there_is_told_and_counts_locally(self, api, config, part):
        row = api.plug("rate-limiting", {"year": 1, **config})
        assert api.node.log("a plugin's configuration asks for what it does not do yet",
                            plugin="rate-limiting", part=part, id=row["id"])
        assert [api.get().status, api.get().status] == [200, 429]


class TestRequestSizeLimiting:
    @pytest.mark.parametrize("size, unit, most", [
        (10, "bytes", 10), (1, "kilobytes", 1024), (1, "megabytes", 1048576)])
    def test_content_that_is_too_long(self, api, size, unit, most):
        api.plug("request-size-limiting", {"allowed_payload_size": size, "size_unit": unit})
        assert api.request("POST", body=b"x" * most).status == 200
        answer = api.request("POST", body=b"x" * (most + 1))
        assert (answer.status, answer.json()["message"]) == (413, "Request size limit exceeded")

    def test_who_asks_first_is_told_first(self, api):
        api.plug("request-size-limiting", {"allowed_payload_size": 10, "size_unit": "bytes"})
        with wire.Client(api.node.proxy_port) as client:
            client.send(f"POST {api.path} HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n"
                        "Expect: 100-continue\r\n\r\n".encode())
            assert client.read("POST").status == 417

    @pytest.mark.parametrize("at_once", [True, False])
    def test_content_of_unknown_length_is_stopped(self, api, at_once):
        api.plug("request-size-limiting", {"allowed_payload_size": 10, "size_unit": "bytes"})
        head = (f"POST {api.path} HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n").encode()
        with wire.Client(api.node.proxy_port) as client:
            client.send(head + chunked(b"x" * 10))
            assert client.read("POST").status == 200
        body = chunked(b"x" * 6, b"x" * 5)
        with wire.Client(api.node.proxy_port) as client:
            if at_once:
                client.send(head + body)
            else:
                client.send(head + body[:8])
                client.send(body[8:])
            answer = client.read("POST")
            assert (answer.status, answer.json()["message"]) == (
                413, "Request size limit exceeded")

    def test_a_length_may_be_asked_for(self, api):
        api.plug("request-size-limiting", {"require_content_length": True})
        assert api.request("POST", body=b"x").status == 200
        with wire.Client(api.node.proxy_port) as client:
            client.send(f"POST {api.path} HTTP/1.1\r\nHost: h\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n".encode() + chunked(b"x"))
            answer = client.read("POST")
        assert (answer.status, answer.json()["message"]) == (
            411, "A valid Content-Length header is required")
