"""The plugin jwt."""

import base64
import time

import pytest

from support import jwt, plugins


@pytest.fixture(scope="module")
def make_api(node):
    yield from plugins.site(node)


@pytest.fixture
def api(make_api):
    return make_api()


@pytest.fixture(scope="module")
def key_of(tmp_path_factory):
    """Keys by algorithm, each made once."""
    keys = {}
    directory = tmp_path_factory.mktemp("keys")

    def make(algorithm):
        if algorithm not in keys:
            keys[algorithm] = jwt.Key(directory, algorithm)
        return keys[algorithm]
    return make


@pytest.fixture
def secret(api):
    """Of a consumer whose tokens say api.name in `iss`."""
    return api.credential(api.consumer(), "jwt", key=api.name)["secret"]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def said(answer):
    return answer.status, answer.json().get("message"), answer.headers.get("WWW-Authenticate")


def test_a_token_tells_who_it_is(api, secret):
    api.plug("jwt")
    token = jwt.make({"iss": api.name}, secret)
    for more, headers in (("", bearer(token)), ("", {"Authorization": f"bearer  {token}"}),
                          (f"?jwt={token}", {}), (f"?jwt={token}", bearer(token))):
        assert api.get(more, headers).status == 200
        assert api.seen.get("X-Consumer-Username") == api.name
        assert api.seen.get("X-Credential-Identifier") == api.name
    assert token.rpartition(".")[2] not in api.node.log_text()


def test_where_tokens_are(api, secret):
    api.plug("jwt", {"uri_param_names": ["t"], "cookie_names": ["c"], "header_names": ["x-token"]})
    token = jwt.make({"iss": api.name}, secret)
    assert api.get(headers={"X-Token": f"Bearer {token}"}).status == 200
    assert api.get(headers={"Cookie": f"a=b; c={token}"}).status == 200
    assert api.get(f"?t={token}").status == 200
    assert api.get(headers=bearer(token)).status == 401
    assert api.get(f"?jwt={token}").status == 401


def test_kongs_words(api, secret):
    api.plug("jwt")
    good = jwt.make({"iss": api.name}, secret)
    head, claims, signature = good.split(".")
    other = jwt.make({"iss": api.name, "a": 1}, secret)
    bad = 'Bearer error="invalid_token"'
    assert said(api.get()) == (401, "Unauthorized", "Bearer")
    assert said(api.get(headers={"Authorization": "Basic YTpi"})) == (401, "Unauthorized", "Bearer")
    for token, message in [
            ("x", "Bad token; invalid JSON"), ("x.y.z", "Bad token; invalid JSON"),
            (f"{head}.{claims}", "Bad token; invalid signature"),
            (f"{head}.{jwt.encode([1])}.{signature}", "Bad token; invalid claims"),
            (f"{jwt.encode({'alg': 'none'})}.{claims}.", "Bad token; invalid alg"),
            (jwt.make({}, secret), "No mandatory 'iss' in claims"),
            (jwt.make({"iss": ""}, secret), "Invalid 'iss' in claims"),
            (jwt.make({"iss": 7}, secret), "Invalid 'iss' in claims"),
            (jwt.make({"iss": "nobody"}, secret), "No credentials found for given 'iss'"),
            (jwt.make({"iss": api.name}, secret, "HS512"), "Invalid algorithm"),
            (jwt.make({"iss": api.name}, secret + "x"), "Invalid signature"),
            (f"{head}.{other.split('.')[1]}.{signature}", "Invalid signature"),
            (f"{head}.{claims}.{signature[:-3]}", "Invalid signature")]:
        assert said(api.get(headers=bearer(token))) == (401, message, bad), token
    for more, headers in ((f"?jwt={good}", bearer(other)), (f"?jwt={good}&jwt={good}", {})):
        assert said(api.get(more, headers)) == (401, "Multiple tokens provided", bad)
    assert "request_id" not in api.get().json()


