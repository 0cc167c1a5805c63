"""Certificates by ACME: an authority of our own that checks all that a real one would."""

import datetime
import json
import os
import ssl
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from support.acme import AcmeServer, Problem, b64, tls_proof
from support.ports import free_port
from support.tls import Authority, TlsClient
from support.waiting import eventually


@pytest.fixture
def acme(tmp_path):
    server = AcmeServer(Authority(tmp_path, "issuer"))
    yield server
    server.close()


@pytest.fixture
def new_acme_weir(new_tls_weir, acme):
    """Makes nodes that get certificates for `hosts`; the authority validates at the first one."""
    def make(*hosts, flags="", **settings):
        node = new_tls_weir(flags, **acme.settings(*hosts, **settings))
        if not acme.http_ports:
            acme.http_ports, acme.tls_ports = [node.proxy_port], [node.tls_port]
        return node
    return make


def page(node):
    return node.admin.get("/acme").json()


def host(node, name):
    return next(entry for entry in page(node)["data"] if entry["host"] == name)


def shown(node, name):
    with TlsClient(node.tls_port, name) as client:
        return ssl.DER_cert_to_PEM_cert(client.certificate)


def until_shown(node, acme, name, count=1):
    """The last of `count` certificates for the host, once the node shows it."""
    def is_there():
        pems = [pem for issued_for, pem in acme.issued if issued_for == name]
        return len(pems) >= count and pems[-1].strip() == shown(node, name).strip() and pems[-1]
    return eventually(is_there, lambda: f"{name}: {page(node)}")


def until_failed(node, name, text):
    eventually(lambda: text in (host(node, name)["last_error"] or ""), lambda: page(node))


class TestIssuing:
    @pytest.mark.parametrize("key", ["ecdsa-p256", "rsa-2048"])
    def test_a_host_gets_a_certificate_that_is_served_at_once(self, new_acme_weir, acme, key):
        node = new_acme_weir("a.example", ACME_KEY=key)
        until_shown(node, acme, "a.example")
        assert acme.validations == [("http-01", "a.example", node.proxy_port)]
        [certificate] = node.admin.get("/certificates").json()["data"]
        assert certificate["snis"] == ["a.example"]
        assert certificate["tags"] == ["managed-by-acme"]
        assert certificate["cert"].count("BEGIN CERTIFICATE") == 2
        [account] = acme.accounts.values()
        assert account["contact"] == ["mailto:admin@example.com"]
        with TlsClient(node.tls_port, "a.example") as client:
            wanted = "RSA" if key == "rsa-2048" else "ECDSA"
            assert wanted in str(client.sock.cipher()) or client.sock.version() == "TLSv1.3"
        entry = host(node, "a.example")
        assert entry["state"] == "valid" and entry["certificate"] == certificate["id"]
        assert entry["last_error"] is None and entry["failures"] == 0
        assert entry["next_attempt"] < entry["not_after"]

    def test_several_hosts_get_one_each_by_one_account(self, new_acme_weir, acme):
        node = new_acme_weir("a.example", "b.example", "c.example")
        for name in ("a.example", "b.example", "c.example"):
            until_shown(node, acme, name)
        assert len(acme.accounts) == 1
        assert len(acme.issued) == 3

    def test_it_is_validated_by_tls_too(self, new_acme_weir, acme):
        node = new_acme_weir("a.example", ACME_CHALLENGE="tls-alpn-01")
        until_shown(node, acme, "a.example")
        assert acme.validations == [("tls-alpn-01", "a.example", node.tls_port)]

    def test_who_validates_by_tls_needs_no_certificate_of_a_client(self, new_acme_weir, acme):
        node = new_acme_weir("a.example", ACME_CHALLENGE="tls-alpn-01", SSL_VERIFY_CLIENT="on",
                             SSL_CLIENT_CERTIFICATE=acme.authority.path)
        eventually(lambda: acme.issued, lambda: page(node))

    def test_a_restart_keeps_account_and_certificate(self, new_acme_weir, acme):
        node = new_acme_weir("a.example")
        first = until_shown(node, acme, "a.example")
        node.restart()
        assert shown(node, "a.example").strip() == first.strip()
        eventually(lambda: host(node, "a.example")["state"] == "valid")
        assert len(acme.issued) == 1 and len(acme.accounts) == 1

    def test_an_account_is_bound_to_one_that_is_known(self, new_acme_weir, acme, tmp_path):
        secret = os.urandom(32)
        acme.bound = ("kid-1", secret)
        file = tmp_path / "eab"
        file.write_text(b64(secret) + "\n", encoding="ascii")
        node = new_acme_weir("a.example", ACME_EAB_KID="kid-1", ACME_EAB_HMAC_FILE=file)
        until_shown(node, acme, "a.example")

    def test_a_certificate_of_somebody_else_is_left_alone(self, new_acme_weir, acme, tmp_path):
        acme.refuse_orders = Problem("serverInternal", "not yet", 500)
        node = new_acme_weir("a.example")
        until_failed(node, "a.example", "500")
        own = Authority(tmp_path, "other").issue("a.example")
        node.admin.create("/certificates", {"cert": own.pem, "key": own.key_pem,
                                            "snis": ["a.example"]})
        eventually(lambda: host(node, "a.example")["state"] == "foreign")
        assert host(node, "a.example")["next_attempt"] is None
        assert shown(node, "a.example").strip() == own.pem.strip()

    def test_an_account_that_was_forgotten_is_made_anew(self, new_acme_weir, acme):
        acme.lifetime = datetime.timedelta(seconds=9)
        node = new_acme_weir("a.example")
        until_shown(node, acme, "a.example")
        acme.accounts.clear()
        acme.lifetime = datetime.timedelta(days=90)
        until_shown(node, acme, "a.example", count=2)
        assert len(acme.accounts) == 1


