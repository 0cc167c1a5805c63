"""Routes that instances in Consul make by their tags and meta."""

import pytest
import requests

from support.backends import response
from support.load import Load
from support.waiting import always, eventually

pytestmark = pytest.mark.consul


@pytest.fixture
def weir(new_weir, consul):
    return new_weir(CONSUL_ADDR=consul.address, CONSUL_ROUTES="on")


def who(weir, target, method="GET", host="localhost"):
    answer = weir.request(method, target, host=host)
    return answer.headers.get("X-Backend") if answer.status == 200 else answer.status


def wait_for(weir, target, name, **more):
    eventually(lambda: who(weir, target, **more) == name,
               lambda: f"{target} to be answered by {name}; last {who(weir, target, **more)}")


def all_who(weir, target, requests=20):
    return {who(weir, target) for _ in range(requests)}


def count_searches(backend):
    return sum(request.target.startswith("/v1/internal/ui/services?stale&filter=")
               for request in backend.requests)


def rows(weir, kind):
    return {row["name"]: row for row in weir.admin.get(f"/{kind}").json()["data"]}


def register(consul, service, backend, *tags, id=None, **more):
    return consul.register(service, backend.port, id=id or backend.name, Tags=list(tags), **more)


def test_a_tag_makes_a_route_and_goes_with_it(weir, consul, new_backend):
    backend = new_backend("a")
    assert who(weir, "/users") == 404
    register(consul, "users", backend, "weir.route=/users")
    wait_for(weir, "/users/1", "a")
    assert backend.requests[-1].target == "/users/1"
    register(consul, "users", backend, "weir.route=/people strip=true")
    wait_for(weir, "/people/1", "a")
    assert backend.requests[-1].target == "/1"
    eventually(lambda: who(weir, "/users") == 404)  # after a while: not in a flap
    consul.deregister("a")
    eventually(lambda: who(weir, "/people") == 404)
    assert not rows(weir, "routes") and not rows(weir, "services") and not rows(weir, "upstreams")


def test_options_choose_host_methods_and_path(weir, consul, new_backend):
    backend = new_backend("a")
    register(consul, "api", backend, "weir.route=api.example.com/v1 methods=GET,PUT strip=/v1",
             "weir.route=/deep/path strip=/deep")
    wait_for(weir, "/v1/x", "a", host="api.example.com")
    assert backend.requests[-1].target == "/x"
    assert dict(backend.requests[-1].headers).get("Host", "api.example.com") == "api.example.com"
    assert who(weir, "/v1/x", host="other.example.com") == 404
    assert who(weir, "/v1/x", method="POST", host="api.example.com") == 404
    assert who(weir, "/v1/x", method="PUT", host="api.example.com") == "a"
    wait_for(weir, "/deep/path/y", "a")
    assert backend.requests[-1].target == "/path/y"


def test_meta_and_separate_tags_say_the_same(weir, consul, new_backend):
    backend = new_backend("a")
    register(consul, "meta", backend, "weir",
             Meta={"weir-route": "/meta", "weir-route-2": "/more", "weir-methods": "GET"})
    wait_for(weir, "/meta", "a")
    wait_for(weir, "/more", "a")
    assert who(weir, "/meta", method="POST") == 404
    register(consul, "tags", new_backend("b"), "weir.route=/tags", "weir.strip=true",
             "weir.host=tags.example")
    wait_for(weir, "/tags", "b", host="tags.example")


def test_meta_alone_makes_a_route_and_goes_with_it(weir, consul, new_backend):
    backend = new_backend("a")
    register(consul, "plain", new_backend("plain"))
    register(consul, "quiet", backend)
    register(consul, "quiet", backend, Meta={"weir-route": "/quiet", "weir-methods": "GET"})
    wait_for(weir, "/quiet", "a")
    assert who(weir, "/quiet", method="POST") == 404
    register(consul, "under", new_backend("b"), Meta={"weir_route": "/under strip=true"})
    wait_for(weir, "/under", "b")
    assert set(rows(weir, "upstreams")) == {"consul.quiet", "consul.under"}
    row = next(row for row in weir.admin.get("/discovery").json()["data"]
               if row["source"] == "consul-catalog")
    assert row["meta"]["services"] == 2 and row["announcers"] == 2
    register(consul, "quiet", backend, Meta={"weir-route": "/loud"})
    wait_for(weir, "/loud", "a")
    eventually(lambda: who(weir, "/quiet") == 404)
    consul.deregister("a")
    eventually(lambda: who(weir, "/loud") == 404)
    eventually(lambda: set(rows(weir, "upstreams")) == {"consul.under"})


