"""Which route a request takes, which path the target sees, and what is said when there is none."""

import pytest


def json_of(answer):
    assert answer.status == 200, answer
    return answer.json()


@pytest.fixture
def routed(weir, new_backend):
    """routed({"name": {route fields}}, …): a service and backend a route; who(request) says which
    of them took it."""
    def make(routes):
        for name, route in routes.items():
            weir.serve(name, new_backend(name).url,
                       route={"paths": None, "strip_path": False, **route})
    def who(method, target, headers=(), host="localhost"):
        answer = weir.request(method, target, headers, host=host)
        return json_of(answer)["backend"] if answer.status == 200 else answer.status
    make.who = who
    return make


class TestMatching:
    def test_paths_match_as_prefixes(self, routed):
        routed({"foo": {"paths": ["/foo"]}})
        assert routed.who("GET", "/foo") == "foo"
        assert routed.who("GET", "/foo/bar?x") == "foo"
        assert routed.who("GET", "/foobar") == "foo"
        assert routed.who("GET", "/fo") == 404
        assert routed.who("GET", "/Foo") == 404

    def test_the_longer_path_wins(self, routed):
        routed({"root": {"paths": ["/"]}, "a": {"paths": ["/a"]}, "ab": {"paths": ["/a/b"]}})
        assert [routed.who("GET", path) for path in ("/", "/x", "/a", "/a/x", "/a/b", "/a/b/c")
                ] == ["root", "root", "a", "a", "ab", "ab"]

    def test_paths_are_normalized_before_they_are_matched(self, routed):
        routed({"foo": {"paths": ["/foo"]}, "admin": {"paths": ["/admin"]}})
        for path in ("/./foo", "/x/../foo", "//foo", "/%66oo", "/x/%2e%2e/foo"):
            assert routed.who("GET", path) == "foo", path
        assert routed.who("GET", "/foo/../admin") == "admin"
        assert routed.who("GET", "/foo%2F..%2Fadmin") == "foo"

    def test_a_path_cannot_climb_above_the_root(self, routed):
        routed({"foo": {"paths": ["/foo"]}})
        assert routed.who("GET", "/../../foo") == "foo"

    def test_methods_match_exactly(self, routed):
        routed({"read": {"paths": ["/x"], "methods": ["GET", "HEAD"]},
                "write": {"paths": ["/x"], "methods": ["POST"]}})
        assert routed.who("GET", "/x") == "read"
        assert routed.who("POST", "/x") == "write"
        assert routed.who("DELETE", "/x") == 404

    def test_hosts_match_plain_and_by_wildcard(self, routed):
        routed({"plain": {"hosts": ["a.example"]}, "sub": {"hosts": ["*.example"]},
                "end": {"hosts": ["b.*"]}, "port": {"hosts": ["c.example:81"]}})
        assert routed.who("GET", "/", host="a.example") == "plain"
        assert routed.who("GET", "/", host="a.example:8000") == "plain"
        assert routed.who("GET", "/", host="A.Example") == "plain"
        assert routed.who("GET", "/", host="x.example") == "sub"
        assert routed.who("GET", "/", host="b.org") == "end"
        assert routed.who("GET", "/", host="c.example:81") == "port"
        assert routed.who("GET", "/", host="other.org") == 404

    def test_headers_match_by_value(self, routed):
        routed({"v1": {"headers": {"x-version": ["1", "one"]}},
                "v2": {"headers": {"X-Version": ["~*^2\\.\\d+$"]}}})
        assert routed.who("GET", "/", {"X-VERSION": "1"}) == "v1"
        assert routed.who("GET", "/", {"x-version": "ONE"}) == "v1"
        assert routed.who("GET", "/", {"x-version": "2.7"}) == "v2"
        assert routed.who("GET", "/", {"x-version": "3"}) == 404
        assert routed.who("GET", "/") == 404

    def test_a_regex_path_goes_before_a_literal_one(self, routed):
        routed({"literal": {"paths": ["/users/42/long/enough"]},
                "regex": {"paths": ["~/users/\\d+"]}})
        assert routed.who("GET", "/users/42/long/enough") == "regex"
        assert routed.who("GET", "/users/x") == 404

    def test_the_higher_regex_priority_wins(self, routed):
        routed({"low": {"paths": ["~/a.*"], "regex_priority": 1},
                "high": {"paths": ["~/ab"], "regex_priority": 2}})
        assert routed.who("GET", "/abc") == "high"
        assert routed.who("GET", "/ax") == "low"

    def test_the_route_with_more_to_match_wins(self, routed):
        routed({"path": {"paths": ["/very/long/path"]},
                "both": {"paths": ["/very"], "hosts": ["a.example"]}})
        assert routed.who("GET", "/very/long/path", host="a.example") == "both"
        assert routed.who("GET", "/very/long/path") == "path"

    def test_of_equals_the_older_wins(self, routed):
        routed({"older": {"paths": ["/x"]}, "newer": {"paths": ["/x"]}})
        # created_at counts whole seconds; within one, any of the two may win, but always the same.
        assert len({routed.who("GET", "/x") for _ in range(10)}) == 1

    def test_a_thousand_routes_are_told_apart(self, weir, backend):
        weir.admin.create("/services", {"name": "s", "url": backend.url})
        paths = [f"/group-{n // 100}/item-{n:03}" for n in range(1000)]
        for start in range(0, 1000, 50):
            weir.admin.create("/services/s/routes", {"paths": paths[start:start + 50],
                                                     "strip_path": False})
        with weir.client() as client:
            for path in paths[::37]:
                assert json_of(client.get(path))["target"] == path
            assert client.get("/group-9/item-").status == 404