class TestRenewal:
    def test_a_short_life_is_renewed_in_place(self, new_acme_weir, acme):
        acme.lifetime = datetime.timedelta(seconds=9)
        node = new_acme_weir("a.example")
        first = until_shown(node, acme, "a.example")
        [before] = node.admin.get("/certificates").json()["data"]
        node.admin.patch(f"/certificates/{before['id']}", {"tags": ["managed-by-acme", "mine"]})
        with TlsClient(node.tls_port, "a.example") as client:
            acme.lifetime = datetime.timedelta(days=90)
            second = until_shown(node, acme, "a.example", count=2)
            assert second != first
            client.send_request("GET", "/", host="a.example")
            assert client.reader.response().status == 404  # it was not cut
        [after] = node.admin.get("/certificates").json()["data"]
        assert after["id"] == before["id"] and after["snis"] == ["a.example"]
        assert after["key"] != before["key"] and after["tags"] == ["managed-by-acme", "mine"]

    def test_a_certificate_that_is_removed_is_got_anew(self, new_acme_weir, acme):
        node = new_acme_weir("a.example")
        until_shown(node, acme, "a.example")
        [certificate] = node.admin.get("/certificates").json()["data"]
        node.admin.remove(f"/certificates/{certificate['id']}")
        until_shown(node, acme, "a.example", count=2)

    def test_one_that_is_removed_again_and_again_is_got_anew_ever_more_slowly(self, new_acme_weir,
                                                                             acme):
        node = new_acme_weir("a.example")
        for count in (1, 2, 3):
            until_shown(node, acme, "a.example", count=count)
            [certificate] = node.admin.get("/certificates").json()["data"]
            node.admin.remove(f"/certificates/{certificate['id']}")
        entry = host(node, "a.example")
        assert entry["state"] == "missing"
        assert entry["next_attempt"] > time.time() + 2 * 86400
        node.restart()
        assert host(node, "a.example") == entry and len(acme.issued) == 3
        assert node.admin.post("/acme/a.example").status_code == 204
        until_shown(node, acme, "a.example", count=4)


