"""Declarative files: as commands, and as all that a node without a database knows."""

import signal

import pytest

from support.waiting import eventually

FILE = """
_format_version: "3.0"
services:
- name: orders
  url: {url}
  tags: [shop]
  routes:
  - name: orders-route
    paths: [/orders]
consumers:
- username: ann
  basicauth_credentials:
  - {{username: ann, password: secret}}
"""


@pytest.fixture
def file(tmp_path, backend):
    path = tmp_path / "kong.yml"
    path.write_text(FILE.format(url=backend.url))
    return path


@pytest.fixture
def without_database(new_weir, file):
    return new_weir(DATABASE="off", DECLARATIVE_CONFIG=str(file))


class TestFiles:
    def settings(self, tmp_path, name="data"):
        return {"WEIR_DATA_DIR": str(tmp_path / name)}

    def test_an_import_says_what_it_changes_and_a_second_one_changes_nothing(
            self, weir_command, tmp_path, file):
        settings = self.settings(tmp_path)
        dry = weir_command("config", "import", "--dry-run", str(file), **settings)
        assert dry.returncode == 0, dry.stderr
        assert "+ services orders (580c8aca-d632-5804-b307-a24326e1e2d5)" in dry.stdout
        assert dry.stdout.splitlines()[-1] == \
            "nothing was imported; it would be: 4 created, 0 changed, 0 unchanged"
        first = weir_command("config", "import", str(file), **settings)
        assert first.stdout.splitlines()[-1] == "imported: 4 created, 0 changed, 0 unchanged"
        second = weir_command("config", "import", str(file), **settings)
        assert second.stdout == "imported: 0 created, 0 changed, 4 unchanged\n"
        file.write_text(file.read_text().replace("tags: [shop]", "tags: [shop, new]\n  retries: 1"))
        third = weir_command("config", "import", str(file), **settings)
        assert third.stdout.splitlines() == [
            "~ services orders (580c8aca-d632-5804-b307-a24326e1e2d5): retries, tags",
            "imported: 0 created, 1 changed, 3 unchanged"]
        assert "secret" not in first.stdout

    @pytest.mark.parametrize("content, lines", [
        ("a: [1, 2\nb: c\n", ["kong.yml:2: can't be read: while parsing a flow sequence, "
                              "did not find expected ',' or ']'"]),
        ('_format_version: "9"\n', ["kong.yml:1: _format_version: expected one of: 1.1, 2.1, 3.0"]),
        ("services: []\n", ["kong.yml:1: _format_version: required field missing"]),
        ('_format_version: "3.0"\nservices:\n- name: a\n  host: h\n  port: 70000\n- name: b\n'
         '  host: h\n  routes:\n  - name: r\n    paths: [x]\n    color: red\n- host: h\n  name: a\n',
         ['kong.yml:5: services "a": port: value should be between 0 and 65535',
          'kong.yml:10: routes "r": color: unknown field; '
          'paths.1: should start with: / (fixed path) or ~/ (regex path)',
          'kong.yml: 2 entities or keys are wrong; nothing was changed']),
        ('_format_version: "3.0"\nroutes:\n- paths: [/]\n  service: gone\n',
         ["kong.yml:4: routes #1: service: invalid reference 'gone' (no such entry in 'services')"]),
        ('_format_version: "3.0"\nservices:\n- name: a\n  host: h\n- name: a\n  host: i\n',
         ["""kong.yml:5: services "a": UNIQUE violation detected on '{name="a"}'"""]),
        ('_format_version: "3.0"\nplugins:\n- name: nosuch\n',
         ["kong.yml:3: plugins \"nosuch\": name: plugin 'nosuch' not enabled; add it to the "
          "'plugins' configuration property"]),
    ])
    def test_errors_name_line_and_entity(self, weir_command, tmp_path, content, lines):
        (tmp_path / "kong.yml").write_text(content)
        for command in (["validate"], ["import"]):
            result = weir_command("config", *command, "kong.yml", **self.settings(tmp_path))
            assert result.returncode == 1
            assert [line[len("error: "):] for line in result.stderr.splitlines()] == lines

    def test_what_would_explode_is_refused(self, weir_command, tmp_path):
        bomb = ['a: &a [' + ','.join(["x"] * 9) + ']']
        for before, name in zip("abcdefghij", "bcdefghijk"):
            bomb.append(f"{name}: &{name} [" + ",".join([f"*{before}"] * 9) + "]")
        for content, why in (("\n".join(bomb), "aliases make too much"),
                             ("a: &a [*a]", "an alias is within what it stands for"),
                             ("a: " + "[" * 100000, "the nesting is too deep"),
                             ('{"a":' + "[" * 1000 + "]" * 1000 + "}", "the nesting is too deep")):
            (tmp_path / "bad.yml").write_text(content)
            result = weir_command("config", "validate", "bad.yml")
            assert result.returncode == 1 and why in result.stderr, result.stderr


