"""Every entity's fields, defaults, messages, paths and ends, as tables; one node for all of them."""

import hashlib
import re
import time
import uuid

import pytest

from support.waiting import eventually

MADE_TEXT = re.compile(r"[0-9A-Za-z]{32}")


@pytest.fixture
def admin(node):
    return node.admin


@pytest.fixture
def consumer(admin):
    """A consumer of this test alone."""
    return admin.create("/consumers", {"username": unique("consumer")})


def unique(prefix="x"):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def refused(answer, fields):
    """A schema violation with exactly these fields, and Kong's sentence made of them."""
    body = answer.json()
    assert answer.status_code == 400, answer.text
    assert (body["code"], body["name"]) == (2, "schema violation"), body
    assert body["fields"] == fields
    assert body["message"].startswith("schema violation (" if len(fields) == 1 else "")


def taken(answer, fields):
    assert answer.status_code == 409, answer.text
    body = answer.json()
    assert (body["code"], body["name"]) == (5, "unique constraint violation")
    assert body["fields"] == fields
    assert body["message"].startswith("UNIQUE violation detected on '{")


PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""
TAG_WORDS = "expected printable ascii (except `,` and `/`) or valid utf-8 sequences"

# What an entity's rows are made of at least, and what a row then looks like besides id and
# timestamps. A credential's consumer comes from the path.
CREDENTIALS = {
    "key-auth": dict(path="/key-auths", schema="keyauth_credentials", key="key",
                     minimal=lambda: {}, made={"key"}, defaults={"tags": None, "ttl": None}),
    "basic-auth": dict(path="/basic-auths", schema="basicauth_credentials", key="username",
                       minimal=lambda: {"username": unique(), "password": "p"}, made=set(),
                       defaults={"tags": None}),
    "jwt": dict(path="/jwts", schema="jwt_secrets", key="key", minimal=lambda: {},
                made={"key", "secret"},
                defaults={"tags": None, "algorithm": "HS256", "rsa_public_key": None}),
    "hmac-auth": dict(path="/hmac-auths", schema="hmacauth_credentials", key="username",
                      minimal=lambda: {"username": unique()}, made={"secret"},
                      defaults={"tags": None}),
    "acls": dict(path="/acls", schema="acls", key=None, minimal=lambda: {"group": unique()},
                 made=set(), defaults={"tags": None}),
    "oauth2": dict(path="/oauth2", schema="oauth2_credentials", key="client_id",
                   minimal=lambda: {"name": "app"}, made={"client_id", "client_secret"},
                   defaults={"tags": None, "hash_secret": False, "redirect_uris": None,
                             "client_type": "confidential"}),
}

# nested path, field, good value, bad value, the bad value's message
CREDENTIAL_FIELDS = [
    ("key-auth", "key", "k", 1, "expected a string"),
    ("key-auth", "key", "k2", "", "length must be at least 1"),
    ("key-auth", "ttl", 60, 100000001, "value should be between 0 and 100000000"),
    ("key-auth", "ttl", 61, "60", "expected an integer"),
    ("basic-auth", "username", "someone@example", None, "required field missing"),
    ("basic-auth", "password", "x", None, "required field missing"),
    ("jwt", "key", "issuer", {}, "expected a string"),
    ("jwt", "secret", "s", False, "expected a string"),
    ("jwt", "rsa_public_key", PUBLIC_KEY, 5, "expected a string"),
    ("jwt", "algorithm", "HS512", "none", "expected one of: HS256, HS384, HS512, RS256, RS384, "
     "RS512, ES256, ES384, ES512, PS256, PS384, PS512, EdDSA"),
    ("hmac-auth", "username", "hmac user", None, "required field missing"),
    ("hmac-auth", "secret", "s", [], "expected a string"),
    ("acls", "group", "admins and others", None, "required field missing"),
    ("oauth2", "name", "An application", None, "required field missing"),
    ("oauth2", "client_id", "id-1", 1, "expected a string"),
    ("oauth2", "client_secret", "s", 1, "expected a string"),
    ("oauth2", "hash_secret", True, "yes", "expected a boolean"),
    ("oauth2", "redirect_uris", ["https://a.example/x"], ["a"], ["cannot parse 'a'"]),
    ("oauth2", "redirect_uris", [], ["http://a/#b"], ["fragment not allowed in 'http://a/#b'"]),
    ("oauth2", "client_type", "public", "x", "expected one of: confidential, public"),
] + [(path, "tags", ["a b", "ü"], ["a,b"], [f"invalid tag 'a,b': {TAG_WORDS}"])
     for path in CREDENTIALS] + [
    (path, "id", str(uuid.UUID(int=n + 1)), "1", "expected a valid UUID")
    for n, path in enumerate(CREDENTIALS)] + [
    (path, "created_at", 1700000000, -1, "expected a valid timestamp") for path in CREDENTIALS]