class TestChallenges:
    def test_only_a_known_token_of_its_host_is_answered(self, new_acme_weir, acme, new_backend):
        backend = new_backend("behind")
        acme.may_validate.clear()
        node = new_acme_weir("a.example")
        node.serve("all", backend.url, paths=["/"])
        eventually(acme.is_validating.is_set)
        token = acme.orders[1]["tokens"]["http-01"]
        path = f"/.well-known/acme-challenge/{token}"

        def asks(at, of, method="GET"):
            answer = node.request(method, at, host=of)
            return answer.status, answer.body.startswith(token.encode("ascii") + b".")

        eventually(lambda: asks("/all", "a.example") == (200, False))
        assert asks(path, "a.example") == (200, True)
        assert asks(path, "A.example:80") == (200, True)
        assert not backend_saw(backend, path)
        assert asks(path, "b.example") == (200, False)
        assert asks(path + "x", "a.example") == (200, False)
        assert asks(path, "a.example", "POST") == (200, False)
        assert backend_saw(backend, path)
        acme.may_validate.set()
        until_shown(node, acme, "a.example")
        eventually(lambda: asks(path, "a.example") == (200, False), "the token being forgotten")

    def test_tls_is_answered_for_the_host_alone_and_only_meanwhile(self, new_acme_weir, acme):
        acme.may_validate.clear()
        node = new_acme_weir("a.example", ACME_CHALLENGE="tls-alpn-01")
        eventually(acme.is_validating.is_set)
        tls_proof(node.tls_port, "a.example")
        with pytest.raises(OSError):
            tls_proof(node.tls_port, "b.example")
        # Who speaks anything else is no authority.
        _, protocol = tls_proof(node.tls_port, "a.example", protocols=("acme-tls/1", "http/1.1"))
        assert protocol == "http/1.1"
        acme.may_validate.set()
        until_shown(node, acme, "a.example")

        def is_refused():
            with pytest.raises(OSError):
                tls_proof(node.tls_port, "a.example")
            return True
        eventually(is_refused)

    def test_a_lease_that_is_renewed_makes_no_new_snapshot(self, new_acme_weir, acme):
        acme.may_validate.clear()
        node = new_acme_weir("a.example")
        eventually(acme.is_validating.is_set)
        renewed = {"type": "config.changed", "entity": "acme_leases", "op": "put"}
        kinds = []
        answer = node.admin.get("/events", stream=True)
        for line in answer.iter_lines(chunk_size=1):
            event = json.loads(line[6:]) if line.startswith(b"data: ") else {}
            kinds += [event["type"]] if event.get("type") == "config.published" else []
            kinds += ["renewed"] if renewed.items() <= event.items() else []
            if kinds.count("renewed") == 2:
                break
        answer.close()
        assert kinds[kinds.index("renewed"):] == ["renewed", "renewed"]
        acme.may_validate.set()
        until_shown(node, acme, "a.example")

    def test_nothing_of_it_is_seen_in_the_admin_api(self, new_acme_weir, acme):
        acme.may_validate.clear()
        node = new_acme_weir("a.example")
        eventually(acme.is_validating.is_set)
        exported = node.admin.get("/config").text
        for kind in ("acme_accounts", "acme_challenges", "acme_leases", "acme_failures",
                     "acme_histories"):
            assert node.admin.get(f"/{kind}").status_code == 404
            assert kind not in exported
        assert "PRIVATE KEY" not in node.log_text()
        token = acme.orders[1]["tokens"]["http-01"]
        assert token not in node.log_text()
        acme.may_validate.set()
        until_shown(node, acme, "a.example")
        assert "PRIVATE KEY" not in node.log_text()


def backend_saw(backend, path):
    return any(request.target == path for request in backend.requests)


