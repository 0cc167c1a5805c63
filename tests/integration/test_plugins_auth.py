"""Plugins that ask who it is: key-auth, basic-auth, acl; and what hangs on the consumer."""

import base64

import pytest

from support import plugins
from support.waiting import eventually


@pytest.fixture(scope="module")
def make_api(node):
    yield from plugins.site(node)


@pytest.fixture
def api(make_api):
    return make_api()


def basic(name, password):
    text = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {text}"}


class TestKeyAuth:
    def test_a_key_opens_the_service_and_tells_the_upstream_whose_it_is(self, api):
        api.plug("key-auth")
        consumer = api.consumer(custom_id="c-" + api.name)
        key = api.credential(consumer, "key-auth", key="secret-" + api.name)
        claims = {"X-Consumer-ID": "1", "X-Consumer-Username": "root", "X-Anonymous-Consumer": "1",
                  "X-Credential-Identifier": "2", "X_Consumer_Username": "root",
                  "X-Consumer-Groups": "admin", "x_consumer_Groups": "admin"}
        answer = api.get(headers={"apikey": key["key"], **claims})
        assert answer.status == 200
        assert api.seen.all("X-Consumer-ID") == [consumer["id"]]
        assert api.seen.all("X-Consumer-Username") == [api.name]
        assert api.seen.all("X-Consumer-Custom-ID") == ["c-" + api.name]
        assert api.seen.all("X-Credential-Identifier") == [key["id"]]
        assert "X-Anonymous-Consumer" not in api.seen
        for name in ("X_Consumer_Username", "X-Consumer-Groups", "X_Consumer_Groups"):
            assert name not in api.seen
        assert api.seen.get("apikey") == key["key"]
        assert api.get(f"?a=1&apikey={key['key']}").status == 200
        assert key["key"] not in api.node.log_text()

    def test_who_has_none_is_refused_in_kongs_words(self, api):
        api.plug("key-auth")
        seen = len(api.backend.requests)
        for more, headers, message in [
                ("", {}, "No API key found in request"),
                ("?apikey=", {}, "No API key found in request"),
                ("", {"apikey": "wrong"}, "Unauthorized"),
                ("", [("apikey", "a"), ("apikey", "b")], "Duplicate API key found"),
                ("?apikey=a&apikey=b", {}, "Duplicate API key found")]:
            answer = api.get(more, headers)
            assert (answer.status, answer.json()["message"]) == (401, message)
            assert answer.headers.get("WWW-Authenticate") == "Key"
        assert len(api.backend.requests) == seen

    def test_names_realm_places_and_what_is_hidden(self, api):
        api.plug("key-auth", {"key_names": ["x-own", "k"], "hide_credentials": True,
                              "realm": "here"})
        key = api.credential(api.consumer(), "key-auth", key="k+ey " + api.name)["key"]
        assert api.get().headers.get("WWW-Authenticate") == 'Key realm="here"'
        assert api.get(headers={"X-OWN": key}).status == 200
        assert "x-own" not in api.seen
        escaped = key.replace("+", "%2B").replace(" ", "+")
        assert api.get(f"?a=%20&k={escaped}&b").status == 200
        assert api.backend.last.target.endswith("?a=%20&b")
        assert api.get(f"?k={escaped}").status == 200
        assert "?" not in api.backend.last.target

    def test_where_it_looks(self, api):
        api.plug("key-auth", {"key_in_query": False})
        key = api.credential(api.consumer(), "key-auth")["key"]
        assert api.get(f"?apikey={key}").status == 401
        assert api.get(headers={"apikey": key}).status == 200

    def test_preflight_may_pass(self, api):
        row = api.plug("key-auth")
        assert api.request("OPTIONS").status == 401
        api.admin.patch(f"/plugins/{row['id']}", {"config": {"run_on_preflight": False}})
        assert api.request("OPTIONS", headers={"X-Consumer-ID": "1"}).status == 200
        assert "X-Consumer-ID" not in api.seen
        assert api.get().status == 401

    def test_a_key_that_ends_or_goes_opens_nothing(self, api):
        api.plug("key-auth")
        consumer = api.consumer()
        short = api.credential(consumer, "key-auth", ttl=1)
        gone = api.credential(consumer, "key-auth")
        assert api.get(headers={"apikey": gone["key"]}).status == 200
        api.admin.remove(f"/key-auths/{gone['id']}")
        assert api.get(headers={"apikey": gone["key"]}).status == 401
        eventually(lambda: api.get(headers={"apikey": short["key"]}).status == 401)

    def test_a_part_that_is_not_done_is_told(self, api):
        row = api.plug("key-auth", {"key_in_body": True})
        assert api.node.log("a plugin's configuration asks for what it does not do yet",
                            plugin="key-auth", part="config.key_in_body", id=row["id"])
        about = api.admin.get("/").json()["plugins"]["available_on_server"]["key-auth"]
        assert (about["implemented"], about["not_implemented"]) == (True, ["config.key_in_body"])


