"""Plugins that change heads on the way: request-transformer, response-transformer."""

import pytest

from support import plugins
from support.backends import response


@pytest.fixture(scope="module")
def make_api(node):
    yield from plugins.site(node)


@pytest.fixture
def api(make_api):
    return make_api()


class TestRequestTransformer:
    def test_headers(self, api):
        api.plug("request-transformer", {
            "remove": {"headers": ["X-Gone", "Accept"]}, "rename": {"headers": ["X-Old:X-New"]},
            "replace": {"headers": ["X-There:new", "X-Not:new"]},
            "add": {"headers": ["X-There:no", "X-Added:yes: really"]},
            "append": {"headers": ["X-List:b"]}})
        api.get(headers=[("X-Gone", "1"), ("x-gone", "2"), ("X-Old", "3"), ("X-There", "old"),
                         ("X-List", "a"), ("X-Stays", "4")])
        seen = api.seen
        assert "X-Gone" not in seen and "X-Old" not in seen and "X-Not" not in seen
        assert [seen.all(name) for name in ("X-New", "X-There", "X-Added", "X-List", "X-Stays")
                ] == [["3"], ["new"], ["yes: really"], ["a", "b"], ["4"]]

    def test_arguments(self, api):
        api.plug("request-transformer", {
            "remove": {"querystring": ["gone"]}, "rename": {"querystring": ["old:new"]},
            "replace": {"querystring": ["there:a&b"]}, "add": {"querystring": ["added:1"]},
            "append": {"querystring": ["list:b"]}})
        api.get("?stays=%7e&gone=1&old=2&there=3&list=a")
        assert api.backend.last.target.partition("?")[2] == (
            "stays=%7e&new=2&there=a%26b&list=a&added=1&list=b")

    def test_values_made_of_the_request(self, api):
        route = api.admin.get(f"/services/{api.name}/routes").json()["data"][0]
        api.admin.patch(f"/routes/{route['id']}",
                        {"paths": [rf"~{api.path}/(?<user>[a-z]+)/(\d+)$"]})
        api.plug("key-auth", {"hide_credentials": True})
        api.plug("request-transformer", {
            "add": {"headers": ["X-User:$(uri_captures.user)", "X-Number:<$(uri_captures[2])>",
                                "X-Who:$(headers['x-consumer-username'])",
                                "X-Key:$(headers.apikey or 'hidden')",
                                "X-Arg:$(query_params.a or \"none\")"]},
            "replace": {"uri": "/of/$(uri_captures.user)?/$(uri_captures['user'])"}})
        key = api.credential(api.consumer(), "key-auth")["key"]
        api.get("/ann/42?a=x%0d%0aX-Evil:%201", headers={"apikey": key})
        assert [api.seen.get(name) for name in ("X-User", "X-Number", "X-Who", "X-Key", "X-Arg")
                ] == ["ann", "<42>", api.name, "hidden", None]
        assert "X-Evil" not in api.seen
        assert api.backend.last.target == "/of/ann%3F/ann?a=x%0d%0aX-Evil:%201"
        api.get("/ann/42", headers={"apikey": key})
        assert api.seen.get("X-Arg") == "none"

    def test_the_host(self, api):
        row = api.plug("request-transformer", {"replace": {"headers": ["host:other.test:81"]}})
        api.get()
        assert api.seen.all("Host") == ["other.test:81"]
        api.admin.patch(f"/plugins/{row['id']}", {"config": {"replace": {
            "headers": ["host:$(headers.x)"]}}})
        api.get(headers={"X": "no host at all/"})
        assert api.seen.all("Host") == [api.backend.address]

    @pytest.mark.parametrize("config, part", [
        ({"http_method": "POST"}, "config.http_method"),
        ({"remove": {"body": ["x"]}}, "config.*.body"),
        ({"add": {"headers": ["Content-Length:5"]}}, "config.*.headers"),
        ({"add": {"headers": ["X:$(os.time())"]}}, "config.*.headers"),
        ({"add": {"querystring": ["x:$(shared.a)"]}}, "config.*.querystring"),
        ({"replace": {"uri": "/$(a)"}}, "config.replace.uri")])
    def test_what_is_not_done_is_told_and_left_out(self, api, config, part):
        row = api.plug("request-transformer", config)
        told = api.node.log("a plugin's configuration asks for what it does not do yet",
                            plugin="request-transformer", id=row["id"])
        assert [entry["part"].partition(":")[0] for entry in told] == [part]
        assert api.request("PUT", body=b"hello").status == 200
        assert (api.backend.last.method, api.backend.last.body) == ("PUT", b"hello")
        assert api.seen.all("Content-Length") == ["5"]
        assert "X" not in api.seen


class TestResponseTransformer:
    CONFIG = {"remove": {"headers": ["X-Gone"]}, "rename": {"headers": ["X-Old:X-New"]},
              "replace": {"headers": ["X-There:new", "X-Not:new"]},
              "add": {"headers": ["X-There:no", "X-Added:$(headers.x)"]},
              "append": {"headers": ["X-List:b"]}}

    def test_headers_of_a_response(self, api):
        api.plug("response-transformer", self.CONFIG)
        api.backend.answer = response(headers=[
            ("X-Gone", "1"), ("X-Old", "2"), ("X-There", "3"), ("X-List", "a")], body="hello")
        try:
            answer = api.get()
        finally:
            api.backend.answer = api.backend._echo
        assert (answer.status, answer.text) == (200, "hello")
        assert "X-Gone" not in answer.headers and "X-Not" not in answer.headers
        assert [answer.headers.all(name) for name in
                ("X-Old", "X-New", "X-There", "X-Added", "X-List")
                ] == [[], ["2"], ["new"], ["$(headers.x)"], ["a", "b"]]

    def test_and_of_weirs_own_answers(self, api):
        api.plug("response-transformer", self.CONFIG)
        api.plug("key-auth")
        answer = api.get()
        assert (answer.status, answer.headers.get("X-Added")) == (401, "$(headers.x)")
        assert answer.headers.all("X-List") == ["b"]

    @pytest.mark.parametrize("config, part", [
        ({"add": {"json": ["a:1"]}}, "config.*.json"),
        ({"remove": {"headers": ["Content-Length"]}}, "config.*.headers")])
    def test_what_is_not_done_is_told_and_left_out(self, api, config, part):
        row = api.plug("response-transformer", config)
        told = api.node.log("a plugin's configuration asks for what it does not do yet",
                            plugin="response-transformer", id=row["id"])
        assert [entry["part"].partition(":")[0] for entry in told] == [part]
        answer = api.get()
        assert int(answer.headers.get("Content-Length")) == len(answer.body)