class TestTrouble:
    def test_bad_nonces_are_tried_again(self, new_acme_weir, acme):
        acme.bad_nonces = 3
        node = new_acme_weir("a.example")
        until_shown(node, acme, "a.example")
        assert not node.log("no certificate by ACME")

    def test_a_refused_validation_is_told_and_tried_again_later(self, new_acme_weir, acme):
        acme.refuse_validation = "no such host"
        node = new_acme_weir("a.example")
        until_failed(node, "a.example", "unauthorized: no such host")
        entry = host(node, "a.example")
        assert entry["state"] in ("failing", "ordering") and entry["failures"] > 0
        assert entry["last_error_at"] and entry["next_attempt"]
        line = node.log("no certificate by ACME")[0]
        assert line["host"] == "a.example" and line["why"] == "unauthorized: no such host"
        acme.refuse_validation = None
        until_shown(node, acme, "a.example")
        assert host(node, "a.example")["failures"] == 0

    def test_a_refusal_is_remembered_over_a_restart(self, new_acme_weir, acme):
        acme.refuse_validation = "no"
        node = new_acme_weir("a.example", ACME_RETRY="1h")
        until_failed(node, "a.example", "unauthorized: no")
        first = host(node, "a.example")
        node.restart()
        again = host(node, "a.example")
        assert again == first and len(acme.orders) == 1
        assert again["next_attempt"] >= again["last_error_at"] + 3600

    def test_a_host_may_be_told_to_try_again_at_once(self, new_acme_weir, acme):
        acme.refuse_validation = "no"
        node = new_acme_weir("a.example", ACME_RETRY="1h")
        until_failed(node, "a.example", "unauthorized: no")
        acme.refuse_validation = None
        assert node.admin.post("/acme/b.example").status_code == 404
        assert node.admin.post("/acme/a.example").status_code == 204
        until_shown(node, acme, "a.example")
        assert node.admin.post("/acme/a.example").status_code == 204
        assert len(acme.orders) == 2

    def test_a_limit_is_kept(self, new_acme_weir, acme):
        acme.refuse_orders = Problem("rateLimited", "too many", 429, retry_after=7200)
        node = new_acme_weir("a.example", "b.example")
        until_failed(node, "a.example", "rateLimited: too many")
        first = host(node, "a.example")
        assert first["next_attempt"] >= first["last_error_at"] + 7200
        # Whatever else there is to do would be refused as well.
        assert host(node, "b.example")["next_attempt"] >= first["next_attempt"]
        assert acme.requests.count("/order") == 1
        # And by whoever comes after.
        limit = host(node, "b.example")["next_attempt"]
        node.restart()
        assert host(node, "b.example")["next_attempt"] == limit

    def test_one_that_is_out_of_order_does_not_say_how_long_it_is_left_alone(self, new_acme_weir,
                                                                             acme):
        acme.refuse_orders = Problem("serverInternal", "oops", 503, retry_after=604800)
        node = new_acme_weir("a.example")
        until_failed(node, "a.example", "status 503")
        entry = host(node, "a.example")
        assert 3600 <= entry["next_attempt"] - entry["last_error_at"] <= 2 * 3600 + 60

    @pytest.mark.parametrize("word, content, why", [
        ("directory", b"<html>", "its directory is none"),
        ("directory", b'{"newNonce": 1, "newAccount": [], "newOrder": {}}', "its directory is none"),
        ("directory", b'{"newNonce": "http://127.0.0.1/", "newAccount": "http://127.0.0.1/", '
                      b'"newOrder": "http://127.0.0.1/"}', "its directory is none"),
        ("directory", b"x" * 300000, "its answer is too long"),
        ("account", b"{}", "it names no account"),
        ("order", b"[" * 100000, "its answer to an order is none"),
        ("authz", b'{"status": "pending", "identifier": {"value": "b.example"}}',
         "its authorization is for another host"),
        ("authz", b'{"status": "pending", "identifier": {"value": "a.example"}, "challenges": 5}',
         "it doesn't offer http-01 for this host"),
        ("authz", b'{"status": "pending", "identifier": {"value": "a.example"}, "challenges": '
                  b'[{"type": "http-01", "token": "../x", "url": "https://x/"}]}',
         "its challenge is none"),
        ("authz", b'{"status": "pending", "identifier": {"value": "a.example"}, "challenges": '
                  b'[{"type": "http-01", "token": "x", "url": "https://x.example/"}]}',
         "its challenge is none"),
        ("cert", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
         "there is no certificate in it"),
        ("cert", b"", "there is no certificate in it"),
    ], ids=range(12))
    def test_what_makes_no_sense_is_refused(self, new_acme_weir, acme, word, content, why):
        acme.garbage[word] = content
        node = new_acme_weir("a.example")
        until_failed(node, "a.example", why)
        acme.garbage.clear()
        until_shown(node, acme, "a.example")

    def test_a_certificate_for_another_host_or_key_is_not_taken(self, new_acme_weir, acme):
        acme.issue_for = "b.example"
        node = new_acme_weir("a.example")
        until_failed(node, "a.example", "not for the host")
        acme.issue_for = None
        acme.issue_key = ec.generate_private_key(ec.SECP256R1()).public_key()
        until_failed(node, "a.example", "not for the key")
        assert node.admin.get("/certificates").json()["data"] == []
        acme.issue_key = None
        until_shown(node, acme, "a.example")

    def test_an_authority_that_is_not_trusted_is_not_asked(self, new_tls_weir, acme, tmp_path):
        other = Authority(tmp_path, "stranger")
        node = new_tls_weir(**acme.settings("a.example", ACME_CA_FILE=other.path))
        until_failed(node, "a.example", "certificate")
        assert not acme.requests

    def test_a_slow_authority_is_waited_for_and_stopping_is_not_delayed(self, new_acme_weir, acme):
        acme.delay_s = 0.3
        node = new_acme_weir("a.example", "b.example")
        until_shown(node, acme, "a.example")
        acme.delay_s = 10
        node.stop()

    def test_it_is_seen_in_metrics(self, new_acme_weir, acme):
        acme.refuse_validation = "no"
        node = new_acme_weir("a.example", ACME_RETRY="1h")
        until_failed(node, "a.example", "unauthorized: no")

        def value(name):
            for line in node.admin.get("/metrics").text.splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[-1])
            return None
        assert value('weir_acme_certificates{state="failing"}') == 1
        assert value('weir_acme_orders_total{result="failed"}') == 1
        at = value("weir_acme_last_error_timestamp_seconds")
        assert at > 0 and value("weir_acme_next_attempt_timestamp_seconds") >= at + 3600