class TestConsumers:
    def test_a_row_has_every_field(self, admin):
        name = unique()
        row = admin.create("/consumers", {"username": name})
        uuid.UUID(row.pop("id"))
        assert row.pop("created_at") == row.pop("updated_at")
        assert row == {"username": name, "custom_id": None, "tags": None}

    @pytest.mark.parametrize("body, fields", [
        ({}, {"@entity": ["at least one of these fields must be non-empty: 'custom_id', "
                          "'username'"]}),
        ({"username": 1}, {"username": "expected a string"}),
        ({"username": ""}, {"username": "length must be at least 1"}),
        ({"custom_id": True}, {"custom_id": "expected a string"}),
        ({"username": "u", "type": 0}, {"type": "unknown field"}),
        ({"username": "u", "tags": "a"}, {"tags": "expected a set"}),
        ({"username": "u", "tags": ["a/b"]}, {"tags": [f"invalid tag 'a/b': {TAG_WORDS}"]}),
    ])
    def test_a_bad_body_is_refused_field_by_field(self, admin, body, fields):
        refused(admin.post("/consumers", body), fields)
        refused(admin.post("/schemas/consumers/validate", body), fields)

    def test_a_patch_may_not_leave_it_without_a_name(self, admin, consumer):
        refused(admin.patch(f"/consumers/{consumer['id']}", {"username": None}),
                {"@entity": ["when updating, at least one of these fields must be non-empty: "
                             "'custom_id', 'username'"]})

    def test_names_are_free_texts_in_paths(self, admin):
        name = f"Ann O'Nymous {unique()} @example/x"
        row = admin.create("/consumers", {"username": name})
        found = admin.get("/consumers/" + name.replace(" ", "%20").replace("/", "%2F"))
        assert found.json() == row

    def test_names_are_taken_once(self, admin, consumer):
        taken(admin.post("/consumers", {"username": consumer["username"]}),
              {"username": consumer["username"]})
        custom = unique()
        admin.create("/consumers", {"custom_id": custom})
        taken(admin.put(f"/consumers/{unique()}", {"custom_id": custom}), {"custom_id": custom})

    def test_a_list_may_be_asked_for_a_custom_id(self, admin):
        custom = unique()
        row = admin.create("/consumers", {"custom_id": custom})
        assert admin.get(f"/consumers?custom_id={custom}").json() == {"data": [row], "next": None}
        assert admin.get("/consumers?custom_id=none").json() == {"data": [], "next": None}
        empty = admin.get("/consumers?custom_id=")
        assert empty.status_code == 400
        assert empty.json() == {"message": "custom_id must be an unempty string"}

    def test_its_credentials_go_with_it(self, admin, consumer):
        ids = [(kind["path"], admin.create(f"/consumers/{consumer['id']}/{path}",
                                           kind["minimal"]())["id"])
               for path, kind in CREDENTIALS.items()]
        admin.remove(f"/consumers/{consumer['username']}")
        for path, row_id in ids:
            assert admin.get(f"{path}/{row_id}").status_code == 404, path