def test_a_realm(api):
    api.plug("jwt", {"realm": "here"})
    assert said(api.get())[2] == 'Bearer realm="here"'
    assert said(api.get(headers=bearer("x")))[2] == 'Bearer realm="here", error="invalid_token"'


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_longer_digests_of_secrets(api, algorithm):
    api.plug("jwt")
    row = api.credential(api.consumer(), "jwt", key=api.name, algorithm=algorithm)
    token = jwt.make({"iss": api.name}, row["secret"], algorithm)
    assert api.get(headers=bearer(token)).status == 200


@pytest.mark.parametrize("algorithm, other", [
    ("RS256", "PS256"), ("RS512", "RS256"), ("PS256", "RS256"), ("ES256", "ES384"),
    ("ES384", "ES512"), ("ES512", "ES256"), ("EdDSA", "ES256")])
def test_public_keys(api, key_of, algorithm, other):
    api.plug("jwt")
    key = key_of(algorithm)
    api.credential(api.consumer(), "jwt", key=api.name, algorithm=algorithm,
                   rsa_public_key=key.public)
    claims = {"iss": api.name}
    for _ in range(2):  # the key is read once
        assert api.get(headers=bearer(jwt.make(claims, key))).status == 200
    forged = jwt.make(claims, key_of(other), alg=algorithm)
    assert said(api.get(headers=bearer(forged)))[1] == "Invalid signature"
    # What everybody may read is no secret that signs.
    forged = jwt.make(claims, key.public, "HS256")
    assert said(api.get(headers=bearer(forged)))[1] == "Invalid algorithm"


def test_a_key_that_is_not_of_its_algorithm(api, key_of):
    api.plug("jwt")
    key = key_of("RS256")
    api.credential(api.consumer(), "jwt", key=api.name, algorithm="ES256",
                   rsa_public_key=key.public)
    token = jwt.make({"iss": api.name}, key, alg="ES256")
    assert said(api.get(headers=bearer(token)))[1] == "Invalid signature"
    api.credential(api.consumer("b"), "jwt", key=api.name + "b", algorithm="ES256")
    token = jwt.make({"iss": api.name + "b"}, key, alg="ES256")
    assert said(api.get(headers=bearer(token)))[1] == "Invalid key/secret"


def test_claims(api, secret):
    api.plug("jwt", {"claims_to_verify": ["exp", "nbf"], "maximum_expiration": 10000})
    now = int(time.time())
    for claims, body in [
            ({}, {"exp": "must be a number", "nbf": "must be a number"}),
            ({"exp": now - 1000, "nbf": now - 1000}, {"exp": "token expired"}),
            ({"exp": now + 1000, "nbf": now + 1000}, {"nbf": "token not valid yet"}),
            ({"exp": "never", "nbf": now - 1000}, {"exp": "must be a number"}),
            ({"exp": now + 20000, "nbf": now - 1000},
             {"exp": "exceeds maximum allowed expiration"}),
            ({"exp": now + 5000, "nbf": now - 1000}, None)]:
        answer = api.get(headers=bearer(jwt.make({"iss": api.name, **claims}, secret)))
        assert (answer.status, body and answer.json()) == (401 if body else 200, body)


def test_another_claim_and_a_secret_in_base64(api):
    api.plug("jwt", {"key_claim_name": "kid", "secret_is_base64": True})
    secret = b"\xfb\xff\xbf binary"
    api.credential(api.consumer(), "jwt", key=api.name,
                   secret=base64.b64encode(secret).decode())
    assert api.get(headers=bearer(jwt.make({}, secret, kid=api.name))).status == 200
    assert api.get(headers=bearer(jwt.make({"kid": api.name}, secret))).status == 200
    assert said(api.get(headers=bearer(jwt.make({}, secret))))[1] == "No mandatory 'kid' in claims"


def test_preflight_and_the_anonymous(api, secret):
    row = api.plug("jwt", {"run_on_preflight": False})
    assert (api.request("OPTIONS").status, api.get().status) == (200, 401)
    api.admin.patch(f"/plugins/{row['id']}",
                    {"config": {"anonymous": api.consumer("-anonymous")["id"]}})
    assert api.get(headers=bearer("x")).status == 200
    assert api.seen.get("X-Anonymous-Consumer") == "true"
    assert api.get(headers=bearer(jwt.make({"iss": api.name}, secret))).status == 200
    assert "X-Anonymous-Consumer" not in api.seen
