"""The plugin hmac-auth."""

import base64
import email.utils
import hashlib
import hmac
import time

import pytest

from support import plugins


@pytest.fixture(scope="module")
def make_api(node):
    yield from plugins.site(node)


@pytest.fixture
def api(make_api):
    return make_api()


@pytest.fixture
def secret(api):
    """Of a consumer whose user is called like the service."""
    return api.credential(api.consumer(), "hmac-auth", username=api.name)["secret"]


def now(ahead=0):
    return email.utils.formatdate(time.time() + ahead, usegmt=True)


def claim(name, secret, parts, algorithm="sha256"):
    """parts: what is signed, as (name, line) each."""
    text = "\n".join(line for _, line in parts).encode()
    signature = base64.b64encode(
        hmac.new(secret.encode(), text, getattr(hashlib, algorithm)).digest()).decode()
    return (f'hmac username="{name}", algorithm="hmac-{algorithm}", '
            f'headers="{" ".join(part for part, _ in parts)}", signature="{signature}"')


def said(answer):
    return answer.status, answer.json()["message"]


def test_a_signature_tells_who_it_is(api, secret):
    api.plug("hmac-auth")
    date = now()
    parts = [("date", f"date: {date}"), ("request-line", f"GET {api.path}/x?a=1 HTTP/1.1"),
             ("@request-target", f"@request-target: get {api.path}/x?a=1"),
             ("x-own", "x-own: 1"), ("x-none", "x-none:")]
    for field in ("Authorization", "Proxy-Authorization"):
        headers = {field: claim(api.name, secret, parts), "Date": date, "X-Own": "1"}
        assert api.get("/x?a=1", headers).status == 200
        assert api.seen.get("X-Consumer-Username") == api.name
        assert api.seen.get("X-Credential-Identifier") == api.name
        assert said(api.get("/x?a=2", headers)) == (401, "HMAC signature does not match")
    assert secret not in api.node.log_text()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_algorithms(api, secret, algorithm):
    row = api.plug("hmac-auth", {"hide_credentials": True})
    date = now()
    headers = {"X-Date": date, "Authorization": claim(
        api.name, secret, [("x-date", f"x-date: {date}")], algorithm)}
    assert api.get(headers=headers).status == 200
    assert "Authorization" not in api.seen
    others = [f"hmac-{name}" for name in ("sha1", "sha256", "sha384", "sha512")
              if name != algorithm]
    api.admin.patch(f"/plugins/{row['id']}", {"config": {"algorithms": others}})
    assert said(api.get(headers=headers)) == (401, "HMAC signature cannot be verified")


def test_kongs_words(api, secret):
    api.plug("hmac-auth", {"enforce_headers": ["date"]})
    date, old = now(), now(-1000)
    good = claim(api.name, secret, [("date", f"date: {date}")])
    no_date = ("HMAC signature cannot be verified, a valid date or x-date header is required for "
               "HMAC Authentication")
    answer = api.get()
    assert said(answer) == (401, "Unauthorized")
    assert answer.headers.get("WWW-Authenticate") == "hmac"
    for headers, message in [
            ({"Authorization": good}, no_date),
            ({"Authorization": good, "Date": "yesterday"}, no_date),
            ({"Authorization": claim(api.name, secret, [("date", f"date: {old}")]), "Date": old},
             no_date),
            ({"Authorization": "hmac what", "Date": date}, "HMAC signature cannot be verified"),
            ({"Authorization": claim("nobody", secret, [("date", f"date: {date}")]), "Date": date},
             "HMAC signature cannot be verified"),
            ({"Authorization": claim(api.name, secret, [("host", "host: localhost")]),
              "Date": date}, "HMAC signature cannot be verified"),
            ({"Authorization": claim(api.name, secret + "x", [("date", f"date: {date}")]),
              "Date": date}, "HMAC signature does not match")]:
        assert said(api.get(headers=headers)) == (401, message), headers
    assert api.get(headers={"Authorization": good, "Date": date}).status == 200


def test_a_date_that_is_not_signed_makes_no_old_signature_new(api, secret):
    api.plug("hmac-auth")
    old, date = now(-1000), now()
    for signed, other in (("date", "x-date"), ("x-date", "date")):
        headers = {"Authorization": claim(api.name, secret, [(signed, f"{signed}: {old}")]),
                   signed: old, other: date}
        answer = api.get(headers=headers)
        assert answer.status == 401 and "a valid date or x-date header" in answer.json()["message"]
    good = claim(api.name, secret, [("date", f"date: {date}")])
    assert api.get(headers={"Authorization": good, "Date": date, "X-Date": old}).status == 200
    good = claim(api.name, secret, [("request-line", f"GET {api.path} HTTP/1.1")])
    assert api.get(headers={"Authorization": good, "X-Date": date}).status == 200


def test_content_that_nobody_can_check_is_refused(api, secret):
    row = api.plug("hmac-auth", {"validate_request_body": True})
    assert api.node.log("a plugin's configuration asks for what it does not do yet",
                        plugin="hmac-auth", part="config.validate_request_body", id=row["id"])
    date = now()
    headers = {"Date": date,
               "Authorization": claim(api.name, secret, [("date", f"date: {date}")])}
    assert api.get(headers=headers).status == 200
    assert said(api.request("POST", headers=headers, body=b"x")) == (
        401, "HMAC signature does not match")
    assert said(api.get(headers={**headers, "Digest": "SHA-256=x"}))[0] == 401