def test_a_sidecar_with_its_services_meta_claims_nothing(weir, consul, new_backend):
    register(consul, "web", new_backend("a"), Meta={"weir-route": "/web"},
             Connect={"SidecarService": {}})
    wait_for(weir, "/web", "a")
    assert consul.instances("web-sidecar-proxy")[0]["Service"]["Meta"] == {"weir-route": "/web"}
    assert set(rows(weir, "upstreams")) == {"consul.web"}
    assert not weir.log("consul route not made")


def all_but_the_search(consul, refusal):
    """A script: what Consul answers, but refusal[0] to a search by meta; None swallows it."""
    def answer_to(request, _connection):
        if request.target.startswith("/v1/internal/"):
            return refusal[0]
        answer = requests.get(f"http://{consul.address}{request.target}", timeout=90)
        head = {name: value for name, value in answer.headers.items()
                if name.startswith("X-Consul")}
        return response(answer.status_code, head, answer.content)
    return answer_to


def test_a_consul_that_cant_be_searched_by_meta_is_named_and_tags_go_on(new_weir, consul,
                                                                       new_backend):
    refusal = [response(403, body=b"not for you")]
    proxy = new_backend("proxy", all_but_the_search(consul, refusal))
    weir = new_weir(CONSUL_ADDR=proxy.address, CONSUL_ROUTES="on")
    register(consul, "quiet", new_backend("quiet"), Meta={"weir-route": "/quiet"})
    register(consul, "tagged", new_backend("tagged"), "weir.route=/tagged")
    wait_for(weir, "/tagged", "tagged")
    eventually(lambda: weir.log("consul's services can't be searched by meta"))
    for answer in (response(404), response(200, body=b"{}"), response(200, body=b"[[], 1, {}]"),
                   response(200, body=b'[{"Name": 5}, {"Name": "x", "PeerName": "far"}]')):
        refusal[0] = answer
        asked = count_searches(proxy)
        eventually(lambda: count_searches(proxy) > asked, within=90)
        register(consul, "again", new_backend("again"), "weir.route=/again")
    wait_for(weir, "/again", "again")
    assert who(weir, "/quiet") == 404


def test_a_search_without_an_answer_is_no_consul_that_is_away(new_weir, consul, new_backend):
    register(consul, "tagged", new_backend("tagged"), "weir.route=/tagged")
    proxy = new_backend("proxy", all_but_the_search(consul, [None]))
    weir = new_weir(CONSUL_ADDR=proxy.address, CONSUL_ROUTES="on")
    wait_for(weir, "/tagged", "tagged")
    eventually(lambda: weir.log("consul's services can't be searched by meta"), within=60)
    searched = count_searches(proxy)
    register(consul, "again", new_backend("again"), "weir.route=/again")
    wait_for(weir, "/again", "again")
    assert count_searches(proxy) == searched  # others' answers don't hasten the next
    assert not weir.log("consul unreachable")


def test_without_the_setting_tags_are_tags(new_weir, consul, new_backend):
    weir = new_weir(CONSUL_ADDR=consul.address)
    register(consul, "users", new_backend("a"), "weir.route=/users")
    weir.serve("other", "http://users")
    wait_for(weir, "/other", "a")
    assert who(weir, "/users") == 404


def test_the_setting_without_a_consul_is_said_to_do_nothing(new_weir):
    weir = new_weir(CONSUL_ADDR="off", CONSUL_ROUTES="on")
    assert weir.log("no routes are made of tags")[0]["why"] == "no Consul is configured"


def test_fabios_tags_are_understood(weir, consul, new_backend):
    a = new_backend("a")
    register(consul, "fab", a, "urlprefix-/fab strip=/fab", "urlprefix-fab.example/ proto=http",
             "urlprefix-/odd tlsskipverify=true", "urlprefix-/secret auth=mycreds",
             "urlprefix-:1234 proto=tcp")
    wait_for(weir, "/fab/1", "a")
    assert a.requests[-1].target == "/1"
    wait_for(weir, "/x", "a", host="fab.example")
    wait_for(weir, "/odd", "a")
    assert who(weir, "/secret") == 404
    complaints = [entry["why"] for entry in weir.log("consul route tag not understood")]
    assert len(complaints) == 3, complaints
    assert any("tlsskipverify" in why and "passed over" in why for why in complaints)
    assert any("auth=" in why and "left out" in why for why in complaints)
    register(consul, "fab", new_backend("b"), "urlprefix-/odd tlsskipverify=true")
    eventually(lambda: all_who(weir, "/odd") == {"a", "b"})
    assert len(weir.log("consul route tag not understood")) == 3