@pytest.mark.parametrize("path", CREDENTIALS)
class TestEveryCredential:
    def test_a_row_has_every_field(self, admin, consumer, path):
        kind = CREDENTIALS[path]
        given = kind["minimal"]()
        row = admin.create(f"/consumers/{consumer['username']}/{path}", given)
        assert row.pop("consumer") == {"id": consumer["id"]}
        uuid.UUID(row.pop("id"))
        assert isinstance(row.pop("created_at"), int)
        for name in kind["made"]:
            assert MADE_TEXT.fullmatch(row.pop(name)), name
        if path == "basic-auth":
            given["password"] = hashlib.sha1(("p" + consumer["id"]).encode()).hexdigest()
        assert row == {**kind["defaults"], **given}

    def test_its_schema_has_the_rows_fields(self, admin, consumer, path):
        kind = CREDENTIALS[path]
        row = admin.create(f"/consumers/{consumer['id']}/{path}", kind["minimal"]())
        schema = admin.get(f"/schemas/{kind['schema']}").json()
        names = [name for field in schema["fields"] for name in field]
        assert sorted(names) == sorted(row)
        fields = {name: field[name] for field in schema["fields"] for name in field}
        assert fields["consumer"] == {"type": "foreign", "required": True,
                                      "reference": "consumers", "on_delete": "cascade"}
        for name, default in kind["defaults"].items():
            assert fields[name].get("default") == default, name

    def test_it_needs_a_consumer(self, admin, path):
        kind = CREDENTIALS[path]
        refused(admin.post(kind["path"], kind["minimal"]()),
                {"consumer": "required field missing"})
        missing = str(uuid.uuid4())
        answer = admin.post(kind["path"], {**kind["minimal"](), "consumer": {"id": missing}})
        assert answer.status_code == 400
        assert answer.json()["code"] == 4
        assert answer.json()["fields"] == {"consumer": {"id": missing}}

    def test_both_paths_lead_to_it(self, admin, consumer, path):
        kind = CREDENTIALS[path]
        row = admin.create(kind["path"], {**kind["minimal"](),
                                          "consumer": {"username": consumer["username"]}})
        nested = f"/consumers/{consumer['id']}/{path}"
        for where in (f"{kind['path']}/{row['id']}", f"{nested}/{row['id']}"):
            assert admin.get(where).json() == row
        assert admin.get(nested).json() == {"data": [row], "next": None}
        assert admin.get(f"{kind['path']}/{row['id']}/consumer").json() == consumer
        if kind["key"]:
            assert admin.get(f"{kind['path']}/{row[kind['key']]}").json() == row
            assert admin.get(f"{nested}/{row[kind['key']]}").json() == row

    def test_it_is_another_consumers_no_more_than_nobodys(self, admin, consumer, path):
        kind = CREDENTIALS[path]
        row = admin.create(f"/consumers/{consumer['id']}/{path}", kind["minimal"]())
        other = admin.create("/consumers", {"username": unique()})
        nested = f"/consumers/{other['id']}/{path}"
        assert admin.get(nested).json()["data"] == []
        assert admin.get(f"{nested}/{row['id']}").status_code == 404
        assert admin.delete(f"{nested}/{row['id']}").status_code == 404
        assert admin.get(f"/consumers/nobody/{path}").status_code == 404

    def test_put_creates_and_replaces_with_ids_of_the_clients(self, admin, consumer, path):
        kind = CREDENTIALS[path]
        where = f"/consumers/{consumer['id']}/{path}/{uuid.uuid4()}"
        body = {**kind["minimal"](), "consumer": {"id": consumer["id"], "username": "as decK"}}
        first = admin.put(where, {**body, "tags": ["one"]})
        assert (first.status_code, first.json()["tags"]) == (200, ["one"])
        second = admin.put(where, body)
        assert (second.status_code, second.json()["tags"]) == (200, None)
        assert admin.patch(where, {"tags": ["two"]}).json()["tags"] == ["two"]
        admin.remove(where)
        assert admin.get(where).status_code == 404

    def test_lists_are_filtered_by_tags_and_paged(self, admin, consumer, path):
        kind = CREDENTIALS[path]
        tag = unique("tag")
        rows = [admin.create(f"/consumers/{consumer['id']}/{path}",
                             {**kind["minimal"](), "tags": [tag, f"n{n}"]}) for n in range(3)]
        ids = sorted(row["id"] for row in rows)
        page = admin.get(f"{kind['path']}?size=2&tags={tag}").json()
        assert [row["id"] for row in page["data"]] == ids[:2]
        rest = admin.get(page["next"]).json()
        assert [row["id"] for row in rest["data"]] == ids[2:]
        assert rest["next"] is None and "offset" not in rest
        both = admin.get(f"{kind['path']}?tags={tag},n1").json()["data"]
        assert [row["id"] for row in both] == [rows[1]["id"]]
        either = admin.get(f"{kind['path']}?tags=n0{tag}/{tag}").json()["data"]
        assert len(either) == 3
        page = admin.get(f"/consumers/{consumer['id']}/{path}?size=2").json()
        assert page["next"] == f"/consumers/{consumer['id']}/{path}?offset={page['offset']}"
        assert len(admin.get(page["next"]).json()["data"]) == 1
        tagged = admin.get(f"/tags/{tag}").json()
        assert {entry["entity_id"] for entry in tagged["data"]} == set(ids)
        assert {entry["entity_name"] for entry in tagged["data"]} == {kind["schema"]}