class TestSettings:
    @pytest.mark.parametrize("settings, why", [
        ({}, "WEIR_ACME_AGREE_TOS: must be on"),
        ({"WEIR_ACME_AGREE_TOS": "on", "WEIR_DATABASE": "off"}, "WEIR_ACME_HOSTS: needs a database"),
        ({"WEIR_ACME_HOSTS": "*.example.com"}, "which weir doesn't do"),
        ({"WEIR_ACME_HOSTS": "192.0.2.1"}, "WEIR_ACME_HOSTS: must be"),
        ({"WEIR_ACME_HOSTS": "a..example"}, "WEIR_ACME_HOSTS: must be"),
        ({"WEIR_ACME_HOSTS": "localhost"}, "WEIR_ACME_HOSTS: must be"),
        ({"WEIR_ACME_DIRECTORY": "ftp://x"}, "WEIR_ACME_DIRECTORY: must be"),
        ({"WEIR_ACME_CHALLENGE": "dns-01"}, "WEIR_ACME_CHALLENGE: must be"),
        ({"WEIR_ACME_AGREE_TOS": "on", "WEIR_ACME_CHALLENGE": "tls-alpn-01"},
         "WEIR_ACME_CHALLENGE: can't be tls-alpn-01"),
        ({"WEIR_ACME_KEY": "dsa"}, "WEIR_ACME_KEY: must be"),
        ({"WEIR_ACME_AGREE_TOS": "on", "WEIR_ACME_EAB_KID": "x"}, "needs WEIR_ACME_EAB_HMAC_FILE"),
        ({"WEIR_ACME_AGREE_TOS": "on", "WEIR_ACME_EAB_KID": "x",
          "WEIR_ACME_EAB_HMAC_FILE": "/no/such"}, "can't read /no/such"),
    ])
    def test_what_can_not_work_stops_the_start(self, weir_command, tmp_path, settings, why):
        result = weir_command("run", **{
            "WEIR_ACME_HOSTS": "a.example", "WEIR_PROXY_LISTEN": f"127.0.0.1:{free_port()}",
            "WEIR_ADMIN_LISTEN": "off", "WEIR_DATA_DIR": str(tmp_path), "WEIR_CONSUL_ADDR": "off",
            **settings})
        assert result.returncode == 1
        assert why in result.stderr

    def test_without_hosts_it_is_off(self, node):
        assert page(node) == {"enabled": False, "data": []}