def test_fabios_weights_share_the_traffic(weir, consul, new_backend):
    register(consul, "w", new_backend("a"), "urlprefix-/w weight=0.1")
    register(consul, "w", new_backend("b"), "urlprefix-/w")
    eventually(lambda: all_who(weir, "/w", 40) == {"a", "b"})
    with weir.client() as client:
        names = [client.get("/w").headers.get("X-Backend") for _ in range(200)]
    assert 15 <= names.count("a") <= 25


def test_a_route_goes_to_those_instances_that_claim_it(weir, consul, new_backend):
    """A rolling deploy with other tags: no route is lost, and none leads to who doesn't know it."""
    register(consul, "users", new_backend("old"), "weir.route=/users")
    wait_for(weir, "/users", "old")
    with Load(weir.proxy_port, "/users", rate=100) as load:
        register(consul, "users", new_backend("new"), "weir.route=/users", "weir.route=/v2/users")
        eventually(lambda: all_who(weir, "/v2/users") == {"new"})
        eventually(lambda: all_who(weir, "/users") == {"old", "new"})
        consul.deregister("old")
        eventually(lambda: all_who(weir, "/users") == {"new"})
        eventually(lambda: all_who(weir, "/v2/users") == {"new"})
    load.assert_all_fine()


def test_a_claim_made_twice_is_not_that_of_two_instances(weir, consul, new_backend):
    register(consul, "users", new_backend("old"))
    register(consul, "users", new_backend("new"), "weir.route=/x", "urlprefix-/x")
    wait_for(weir, "/x", "new")
    assert all_who(weir, "/x") == {"new"}


def test_services_of_similar_names_are_told_apart(weir, consul, new_backend):
    register(consul, "webx", new_backend("x"), "weir.route=/x")
    register(consul, "web-", new_backend("dash"), "weir.route=/dash")
    register(consul, "Web.x", new_backend("dot"), "weir.route=/dot")
    for name in ("x", "dash", "dot"):
        wait_for(weir, f"/{name}", name)
    assert [all_who(weir, f"/{name}") for name in ("x", "dash", "dot")] == \
        [{"x"}, {"dash"}, {"dot"}]


def test_two_services_that_claim_the_same_both_live(weir, consul, new_backend):
    register(consul, "low", new_backend("low"), "weir.route=/both", "weir.route=/low")
    wait_for(weir, "/both", "low")
    register(consul, "high", new_backend("high"), "weir.route=/both priority=5")
    wait_for(weir, "/both", "high")
    assert who(weir, "/low") == "low"
    entry = weir.log("consul route not made")[0]
    assert entry["service"] == "low" and "high" in entry["why"]
    consul.deregister("high")
    wait_for(weir, "/both", "low")


def test_made_by_hand_wins(weir, consul, new_backend):
    weir.serve("mine", new_backend("mine").url, paths=["/users"])
    register(consul, "users", new_backend("a"), "weir.route=/users", "weir.route=/users/only")
    wait_for(weir, "/users/only", "a")
    assert who(weir, "/users") == "mine"
    # An upstream of the same name takes the place of the one that was made.
    weir.admin.create("/upstreams", {"name": "consul.users"})
    weir.admin.create("/upstreams/consul.users/targets",
                      {"target": new_backend("hand").address})
    wait_for(weir, "/users/only", "hand")
    weir.admin.remove("/upstreams/consul.users")
    wait_for(weir, "/users/only", "a")


def test_what_is_made_is_shown_and_read_only(weir, consul, new_backend):
    register(consul, "users", new_backend("a"), "weir.route=/users")
    wait_for(weir, "/users", "a")
    route = list(rows(weir, "routes").values())[0]
    service = rows(weir, "services")["consul.users"]
    upstream = rows(weir, "upstreams")["consul.users"]
    assert {row["origin"] for row in (route, service, upstream)} == {"consul service users"}
    assert route["service"]["id"] == service["id"] and service["host"] == "consul.users"
    writes = [
        weir.admin.patch(f"/routes/{route['id']}", {"paths": ["/x"]}),
        weir.admin.put(f"/services/{service['name']}", {"host": "example.com"}),
        weir.admin.delete(f"/upstreams/{upstream['name']}"),
        weir.admin.delete(f"/routes/{route['id']}"),
        weir.admin.post("/upstreams/consul.users/targets", {"target": "127.0.0.1:1"}),
        weir.admin.post("/services/consul.users/routes", {"paths": ["/mine"]}),
    ]
    for answer in writes:
        assert answer.status_code == 400, answer.text
        assert "made of tags (consul service users)" in answer.json()["message"]
    assert who(weir, "/users") == "a"
    answer = weir.admin.post("/services", {"host": "example.com", "origin": "me"})
    assert answer.status_code == 400 and "origin" in answer.json()["fields"]