@pytest.mark.parametrize("path, field, good, bad, message", CREDENTIAL_FIELDS)
def test_a_credentials_field_takes_the_good_and_refuses_the_bad(admin, consumer, path, field, good,
                                                               bad, message):
    kind = CREDENTIALS[path]
    where = f"/consumers/{consumer['id']}/{path}"
    refused(admin.post(where, {**kind["minimal"](), field: bad}), {field: message})
    row = admin.create(where, {**kind["minimal"](), field: good})
    hidden = (path, field) in [("basic-auth", "password")]
    counts_down = (path, field) == ("key-auth", "ttl")  # what is left of it
    assert hidden or row[field] == good or (counts_down and good - 2 <= row[field] <= good)
    admin.remove(f"{kind['path']}/{row['id']}")


class TestCredentials:
    @pytest.mark.parametrize("path", [p for p in CREDENTIALS if CREDENTIALS[p]["key"]])
    def test_a_key_is_taken_once(self, admin, consumer, path):
        kind = CREDENTIALS[path]
        where = f"/consumers/{consumer['id']}/{path}"
        row = admin.create(where, {**kind["minimal"](), kind["key"]: unique()})
        taken(admin.post(where, {**kind["minimal"](), kind["key"]: row[kind["key"]]}),
              {kind["key"]: row[kind["key"]]})

    def test_a_group_is_taken_once_a_consumer(self, admin, consumer):
        where = f"/consumers/{consumer['id']}/acls"
        admin.create(where, {"group": "g"})
        answer = admin.post(where, {"group": "g"})
        taken(answer, {"consumer": {"id": consumer["id"]}, "group": "g"})
        assert answer.json()["message"] == (
            f"UNIQUE violation detected on '{{consumer={{id=\"{consumer['id']}\"}},group=\"g\"}}'")

    def test_a_group_is_found_and_made_by_its_name(self, admin, consumer):
        where = f"/consumers/{consumer['username']}/acls"
        made = admin.put(f"{where}/admin", {})
        assert (made.status_code, made.json()["group"]) == (200, "admin")
        assert admin.get(f"{where}/admin").json() == made.json()
        admin.remove(f"{where}/admin")
        assert admin.get(f"{where}/admin").status_code == 404

    def test_a_password_is_hashed_when_it_is_written_and_then_left_alone(self, admin, consumer):
        row = admin.create(f"/consumers/{consumer['id']}/basic-auth",
                           {"username": unique(), "password": "hunter2"})
        hashed = hashlib.sha1(("hunter2" + consumer["id"]).encode()).hexdigest()
        assert row["password"] == hashed
        where = f"/basic-auths/{row['id']}"
        assert admin.patch(where, {"tags": ["a"]}).json()["password"] == hashed
        changed = admin.patch(where, {"password": "other"}).json()["password"]
        assert changed == hashlib.sha1(("other" + consumer["id"]).encode()).hexdigest()

    def test_a_key_ends_when_its_time_is_over(self, admin, consumer):
        where = f"/consumers/{consumer['id']}/key-auth"
        key = unique()
        row = admin.create(where, {"key": key, "ttl": 1})
        assert row["ttl"] in (0, 1)
        longer = admin.create(where, {"ttl": 1000})
        assert 0 < admin.get(f"/key-auths/{longer['id']}").json()["ttl"] <= 1000
        eventually(lambda: admin.get(f"/key-auths/{key}").status_code == 404, "the key's end")
        assert [other["id"] for other in admin.get(where).json()["data"]] == [longer["id"]]
        again = admin.create(where, {"key": key})
        assert again["ttl"] is None
        forever = admin.patch(f"/key-auths/{longer['id']}", {"ttl": 0})
        assert forever.json()["ttl"] is None

    def test_a_client_may_not_write_when_a_key_ends(self, admin, consumer):
        refused(admin.post(f"/consumers/{consumer['id']}/key-auth", {"expires_at": 1}),
                {"expires_at": "unknown field"})

    @pytest.mark.parametrize("algorithm", ["RS256", "PS512", "EdDSA"])
    def test_jwt_needs_a_public_key_to_verify_by(self, admin, consumer, algorithm):
        where = f"/consumers/{consumer['id']}/jwt"
        entity = ["failed conditional validation given value of field 'algorithm'"]
        refused(admin.post(where, {"algorithm": algorithm}),
                {"rsa_public_key": "required field missing", "@entity": entity})
        refused(admin.post(where, {"algorithm": algorithm, "rsa_public_key": "no key"}),
                {"rsa_public_key": "invalid key", "@entity": entity})
        admin.create(where, {"algorithm": algorithm, "rsa_public_key": PUBLIC_KEY})

    def test_oauth2_hashes_a_secret_where_asked(self, admin, consumer):
        where = f"/consumers/{consumer['id']}/oauth2"
        row = admin.create(where, {"name": "a", "client_secret": "s", "hash_secret": True})
        assert row["client_secret"].startswith("$pbkdf2-sha512$i=10000,l=32$")
        patched = admin.patch(f"/oauth2/{row['id']}", {"name": "b"}).json()
        assert patched["client_secret"] == row["client_secret"]

    def test_forms_are_coerced_by_the_schema(self, admin, consumer):
        form = {"name": "a", "hash_secret": "false", "redirect_uris": "https://x.example",
                "tags[]": "t", "client_secret": ""}
        answer = admin.request("POST", f"/consumers/{consumer['id']}/oauth2", data=form)
        assert answer.status_code == 201, answer.text
        row = answer.json()
        assert (row["hash_secret"], row["redirect_uris"]) == (False, ["https://x.example"])
        assert MADE_TEXT.fullmatch(row["client_secret"])


class TestTags:
    def test_they_are_listed_with_their_rows_a_page_at_a_time(self, admin):
        tag, other = unique("tag"), unique("tag")
        service = admin.create("/services", {"host": "h", "tags": [tag, other]})
        upstream = admin.create("/upstreams", {"name": unique(), "tags": [tag]})
        both = admin.get(f"/tags/{tag}").json()
        assert both == {"next": None, "data": [
            {"entity_name": "services", "entity_id": service["id"], "tag": tag},
            {"entity_name": "upstreams", "entity_id": upstream["id"], "tag": tag}]}
        page = admin.get(f"/tags/{tag}?size=1").json()
        assert page["data"] == both["data"][:1]
        assert admin.get(page["next"]).json()["data"] == both["data"][1:]
        everything = admin.get("/tags?size=1000").json()["data"]
        assert both["data"][0] in everything
        assert {"entity_name": "services", "entity_id": service["id"], "tag": other} in everything

    def test_a_tag_that_nobody_has_has_no_rows(self, admin):
        assert admin.get("/tags/none").json() == {"data": [], "next": None}

    def test_only_reading_is_possible(self, admin):
        assert admin.post("/tags", {}).status_code == 405
        assert admin.get("/tags?size=0").json()["code"] == 9