class TestTwoNodes:
    @pytest.fixture
    def new_node(self, new_tls_weir, postgres, acme):
        def make(*hosts, **settings):
            node = new_tls_weir(**{**postgres.settings, "MIGRATE": "auto",
                                   **acme.settings(*hosts, **settings)})
            acme.http_ports.append(node.proxy_port)
            acme.tls_ports.append(node.tls_port)
            return node
        return make

    @pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
    def test_any_node_answers_and_all_serve(self, new_node, acme, challenge):
        acme.may_validate.clear()
        nodes = [new_node("a.example", "b.example", ACME_CHALLENGE=challenge) for _ in range(2)]
        eventually(acme.is_validating.is_set)
        acme.may_validate.set()
        for name in ("a.example", "b.example"):
            for node in nodes:
                until_shown(node, acme, name)
        assert len(acme.issued) == 2 and len(acme.accounts) == 1
        # Both were asked, of which one alone has ordered.
        assert {port for _, _, port in acme.validations} == set(
            acme.http_ports if challenge == "http-01" else acme.tls_ports)
        for node in nodes:
            eventually(lambda: page(node)["worked_at_by"] is None, lambda: page(node))

    def test_the_other_one_takes_over_when_the_first_is_killed(self, new_node, acme):
        acme.may_validate.clear()
        nodes = [new_node("a.example"), new_node("a.example")]
        eventually(acme.is_validating.is_set)
        holder = eventually(lambda: page(nodes[0])["worked_at_by"])
        ids = [node.admin.get("/").json()["node_id"] for node in nodes]
        runner = nodes[ids.index(holder)]
        other = nodes[1 - ids.index(holder)]
        runner.kill()
        acme.http_ports = [other.proxy_port]
        acme.may_validate.set()
        until_shown_after_takeover(other, acme, "a.example")
        assert len(acme.accounts) == 1

    def test_what_was_issued_is_stored_when_it_can_be_and_not_ordered_again(self, new_node, acme,
                                                                            postgres):
        acme.may_validate.clear()
        node = new_node("a.example")
        eventually(acme.is_validating.is_set)
        postgres.query(FULL)
        acme.may_validate.set()
        eventually(lambda: int(postgres.query("SELECT last_value FROM tries")) >= 4)
        assert len(node.log("what ACME has made can't be stored; it is tried again")) == 1
        postgres.query("DROP TRIGGER refuse ON rows")
        node.restart()  # the next try would be seconds away
        until_shown(node, acme, "a.example")
        assert len(acme.orders) == 1

    def test_a_node_that_stops_hands_over_at_once(self, new_node, acme):
        acme.may_validate.clear()
        nodes = [new_node("a.example"), new_node("a.example")]
        eventually(acme.is_validating.is_set)
        holder = eventually(lambda: page(nodes[0])["worked_at_by"])
        ids = [node.admin.get("/").json()["node_id"] for node in nodes]
        runner, other = nodes[ids.index(holder)], nodes[1 - ids.index(holder)]
        runner.stop()
        acme.http_ports = [other.proxy_port]
        acme.may_validate.set()
        until_shown_after_takeover(other, acme, "a.example")


# A database without room for certificates, which counts how often it has been asked.
FULL = """
CREATE SEQUENCE tries;
GRANT ALL ON SEQUENCE tries TO PUBLIC;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SET search_path TO weir AS
  'BEGIN PERFORM nextval(''tries''); RAISE EXCEPTION ''full'' USING ERRCODE = ''53100''; END';
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON rows FOR EACH ROW
  WHEN (NEW.kind = 'certificates') EXECUTE FUNCTION refuse();
"""


def until_shown_after_takeover(node, acme, name):
    """A lease may have to run out first, and the other node's to be found behind."""
    eventually(lambda: any(issued_for == name for issued_for, _ in acme.issued),
               lambda: page(node), within=120)
    until_shown(node, acme, name)