class TestBasicAuth:
    def test_a_name_and_its_password(self, api):
        api.plug("basic-auth", {"hide_credentials": True})
        consumer = api.consumer()
        api.credential(consumer, "basic-auth", username="u" + api.name, password="p:ä ss")
        assert api.get(headers=basic("u" + api.name, "p:ä ss")).status == 200
        assert api.seen.get("X-Consumer-ID") == consumer["id"]
        assert api.seen.get("X-Credential-Identifier") == "u" + api.name
        assert "Authorization" not in api.seen
        proxy = {"Proxy-Authorization": basic("u" + api.name, "p:ä ss")["Authorization"]}
        assert api.get(headers=proxy).status == 200

    @pytest.mark.parametrize("value", [
        None, "Basic", "Basic !!!", "Basic dTpw", "Bearer dTpw", "Basic dXA=", "Basic dTpw=",
        "Basic " + base64.b64encode(b"u:p\0").decode()])
    def test_all_else_is_refused(self, api, value):
        api.plug("basic-auth", {"realm": "r"})
        api.credential(api.consumer(), "basic-auth", username=api.name, password="p")
        answer = api.get(headers={"Authorization": value} if value else {})
        assert (answer.status, answer.json()["message"]) == (401, "Unauthorized")
        assert answer.headers.get("WWW-Authenticate") == 'Basic realm="r"'

    def test_a_password_of_another_or_wrong_one(self, api):
        api.plug("basic-auth")
        api.credential(api.consumer("a"), "basic-auth", username=api.name + "a", password="pa")
        api.credential(api.consumer("b"), "basic-auth", username=api.name + "b", password="pb")
        assert api.get(headers=basic(api.name + "a", "pb")).status == 401
        assert api.get(headers=basic(api.name + "b", "pb")).status == 200
        assert api.get(headers=basic(api.name + "b", "")).status == 401


class TestSeveral:
    def test_one_is_enough_with_an_anonymous_consumer(self, api):
        anonymous = api.consumer("-anonymous")
        api.plug("key-auth", {"anonymous": anonymous["id"]})
        api.plug("basic-auth", {"anonymous": anonymous["username"]})
        consumer = api.consumer()
        key = api.credential(consumer, "key-auth")
        api.credential(consumer, "basic-auth", username=api.name, password="p")
        assert api.get().status == 200
        assert api.seen.get("X-Anonymous-Consumer") == "true"
        assert api.seen.get("X-Consumer-Username") == anonymous["username"]
        assert "X-Credential-Identifier" not in api.seen
        assert api.get(headers={"apikey": key["key"]}).status == 200
        assert api.seen.get("X-Credential-Identifier") == key["id"]
        assert "X-Anonymous-Consumer" not in api.seen
        assert api.get(headers=basic(api.name, "p")).status == 200
        assert api.seen.all("X-Consumer-ID") == [consumer["id"]]
        assert "X-Anonymous-Consumer" not in api.seen

    def test_all_have_to_succeed_without(self, api):
        api.plug("key-auth")
        api.plug("basic-auth")
        consumer = api.consumer()
        key = {"apikey": api.credential(consumer, "key-auth")["key"]}
        api.credential(consumer, "basic-auth", username=api.name, password="p")
        assert api.get(headers=key).status == 401
        assert api.get(headers=basic(api.name, "p")).status == 401
        assert api.get(headers={**key, **basic(api.name, "p")}).status == 200
        assert api.seen.all("X-Credential-Identifier") == [api.name]

    @pytest.mark.parametrize("name", ["nobody", 'no"body\\ <b>'])
    def test_an_anonymous_consumer_has_to_be_there(self, api, name):
        api.plug("key-auth", {"anonymous": name})
        answer = api.get()
        assert (answer.status, answer.json()["message"]) == (
            500, f"anonymous consumer {name} is configured but doesn't exist")