class TestPaths:
    # service.path, route.path, request, then the target's with v0 and strip_path, v1 and
    # strip_path, v0 without, v1 without.
    TABLE = [
        ("/", "/fee", "/fee/bor", "/bor", "/bor", "/fee/bor", "/fee/bor"),
        ("/fee/bor", "/fee", "/fee/x", "/fee/bor/x", "/fee/bor/x", "/fee/bor/fee/x",
         "/fee/borfee/x"),
        ("/srv", "/foo", "/foobar", "/srv/bar", "/srvbar", "/srv/foobar", "/srvfoobar"),
        ("/srv/", "/foo", "/foo", "/srv", "/srv/", "/srv/foo", "/srv/foo"),
        ("/srv", "/foo/", "/foo/bar", "/srv/bar", "/srvbar", "/srv/foo/bar", "/srvfoo/bar"),
        (None, "/fee", "/fee", "/", "/", "/fee", "/fee"),
        (None, "/fee", "/fee/", "/", "/", "/fee/", "/fee/"),
        ("/srv", "/foo", "/foo/", "/srv/", "/srv/", "/srv/foo/", "/srvfoo/"),
        ("/srv", "/", "/x/y", "/srv/x/y", "/srvx/y", "/srv/x/y", "/srvx/y"),
    ]

    @pytest.mark.parametrize("service, route, request_path, v0_strip, v1_strip, v0, v1", TABLE)
    def test_the_target_sees_the_path_that_kong_would_send(self, weir, backend, service, route,
                                                           request_path, v0_strip, v1_strip, v0,
                                                           v1):
        weir.admin.create("/services", {"name": "s", "url": backend.url})
        weir.admin.patch("/services/s", {"path": service})
        weir.admin.create("/services/s/routes", {"name": "r", "paths": [route]})
        for handling, strip, wanted in (("v0", True, v0_strip), ("v1", True, v1_strip),
                                        ("v0", False, v0), ("v1", False, v1)):
            weir.admin.patch("/routes/r", {"path_handling": handling, "strip_path": strip})
            assert json_of(weir.get(request_path))["target"] == wanted, (handling, strip)

    @pytest.mark.parametrize("target, wanted", [
        ("/s/a?x=1&y=%20z", "/a?x=1&y=%20z"),
        ("/s/a?", "/a?"),
        ("/s?x", "/?x"),
        ("/s/a%2Fb", "/a%2Fb"),
        ("/s/a%20b", "/a%20b"),
        ("/s/%C3%BC", "/%C3%BC"),
        ("/s/a//b", "/a/b"),
        ("/s/a;p=1/b:c@d", "/a;p=1/b:c@d"),
        ("/s/?a?b#", None),
    ])
    def test_queries_and_escapes_pass(self, weir, backend, target, wanted):
        weir.serve("s", backend.url)
        answer = weir.get(target)
        if wanted is None:
            assert answer.status in (200, 400)
        else:
            assert json_of(answer)["target"] == wanted

    def test_a_regex_strips_what_it_matched(self, weir, backend):
        weir.serve("s", f"{backend.url}/base", paths=[r"~/v\d+/things"])
        assert json_of(weir.get("/v12/things/7"))["target"] == "/base/7"

    def test_an_absolute_target_is_routed_by_its_path_and_host(self, weir, backend):
        weir.serve("s", backend.url, route={"hosts": ["a.example"]})
        with weir.client() as client:
            client.send(b"GET http://a.example/s/x HTTP/1.1\r\nHost: ignored\r\n\r\n")
            assert json_of(client.read())["target"] == "/x"

    def test_options_of_the_whole_server_is_no_route(self, weir, backend):
        weir.serve("s", backend.url)
        with weir.client() as client:
            client.send(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.read().status in (400, 404)


class TestNoWay:
    def test_no_route(self, weir):
        answer = weir.get("/none")
        assert answer.status == 404
        body = answer.json()
        assert body["message"] == "no Route matched with those values"
        assert body["request_id"] == answer.headers.get("X-Kong-Request-Id")

    def test_a_request_without_route_keeps_the_connection_also_with_a_body(self, weir, backend):
        weir.serve("web", backend.url)
        with weir.client() as client:
            assert client.request("POST", "/none", body=b"x" * 10000).status == 404
            assert client.get("/web").status == 200

    def test_a_route_without_a_service(self, weir):
        weir.admin.create("/routes", {"paths": ["/x"]})
        answer = weir.get("/x")
        assert answer.status == 503
        assert answer.json()["message"] == "no Service found with those values"

    def test_a_route_for_https_only(self, weir, backend):
        weir.serve("web", backend.url, route={"protocols": ["https"]})
        answer = weir.get("/web")
        assert answer.status == 426
        assert answer.json()["message"] == "Please use HTTPS protocol"
        assert answer.headers.get("Upgrade") == "TLS/1.2, HTTP/1.1"
        assert "upgrade" in answer.headers.get("Connection").lower()

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_route_for_https_only_may_redirect(self, weir, backend, status):
        weir.serve("web", backend.url, route={"protocols": ["https"],
                                              "https_redirect_status_code": status})
        answer = weir.get("/web/a?b=c", host="shop.example")
        assert (answer.status, answer.body) == (status, b"")
        assert answer.headers.get("Location") == "https://shop.example/web/a?b=c"

    def test_an_upstream_without_targets(self, weir):
        weir.pool("empty", [])
        answer = weir.get("/empty")
        assert answer.status == 503
        assert answer.json()["message"] == "failure to get a peer from the ring-balancer"

    def test_targets_of_weight_zero_only(self, weir, backend):
        weir.pool("idle", [])
        weir.admin.create("/upstreams/idle/targets", {"target": backend.address, "weight": 0})
        assert weir.get("/idle").status == 503

    def test_a_name_that_does_not_resolve(self, weir):
        weir.serve("lost", "http://no-such-host.invalid")
        answer = weir.get("/lost")
        assert answer.status == 503
        assert answer.json()["message"] == "name resolution failed"
