"""Whom the Admin API lets in, what it tells of them, and what it never tells."""

import hashlib
import json
import os
import socket
import subprocess

import pytest
import requests

from support.ports import free_port
from support.tls import Authority
from support.waiting import eventually
from support.weir import clean_environment

OPERATOR = "operator-token-0123456789"
READER = "reader-token-0123456789"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class Guarded:
    """A node with tokens; `tokens` rewrites its file."""

    def __init__(self, new_weir, tmp_path, **settings):
        self.file = tmp_path / "tokens"
        self.write(f"# who may\noperator ci {OPERATOR}\n\n"
                   f"read-only grafana sha256:{hashlib.sha256(READER.encode()).hexdigest()}\n")
        self.own = tmp_path / "own-token"
        self.own.write_text(READER + "\n", encoding="ascii")
        self.weir = new_weir(start=False, ADMIN_TOKENS_FILE=self.file, **settings)
        self.weir.admin._session.headers.update(bearer(OPERATOR))
        self.weir.start()

    def write(self, text):
        aside = self.file.with_suffix(".new")
        aside.write_text(text, encoding="ascii")
        aside.chmod(0o600)
        os.replace(aside, self.file)

    def ask(self, method, path, headers=None, **arguments):
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.weir.admin.url + path, headers=headers or {},
                                   timeout=60, **arguments)


@pytest.fixture
def guarded(new_weir, tmp_path):
    return Guarded(new_weir, tmp_path)


