"""The document at /openapi.json: it is one, and real answers are what it says."""

import json

import jsonschema
import pytest

from test_round_trip import everything, pem  # noqa: F401 (fixtures)

DIALECT = jsonschema.Draft202012Validator


def operations(document):
    for path, item in document["paths"].items():
        for verb in ("get", "post", "put", "patch", "delete"):
            if verb in item:
                yield path, verb, item[verb]


@pytest.fixture
def loaded(new_weir, weir_command, tmp_path, everything):  # noqa: F811
    (tmp_path / "all.json").write_text(json.dumps(everything))
    data = str(tmp_path / "data")
    assert weir_command("config", "import", "all.json", WEIR_DATA_DIR=data).returncode == 0
    return new_weir(DATA_DIR=data)


class Described:
    def __init__(self, admin):
        self.admin = admin
        self.document = admin.get("/openapi.json").json()

    def check(self, path, verb, answer):
        """That the answer is one that the document has for the path of that form."""
        answers = self.document["paths"][path][verb]["responses"]
        said = answers.get(str(answer.status_code)) or answers.get(
            f"{answer.status_code // 100}XX") or answers["default"]
        if "$ref" in said:
            said = self.at(said["$ref"])
        if "content" not in said:
            assert not answer.content, (path, verb, answer.text)
            return
        schema = {**said["content"]["application/json"]["schema"],
                  "components": self.document["components"]}
        errors = list(DIALECT(schema).iter_errors(answer.json()))
        assert not errors, (path, verb, errors[0].message, list(errors[0].path))

    def at(self, reference):
        node = self.document
        for step in reference[2:].split("/"):
            node = node[step]
        return node


def test_it_is_a_document(weir):
    described = Described(weir.admin)
    document = described.document
    assert document["openapi"] == "3.1.0"
    for name, schema in document["components"]["schemas"].items():
        DIALECT.check_schema(schema)
        assert name.removesuffix(".input") in document["components"]["schemas"]
    seen = 0
    for path, verb, operation in operations(document):
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        given = [one["name"] for one in document["paths"][path].get("parameters", [])]
        assert given == names and len(set(names)) == len(names), path
        assert operation["responses"], path
        for reference in [value["$ref"] for value in operation["responses"].values()
                          if "$ref" in value]:
            assert described.at(reference)
        seen += 1
    assert seen > 200
    # It has the paths that /endpoints lists.
    listed = weir.admin.get("/endpoints").json()["data"]
    assert {path.split("/")[1] for path in listed} == {
        path.split("/")[1] for path in document["paths"]}
    assert len(document["paths"]) >= len(set(listed)) - 5


def test_lists_and_entities_are_what_it_says(loaded):
    described = Described(loaded.admin)
    checked = set()
    for path, verb, operation in operations(described.document):
        if verb != "get" or "{" in path or operation["tags"] == ["node"]:
            continue
        answer = loaded.admin.get(path)
        assert answer.status_code == 200
        described.check(path, "get", answer)
        rows = answer.json()["data"]
        assert rows, path
        for row in rows:
            single = f"{path}/{{{operation['tags'][0]}}}"
            described.check(single, "get", loaded.admin.get(f"{path}/{row['id']}"))
        checked.add(path)
    described.check("/upstreams/{upstreams}/targets", "get",
                    loaded.admin.get("/upstreams/u.example/targets"))
    assert len(checked) >= 17


def test_a_plugins_configuration_is_told_field_by_field(weir):
    document = weir.admin.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    names = weir.admin.get("/plugins/enabled").json()["enabled_plugins"]
    assert set(schemas["plugins"]["discriminator"]["mapping"]) >= set(names)
    assert schemas["plugins.cors"]["properties"]["config"]["properties"]["max_age"]
    whole = DIALECT({"$ref": "#/components/schemas/plugins.input", "components": document["components"]})
    assert whole.is_valid({"name": "rate-limiting", "config": {"minute": 5, "policy": "local"}})
    for wrong in ({"name": "rate-limiting", "config": {"minute": "five"}},
                  {"name": "rate-limiting", "config": {"max_age": 5}},
                  {"name": "cors", "config": {"minute": 5}},
                  {"name": "nobodys"}):
        assert not whole.is_valid(wrong), wrong


def test_writes_and_refusals_are_what_it_says(weir):
    described = Described(weir.admin)
    admin = weir.admin
    described.check("/services", "post", admin.post("/services", {"name": "s", "host": "h"}))
    described.check("/services", "post", admin.post("/services", {"name": "s", "host": "h"}))
    described.check("/services", "post", admin.post("/services", {"port": -1}))
    described.check("/services/{services}", "patch", admin.patch("/services/s", {"port": 5}))
    described.check("/services/{services}", "patch", admin.patch("/services/none", {"port": 5}))
    described.check("/services/{services}", "put", admin.put("/services/t", {"host": "h"}))
    described.check("/services/{services}/routes", "post",
                    admin.post("/services/s/routes", {"paths": ["/"]}))
    described.check("/services/{services}", "delete", admin.delete("/services/s"))
    described.check("/services/{services}", "delete", admin.delete("/services/t"))
    described.check("/services/{services}", "get", admin.get("/services/none"))
    described.check("/plugins", "post", admin.post("/plugins", {"name": "key-auth"}))
    described.check("/status", "get", admin.get("/status"))
    described.check("/", "get", admin.get("/"))