def test_bad_claims_are_named_and_harm_nobody(weir, consul, new_backend):
    register(consul, "bad", new_backend("bad"), "weir.route=~/(", "weir.route=bad host/x",
             "weir.route=", "weir.route=/m methods=get", "weir.route=/\u00e9",
             *[f"weir.route=/many/{i}" for i in range(40)], "x" * 4000, "weir.route=/fine")
    register(consul, "good", new_backend("good"), "weir.route=/good")
    wait_for(weir, "/good", "good")
    eventually(lambda: weir.log("consul route not made"))
    assert weir.log("consul route tag not understood")
    assert who(weir, "/many/1") == "bad"


def test_a_restarted_or_wiped_consul_takes_no_route_away(weir, consul, new_backend):
    backends = {name: new_backend(name) for name in ("a", "b", "c")}
    for backend in backends.values():
        register(consul, "users", backend, "weir.route=/users")
    eventually(lambda: all_who(weir, "/users") == set(backends))
    with Load(weir.proxy_port, "/users", rate=50) as load:
        consul.restart(keep_data=False)
        always(lambda: who(weir, "/users") in backends, during=12, every=0.1)
        for backend in backends.values():
            register(consul, "users", backend, "weir.route=/users", "weir.route=/again")
        wait = lambda: all_who(weir, "/again") <= set(backends)
        eventually(wait)
    load.assert_all_fine()


def test_routes_come_back_with_their_ids_after_a_restart(weir, consul, new_backend):
    register(consul, "users", new_backend("a"), "weir.route=/users")
    wait_for(weir, "/users", "a")
    before = rows(weir, "routes")
    weir.stop()
    weir.start()
    wait_for(weir, "/users", "a")
    after = rows(weir, "routes")
    assert {name: row["id"] for name, row in before.items()} == \
        {name: row["id"] for name, row in after.items()}


def test_routes_are_there_after_a_start_without_consul(weir, consul, new_backend):
    register(consul, "users", new_backend("a"), "weir.route=/users")
    register(consul, "shop", new_backend("b"), "weir.route=shop.example/buy strip=true methods=GET")
    register(consul, "shop", new_backend("c"), "urlprefix-/cart")
    wait_for(weir, "/users", "a")
    wait_for(weir, "/buy", "b", host="shop.example")
    wait_for(weir, "/cart", "c")
    before = rows(weir, "routes")
    weir.stop()
    consul.stop()
    weir.start()
    wait_for(weir, "/users", "a")
    wait_for(weir, "/buy", "b", host="shop.example")
    wait_for(weir, "/cart", "c")
    assert who(weir, "/buy", host="shop.example", method="PUT") == 404
    after = rows(weir, "routes")
    assert {name: row["id"] for name, row in before.items()} == \
        {name: row["id"] for name, row in after.items()}
    status = weir.admin.get("/status").json()["weir"]["discovery"]
    assert status["state"] == "degraded" and status["saved_in_use"] == 2

    consul.start()
    consul.deregister("b")
    register(consul, "users", new_backend("d"), "weir.route=/people")
    wait_for(weir, "/people", "d")
    eventually(lambda: who(weir, "/buy", host="shop.example") == 404, within=60)
    eventually(lambda: weir.admin.get("/status").json()["weir"]["discovery"]["state"] == "ready")


def test_many_services_cost_one_watch_for_those_without_tags(weir, consul, new_backend):
    for i in range(30):
        consul.register_in_catalog(f"s{i}", 1000 + i, id="x", node=f"n{i}")
    register(consul, "users", new_backend("a"), "weir.route=/users")
    wait_for(weir, "/users", "a")
    consul_status = weir.admin.get("/status").json()["weir"]["discovery"]["consul"]
    assert consul_status["watches"] == 2  # the catalog's, and that of the one that is marked