class TestWithoutDatabase:
    def test_the_file_routes_and_single_writes_are_refused(self, without_database):
        weir = without_database
        assert weir.get("/orders").status == 200
        service = weir.admin.get("/services/orders").json()
        assert service["id"] == "580c8aca-d632-5804-b307-a24326e1e2d5"
        for method, path, verb, kind in (
                ("POST", "/services", "create", "services"),
                ("PUT", "/services/orders", "create or update", "services"),
                ("PATCH", "/routes/orders-route", "update", "routes"),
                ("DELETE", "/consumers/ann", "remove", "consumers"),
                ("POST", "/services/orders/plugins", "create", "plugins")):
            answer = weir.admin.request(method, path, json={"name": "x", "host": "h"})
            assert answer.status_code == 405
            assert answer.json() == {
                "code": 12, "name": "operation unsupported",
                "message": f"cannot {verb} '{kind}' entities when not using a database"}
        status = weir.admin.get("/status").json()
        assert "database" not in status and len(status["configuration_hash"]) == 32
        assert weir.admin.get("/").json()["configuration"]["database"] == "off"
        assert weir.admin.post("/schemas/services/validate", {"host": "h"}).status_code == 200

    def test_config_is_read_and_replaced(self, without_database, backend):
        weir = without_database
        text = weir.admin.get("/config").json()["config"]
        assert "name: orders" in text
        new = FILE.format(url=backend.url).replace("/orders", "/new")
        before = weir.admin.get("/status").json()["configuration_hash"]
        answer = weir.admin.post("/config", {"config": new})
        assert answer.status_code == 201
        [route] = answer.json()["routes"].values()
        assert route["paths"] == ["/new"] and set(answer.json()) == {
            "services", "routes", "consumers", "basicauth_credentials"}
        assert weir.get("/new").status == 200 and weir.get("/orders").status == 404
        assert weir.admin.get("/status").json()["configuration_hash"] != before
        for kind in ("application/yaml", "text/yaml"):
            assert weir.admin.request("POST", "/config?check_hash=1", data=new,
                                      headers={"Content-Type": kind}).status_code == 304
        whole = {"_format_version": "3.0", "services": [{"name": "one", "host": "h"}]}
        assert weir.admin.post("/config", whole).status_code == 201
        assert [row["name"] for row in weir.admin.get("/services").json()["data"]] == ["one"]
        assert weir.admin.get("/routes").json()["data"] == []
        assert weir.admin.post("/config?check_hash=1", whole).status_code == 304
        form = weir.admin.request("POST", "/config", data={"config": text})
        assert form.status_code == 201 and weir.get("/orders").status == 200
        assert weir.admin.request("POST", "/services", data="a: b",
                                  headers={"Content-Type": "text/yaml"}).status_code == 415

    def test_what_is_wrong_is_told_in_kong_s_words(self, without_database):
        weir = without_database
        bad = {"_format_version": "3.0", "services": [
            {"name": "ok", "host": "h"},
            {"name": "bad", "host": "h", "port": 70000, "tags": ["t"],
             "routes": [{"name": "r", "paths": ["/x"]}]}],
            "upstreams": [{"name": "u", "targets": [{"target": "10.0.0.1:80", "weight": -1}]}]}
        answer = weir.admin.post("/config", bad)
        assert answer.status_code == 400
        port = "value should be between 0 and 65535"
        assert answer.json()["code"] == 14
        assert answer.json()["name"] == "invalid declarative configuration"
        assert answer.json()["message"].startswith("declarative config is invalid: {")
        assert answer.json()["fields"] == {
            "services": [None, {"port": port}],
            "upstreams": [{"targets": [{"weight": port}]}]}
        flat = weir.admin.post("/config?flatten_errors=1", bad).json()
        assert flat["fields"] == {}
        service, target = flat["flattened_errors"]
        assert service["entity_type"] == "service" and service["entity_name"] == "bad"
        assert service["entity_tags"] == ["t"] and service["entity"]["port"] == 70000
        assert service["errors"] == [{"type": "field", "field": "port", "message": port}]
        assert target["entity_type"] == "target" and "entity_name" not in target
        assert weir.admin.get("/services/orders").status_code == 200  # nothing has changed
        assert weir.admin.post("/config", {}).json() == {
            "message": "expected a declarative configuration"}
        assert "error" in weir.admin.post("/config", {"config": "a: ["}).json()["fields"]

    def test_a_reload_reads_the_file_anew(self, without_database, file):
        weir = without_database
        file.write_text(file.read_text().replace("[/orders]", "[/later]"))
        weir.signal(signal.SIGHUP)
        eventually(lambda: weir.get("/later").status == 200, "the file's new route")
        assert weir.get("/orders").status == 404
        file.write_text("_format_version: '3.0'\nservices:\n- name: a\n")
        weir.signal(signal.SIGHUP)
        eventually(lambda: weir.log("the configuration's file is wrong; what it said before "
                                    "stays in force"), "a line in the log")
        assert weir.get("/later").status == 200

    def test_a_wrong_file_keeps_the_node_from_starting(self, weir_command, tmp_path):
        (tmp_path / "kong.yml").write_text('_format_version: "3.0"\nservices:\n- name: a\n')
        result = weir_command("run", KONG_DATABASE="off", KONG_DECLARATIVE_CONFIG="kong.yml",
                              WEIR_ADMIN_LISTEN="off", WEIR_PROXY_LISTEN="off",
                              WEIR_CONSUL_ADDR="off", WEIR_DATA_DIR=str(tmp_path / "data"))
        assert result.returncode == 1
        assert 'kong.yml:3: services "a": host: required field missing' in result.stderr

    def test_a_text_does_as_well_as_a_file_and_is_not_told(self, new_weir, backend):
        text = FILE.format(url=backend.url)
        weir = new_weir(DATABASE="off", DECLARATIVE_CONFIG_STRING=text)
        assert weir.get("/orders").status == 200
        shown = weir.admin.get("/").json()["configuration"]["declarative_config_string"]
        assert shown == "******"

    def test_a_database_has_no_such_endpoint(self, weir):
        words = "this endpoint is only available when Kong is configured to not use a database"
        assert weir.admin.get("/config").status_code == 400
        assert weir.admin.post("/config", {"config": "x"}).json() == {"message": words}