class TestTokens:
    def test_nobody_without_a_token_gets_in(self, guarded):
        answer = guarded.ask("GET", "/services")
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="weir"'
        assert answer.headers["Server"].startswith("kong/")
        wrong = guarded.ask("POST", "/services", bearer(OPERATOR + "x"), json={"host": "h"})
        assert wrong.status_code == 401
        assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
        assert guarded.ask("HEAD", "/services").status_code == 401
        assert guarded.ask("GET", "/", {"Authorization": f"Basic {OPERATOR}"}).status_code == 401
        assert guarded.weir.admin.get("/services").json()["data"] == []

    @pytest.mark.parametrize("header", ["bearer", "kong"])
    def test_both_headers_carry_a_token(self, guarded, header):
        fields = {"Kong-Admin-Token": OPERATOR} if header == "kong" else {
            "authorization": f"bearer {OPERATOR}"}
        assert guarded.ask("POST", "/services", fields, json={"host": "h"}).status_code == 201

    def test_who_may_read_may_not_write(self, guarded):
        assert guarded.ask("GET", "/services", bearer(READER)).status_code == 200
        assert guarded.ask("POST", "/schemas/services/validate", bearer(READER),
                           json={"host": "h"}).status_code == 200
        for method, action in (("POST", "create"), ("PUT", "update"), ("PATCH", "update"),
                               ("DELETE", "delete")):
            path = "/services" if method == "POST" else "/services/a"
            refused = guarded.ask(method, path, bearer(READER), json={"host": "h"})
            assert refused.status_code == 403
            assert refused.json() == {"message": f"grafana, you do not have permissions to "
                                                 f"{action} this resource"}
        assert guarded.weir.admin.get("/services").json()["data"] == []

    def test_who_may_only_look_sees_no_secrets(self, new_weir, tmp_path):
        key, password = "key-of-somebody-77", "Basic cGFzc3dvcmQtNzc="
        guarded = Guarded(new_weir, tmp_path, DATABASE="off")
        text = json.dumps({
            "_format_version": "3.0",
            "consumers": [{"username": "u", "tags": ["t"], "keyauth_credentials": [{"key": key}]}],
            "plugins": [{"name": "http-log", "config": {
                "http_endpoint": "http://h/", "headers": {"Authorization": password}}}]})
        assert guarded.ask("POST", "/config", bearer(OPERATOR),
                           json={"config": text}).status_code == 201
        credential = guarded.ask("GET", "/key-auths", bearer(OPERATOR)).json()["data"][0]["id"]
        for path in ("/config", "/key-auths", f"/key-auths/{credential}", "/consumers/u/key-auth",
                     "/plugins"):
            whole = guarded.ask("GET", path, bearer(OPERATOR)).text
            masked = guarded.ask("GET", path, bearer(READER)).text
            assert key in whole or password in whole
            assert key not in masked and password not in masked
            assert "******" in masked and "******" not in whole
        consumers = [guarded.ask("GET", "/consumers", bearer(token)).json()
                     for token in (OPERATOR, READER)]
        assert consumers[0] == consumers[1]
        assert consumers[0]["data"][0]["tags"] == ["t"]

    def test_a_browser_asks_beforehand_without_a_token(self, guarded):
        assert guarded.ask("OPTIONS", "/services").status_code == 204

    def test_a_large_body_is_not_awaited_from_a_stranger(self, guarded):
        """Refused by its head: the body is never read."""
        with socket.create_connection(("127.0.0.1", guarded.weir.admin_port), 60) as peer:
            peer.sendall(b"POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                         b"Content-Length: 1000000\r\n\r\n")
            assert peer.recv(4096).startswith(b"HTTP/1.1 401 ")

    def test_the_file_is_followed(self, guarded):
        guarded.write(f"operator new {'n' * 16}\noperator ci {OPERATOR}\n")
        assert guarded.ask("GET", "/", bearer("n" * 16)).status_code == 200
        assert guarded.ask("GET", "/", bearer(READER)).status_code == 401
        guarded.write("operator new short\n")
        assert guarded.ask("GET", "/", bearer("n" * 16)).status_code == 200
        guarded.file.unlink()
        assert guarded.ask("GET", "/", bearer("n" * 16)).status_code == 200
        assert guarded.ask("GET", "/").status_code == 401
        told = guarded.weir.log("the Admin API's tokens cannot be read anew; those from before stay")
        assert [line["why"] for line in told] == [
            "line 1: a token of 16 to 512 visible ASCII characters must follow the name"]

    @pytest.mark.parametrize("text, why", [
        ("admin a 0123456789abcdef", "line 1: the role must be read-only or operator"),
        ("\noperator\n", "line 2: a name of at most 63 characters must follow the role"),
        ("operator a sha256:12", "line 1: 64 hexadecimal digits must follow sha256:"),
        ("operator a 0123456789abcdef x", "line 1: nothing may follow the token"),
        ("operator a 0123456789abcdef\nread-only b 0123456789abcdef",
         "line 2: the token stands in a line before, too"),
    ])
    def test_a_bad_file_keeps_it_from_starting(self, weir_command, tmp_path, text, why):
        (tmp_path / "bad").write_text(text, encoding="ascii")
        ran = weir_command("run", WEIR_ADMIN_TOKENS_FILE=tmp_path / "bad",
                           WEIR_PROXY_LISTEN="127.0.0.1:0", WEIR_ADMIN_LISTEN="127.0.0.1:0",
                           WEIR_DATA_DIR=tmp_path / "data", WEIR_CONSUL_ADDR="off")
        assert ran.returncode == 1
        assert f"error: WEIR_ADMIN_TOKENS_FILE: {why}\n" in ran.stderr
        assert "0123456789abcdef" not in ran.stderr

    def test_commands_show_theirs(self, guarded, weir_command):
        settings = dict(guarded.weir.settings)
        assert weir_command("health", **settings).returncode == 1
        assert weir_command("health", **settings,
                            WEIR_ADMIN_TOKEN_FILE=guarded.own).returncode == 0
        refused = weir_command("watch", **settings)
        assert refused.returncode == 1 and "WEIR_ADMIN_TOKEN_FILE" in refused.stderr
        with subprocess.Popen(
                [str(guarded.weir.binary), "watch", "--json", "--after", "0",
                 "--admin-token-file", str(guarded.own)], stdout=subprocess.PIPE,
                env=clean_environment(str(guarded.file.parent), settings)) as watcher:
            guarded.weir.admin.create("/services", {"host": "h"})
            assert b'"type"' in watcher.stdout.readline()
            watcher.terminate()
            watcher.wait(60)

    def test_no_token_is_told_by_anybody(self, guarded):
        guarded.ask("GET", "/services", bearer("guess-0123456789abcdef"))
        guarded.weir.admin.create("/services", {"host": "h"})
        root = guarded.weir.admin.get("/").text
        for secret in (OPERATOR, READER, "guess-0123456789abcdef"):
            assert secret not in guarded.weir.log_text()
            assert secret not in root
        assert guarded.weir.log("Admin API: a request was refused", status=401)


class TestAudit:
    def lines(self, weir, count, **fields):
        eventually(lambda: len(weir.log("Admin API write", **fields)) >= count,
                   f"{count} lines of the audit log")
        return weir.log("Admin API write", **fields)

    def test_a_line_says_who_what_before_and_after(self, guarded):
        weir = guarded.weir
        row = weir.admin.create("/services", {"name": "s", "host": "h"})
        weir.admin.patch("/services/s", {"port": 81})
        weir.admin.remove("/services/s")
        created, changed, removed = self.lines(weir, 3)
        for line in (created, changed, removed):
            assert (line["by"], line["address"], line["kind"], line["id"]) == (
                "ci", "127.0.0.1", "services", row["id"])
        assert (created["method"], created["path"], created["status"]) == ("POST", "/services", 201)
        assert created["before"] == "" and json.loads(created["after"])["host"] == "h"
        assert json.loads(changed["before"]) == {"port": 80}
        assert json.loads(changed["after"]) == {"port": 81}
        assert json.loads(removed["before"])["port"] == 81 and removed["after"] == ""

    def test_a_refused_write_and_one_of_something_else_are_told(self, weir):
        weir.admin.post("/services", {"name": "s"})
        weir.admin.put("/debug/node/log-level/debug")
        refused, level = self.lines(weir, 2)
        assert (refused["status"], refused["path"], refused["by"]) == (400, "/services", "")
        assert (level["status"], level["path"]) == (200, "/debug/node/log-level/debug")

    def test_what_goes_with_it_is_told(self, weir):
        weir.admin.create("/consumers", {"username": "u"})
        weir.admin.create("/consumers/u/acls", {"group": "g"})
        weir.admin.remove("/consumers/u")
        told = self.lines(weir, 4)
        assert {line["kind"] for line in told if line["method"] == "DELETE"} == {"consumers", "acls"}

    def test_secrets_are_masked(self, weir):
        admin = weir.admin
        admin.create("/consumers", {"username": "u"})
        admin.create("/consumers/u/key-auth", {"key": "hidden-key-auth"})
        admin.create("/consumers/u/basic-auth", {"username": "b", "password": "hidden-basic"})
        admin.create("/consumers/u/jwt", {"key": "j", "secret": "hidden-jwt"})
        admin.create("/consumers/u/hmac-auth", {"username": "h", "secret": "hidden-hmac"})
        admin.create("/plugins", {"name": "request-transformer", "config": {
            "add": {"headers": ["Authorization:hidden-header", "x-plain:shown"]}}})
        admin.create("/plugins", {"name": "http-log", "config": {
            "http_endpoint": "http://h/", "headers": {"Authorization": "hidden-log-header"}}})
        admin.create("/plugins", {"name": "rate-limiting", "config": {
            "minute": 5, "redis": {"password": "hidden-redis"}}})
        admin.create("/upstreams", {"name": "up", "healthchecks": {
            "active": {"headers": {"X-Auth-Token": ["hidden-probe"]}}}})
        admin.patch("/consumers/u/basic-auth/b", {"password": "hidden-too"})
        admin.remove("/key-auths/hidden-key-auth")
        told = self.lines(weir, 11)
        assert any("shown" in line.get("after", "") for line in told)
        assert "hidden" not in weir.log_text()
        assert any("******" in line.get("after", "") for line in told)
        stored = admin.get("/consumers/u/basic-auth/b").json()["password"]
        assert stored not in weir.log_text()

    def test_it_can_be_off(self, new_weir):
        weir = new_weir(ADMIN_AUDIT="off")
        weir.admin.create("/services", {"host": "h"})
        assert not weir.log("Admin API write")


class TestLimits:
    def test_a_larger_body_is_refused(self, new_weir):
        weir = new_weir(ADMIN_MAX_BODY="2k")
        weir.admin.create("/services", {"host": "h"})
        answer = weir.admin.post("/services", {"host": "h", "tags": ["t" * 3000]})
        assert (answer.status_code, answer.json()) == (413, {"message": "Payload too large"})
        chunked = weir.admin.request("POST", "/services", data=iter([b"{" + b" " * 3000]),
                                     headers={"Content-Type": "application/json"})
        assert chunked.status_code == 413

    def test_more_than_the_rate_is_refused(self, new_weir):
        weir = new_weir(ADMIN_RATE_LIMIT=20)
        answers = [weir.admin.get("/services") for _ in range(400)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused and len(refused) < 400
        assert refused[0].json() == {"message": "API rate limit exceeded"}
        assert refused[0].headers["Retry-After"] == "1"
        eventually(lambda: weir.admin.get("/services").status_code == 200, "room again")


class TestBrowsers:
    def test_any_page_may_ask_by_default(self, weir):
        answer = weir.admin.get("/services", headers={"Origin": "https://a.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"

    @pytest.mark.parametrize("name", ["WEIR_ADMIN_CORS_ORIGINS", "KONG_ADMIN_GUI_URL"])
    def test_only_the_pages_that_are_named(self, new_weir, name):
        weir = new_weir(**{name: "https://gui.example:8002/manager,https://other.example"})
        ask = weir.admin.get
        allowed = ask("/services", headers={"Origin": "https://other.example"})
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://other.example"
        assert allowed.headers["Vary"] == "Origin"
        stranger = ask("/services", headers={"Origin": "https://evil.example"})
        assert stranger.headers["Access-Control-Allow-Origin"] == "https://gui.example:8002"
        assert weir.admin.post("/services", {"host": "h"},
                               headers={"Origin": "https://gui.example:8002"}).status_code == 201
        forged = weir.admin.post("/services", {"host": "h"},
                                 headers={"Origin": "https://evil.example"})
        assert forged.status_code == 403
        assert len(weir.admin.get("/services").json()["data"]) == 1

    def test_no_page_at_all(self, new_weir):
        weir = new_weir(ADMIN_CORS_ORIGINS="off")
        answer = weir.admin.get("/services", headers={"Origin": "https://a.example"})
        assert answer.status_code == 200
        assert "Access-Control-Allow-Origin" not in answer.headers

    def test_what_is_no_origin_is_refused(self, weir_command, tmp_path):
        ran = weir_command("run", WEIR_ADMIN_CORS_ORIGINS="gui.example", WEIR_CONSUL_ADDR="off",
                           WEIR_DATA_DIR=tmp_path, WEIR_PROXY_LISTEN="off",
                           WEIR_ADMIN_LISTEN="127.0.0.1:0")
        assert ran.returncode == 1 and "WEIR_ADMIN_CORS_ORIGINS: must be *" in ran.stderr


class TestReach:
    def opened(self, weir):
        return [line for line in weir.log() if line["level"] == "warn"
                and line["msg"].startswith("the Admin API")]

    def test_loopback_is_no_cause_for_a_warning(self, weir):
        assert not self.opened(weir)

    def test_all_addresses_are(self, new_weir):
        weir = new_weir(start=False)
        weir.settings["WEIR_ADMIN_LISTEN"] = f"0.0.0.0:{weir.admin_port}"
        weir.start()
        warned, = self.opened(weir)
        assert "WEIR_ADMIN_TOKENS_FILE" in warned["msg"]
        assert warned["address"] == f"0.0.0.0:{weir.admin_port}"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
class TestClientCertificates:
    @pytest.fixture
    def authority(self, tmp_path):
        return Authority(tmp_path)

    def test_a_client_must_show_one_that_is_vouched_for(self, new_weir, authority, tmp_path):
        port, status_port = free_port(), free_port()
        weir = new_weir(start=False, ADMIN_SSL_CLIENT_CERTIFICATE=authority.path,
                        STATUS_LISTEN=f"127.0.0.1:{status_port} ssl")
        weir.settings["WEIR_ADMIN_LISTEN"] += f", 127.0.0.1:{port} ssl"
        weir.start()
        mine = authority.issue("deployer")
        (tmp_path / "other").mkdir()
        stranger = Authority(tmp_path / "other").issue("deployer")

        def post(certificate):
            with requests.Session() as session:
                session.trust_env = False
                return session.post(
                    f"https://127.0.0.1:{port}/services", json={"host": "h"}, verify=False,
                    timeout=60, cert=certificate and (certificate.path, certificate.key_path))

        for unknown in (None, stranger):
            with pytest.raises(requests.ConnectionError):
                post(unknown)
        assert post(mine).status_code == 201
        assert [line["by"] for line in weir.log("Admin API write")] == ["deployer"]
        assert requests.get(f"https://127.0.0.1:{status_port}/status/ready", verify=False,
                            timeout=60).status_code == 200

    def test_a_listener_may_ask_for_its_own(self, new_weir, authority, tmp_path):
        port, status_port = free_port(), free_port()
        weir = new_weir(
            start=False, ADMIN_SSL_CLIENT_CERTIFICATE=authority.path,
            STATUS_LISTEN=f"127.0.0.1:{status_port} ssl verify_client=on "
                          f"client_certificate={authority.path}")
        weir.settings["WEIR_ADMIN_LISTEN"] += f", 127.0.0.1:{port} ssl verify_client=off"
        weir.start()
        mine = authority.issue("watcher")
        assert requests.get(f"https://127.0.0.1:{port}/status", verify=False,
                            timeout=60).status_code == 200
        with pytest.raises(requests.ConnectionError):
            requests.get(f"https://127.0.0.1:{status_port}/status", verify=False, timeout=60)
        assert requests.get(f"https://127.0.0.1:{status_port}/status", verify=False, timeout=60,
                            cert=(mine.path, mine.key_path)).status_code == 200

    def test_a_file_without_certificates_is_refused(self, weir_command, tmp_path):
        (tmp_path / "empty").write_text("", encoding="ascii")
        ran = weir_command("run", WEIR_ADMIN_SSL_CLIENT_CERTIFICATE=tmp_path / "empty",
                           WEIR_PROXY_LISTEN="off", WEIR_ADMIN_LISTEN="127.0.0.1:0 ssl",
                           WEIR_DATA_DIR=tmp_path / "data", WEIR_CONSUL_ADDR="off")
        assert ran.returncode == 1
        assert "error: WEIR_ADMIN_SSL_CLIENT_CERTIFICATE: can't read" in ran.stderr

    def test_commands_speak_tls_with_a_token(self, guarded, weir_command):
        settings = dict(guarded.weir.settings)
        port = free_port()
        guarded.weir.stop()
        guarded.weir.settings["WEIR_ADMIN_LISTEN"] += f", 127.0.0.1:{port} ssl"
        guarded.weir.start()
        settings["WEIR_ADMIN_LISTEN"] = f"127.0.0.1:{port} ssl"
        healthy = weir_command("health", **settings, WEIR_ADMIN_TOKEN_FILE=guarded.own)
        assert (healthy.returncode, healthy.stdout) == (0, f"weir is healthy at 127.0.0.1:{port}\n")