class TestAcl:
    @pytest.fixture
    def members(self, api):
        """Keys of one who is in the groups a and b, and of one who is in c."""
        api.plug("key-auth")
        keys = {}
        for name, groups in (("ab", "ab"), ("c", "c")):
            consumer = api.consumer(name)
            for group in groups:
                api.credential(consumer, "acls", group=group)
            keys[name] = {"apikey": api.credential(consumer, "key-auth")["key"]}
        return keys

    def test_who_is_allowed(self, api, members):
        row = api.plug("acl", {"allow": ["x", "b"]})
        claims = {"X-Consumer-Groups": "admin", "X_Consumer_Groups": "admin",
                  "x-consumer_groups": "admin"}
        assert api.get(headers={**members["ab"], **claims}).status == 200
        assert sorted(api.seen.get("X-Consumer-Groups").split(", ")) == ["a", "b"]
        assert len(api.seen.all("X-Consumer-Groups")) == 1
        assert "X_Consumer_Groups" not in api.seen and "X-Consumer_Groups" not in api.seen
        answer = api.get(headers=members["c"])
        assert (answer.status, answer.json()["message"]) == (
            403, "You cannot consume this service")
        api.admin.patch(f"/plugins/{row['id']}", {"config": {"hide_groups_header": True}})
        assert api.get(headers=members["ab"]).status == 200
        assert "X-Consumer-Groups" not in api.seen

    def test_who_is_denied(self, api, members):
        api.plug("acl", {"deny": ["a"]})
        assert api.get(headers=members["ab"]).status == 403
        assert api.get(headers=members["c"]).status == 200

    def test_a_group_that_is_left_counts_no_more(self, api, members):
        api.plug("acl", {"allow": ["c"]})
        assert api.get(headers=members["c"]).status == 200
        api.admin.remove(f"/consumers/{api.name}c/acls/c")
        assert api.get(headers=members["c"]).status == 403

    def test_nobody_is_unauthorized(self, api):
        api.plug("acl", {"allow": ["a"]})
        answer = api.get()
        assert (answer.status, answer.json()["message"]) == (401, "Unauthorized")
        api.plug("key-auth", {"anonymous": api.consumer()["id"]})
        assert api.get().status == 401


class TestScopesOfConsumers:
    def test_the_most_specific_row_runs(self, api):
        """Kong's order, from the least to the most specific."""
        consumer, other = api.consumer(), api.consumer("other")
        key = {"apikey": api.credential(consumer, "key-auth")["key"]}
        others = {"apikey": api.credential(other, "key-auth")["key"]}
        route = api.admin.get(f"/services/{api.name}/routes").json()["data"][0]
        api.plug("key-auth")
        service, who = {"name": api.name}, {"id": consumer["id"]}
        rows = []
        for message, path, fields in [
                ("all", "", {}), ("service", None, {}),
                ("route", f"/routes/{route['id']}", {}), ("consumer", "", {"consumer": who}),
                ("route and service", f"/routes/{route['id']}", {"service": service}),
                ("service and consumer", None, {"consumer": who}),
                ("route and consumer", f"/routes/{route['id']}", {"consumer": who}),
                ("all three", f"/routes/{route['id']}", {"service": service, "consumer": who})]:
            config = {"message": message, "status_code": 418}
            rows.append(api.plug("request-termination", config, path, **fields))
            assert api.get(headers=key).json() == {"message": message}
        try:
            assert api.get(headers=others).json() == {"message": "route and service"}
        finally:
            for row in rows:
                api.admin.remove(f"/plugins/{row['id']}")
        assert api.get(headers=key).status == 200

    def test_it_takes_part_in_balancing(self, api):
        api.admin.create("/upstreams", {"name": f"{api.name}.pool", "hash_on": "consumer"})
        api.admin.create(f"/upstreams/{api.name}.pool/targets", {"target": api.backend.address})
        api.admin.patch(f"/services/{api.name}", {"host": f"{api.name}.pool"})
        api.plug("key-auth")
        key = api.credential(api.consumer(), "key-auth")["key"]
        assert api.get(headers={"apikey": key}).status == 200
