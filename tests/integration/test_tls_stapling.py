"""OCSP responses, stapled: from files and from responders."""

import re
import subprocess

import pytest

from support.ocsp import Responder, make_response
from support.tls import Authority
from support.waiting import always, eventually


def stapled(node, name="gateway.example"):
    """The status that a client is shown with the certificate; None: none."""
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{node.tls_port}", "-status", "-servername",
         name], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=60).stdout
    assert "OCSP response:" in shown, shown
    found = re.search(r"Cert Status: (\w+)", shown)
    return found[1] if found else None


def chain_of(certificate, authority):
    path = f"{certificate.path}.chain"
    with open(path, "w", encoding="ascii") as file:
        file.write(certificate.pem + authority.pem)
    return path


@pytest.fixture
def responder():
    one = Responder()
    yield one
    one.close()


class TestFiles:
    def test_a_file_is_shown_and_followed(self, new_tls_weir, authority, tmp_path):
        certificate = authority.issue("gateway.example", file="stapled")
        file = tmp_path / "response.der"
        make_response(authority, certificate, file)
        node = new_tls_weir(SSL_CERT=chain_of(certificate, authority),
                            SSL_CERT_KEY=certificate.key_path,
                            KONG_NGINX_PROXY_SSL_STAPLING_FILE=file,
                            KONG_NGINX_PROXY_SSL_STAPLING="on")
        assert stapled(node) == "good"
        make_response(authority, certificate, file, status="R")
        eventually(lambda: stapled(node) is None, "the end of the old one")
        line = node.log("an OCSP response can't be used")[0]
        assert line["why"] == "the certificate is revoked"
        make_response(authority, certificate, file)
        eventually(lambda: stapled(node) == "good", "the new one")
        file.unlink()
        always(lambda: stapled(node) == "good", during=0.2)

    def test_one_that_does_not_fit_is_not_shown(self, new_tls_weir, authority, tmp_path):
        certificate = authority.issue("gateway.example", file="misfit")
        stranger = Authority(tmp_path, "stranger")
        file = tmp_path / "response.der"
        make_response(authority, certificate, file, signer=stranger)
        node = new_tls_weir(SSL_CERT=chain_of(certificate, authority),
                            SSL_CERT_KEY=certificate.key_path, SSL_STAPLING_FILE=file)
        assert stapled(node) is None
        assert node.log("an OCSP response can't be used")[0]["why"] == \
            "not signed by the certificate's issuer"

    def test_one_that_is_not_there_stops_the_start(self, weir_command, tmp_path):
        result = weir_command("run", WEIR_PROXY_LISTEN="127.0.0.1:0 ssl", WEIR_ADMIN_LISTEN="off",
                              WEIR_DATA_DIR=str(tmp_path), WEIR_CONSUL_ADDR="off",
                              WEIR_SSL_STAPLING_FILE="/no/such/file")
        assert result.returncode == 1
        assert "WEIR_SSL_STAPLING_FILE: can't read /no/such/file" in result.stderr


class TestResponders:
    @staticmethod
    def put(node, authority, responder, name):
        certificate = authority.issue(name, responder=responder.url)
        node.admin.create("/certificates", {"cert": certificate.pem + authority.pem,
                                            "key": certificate.key_pem, "snis": [name]})
        return certificate

    def test_they_are_asked_for_certificates_of_the_admin_api(
            self, new_tls_weir, authority, responder, tmp_path):
        node = new_tls_weir(SSL_STAPLING="on")
        name = "asked.example"
        certificate = authority.issue(name, responder=responder.url)
        make_response(authority, certificate, tmp_path / "response")
        responder.answer = (tmp_path / "response").read_bytes()
        body = {"cert": certificate.pem + authority.pem, "key": certificate.key_pem,
                "snis": [name]}
        created = node.admin.create("/certificates", body)
        eventually(lambda: stapled(node, name) == "good", "the response")
        assert 'weir_ocsp_responses{state="good"} 1' in node.admin.get("/metrics").text
        # What has a response is not asked for again, whatever else changes.
        asked = responder.requests
        node.admin.create("/services", {"name": "other", "host": "a.example"})
        always(lambda: responder.requests == asked and stapled(node, name) == "good", during=0.5)
        assert stapled(node) is None  # the default names nobody
        node.admin.remove(f"/certificates/{created['id']}")
        eventually(lambda: 'weir_ocsp_responses{state="good"} 0' in node.admin.get("/metrics").text)

    def test_what_they_say_is_checked(self, new_tls_weir, authority, responder, tmp_path):
        node = new_tls_weir(SSL_STAPLING="on")
        other = authority.issue("other.example")
        make_response(authority, other, tmp_path / "other")
        for answer, why in [(503, "HTTP status 503"), (b"junk", "not an OCSP response"),
                            (b"x" * 70000, None),
                            ((tmp_path / "other").read_bytes(), "about another certificate")]:
            responder.answer = answer
            name = f"checked{len(node.log('no OCSP response for a certificate'))}.example"
            self.put(node, authority, responder, name)
            before = len(node.log("no OCSP response for a certificate"))
            line = eventually(
                lambda count=before: node.log("no OCSP response for a certificate")[count:],
                "a line")[0]
            assert why is None or line["why"] == why
            assert line["responder"] == responder.url
            assert stapled(node, name) is None
        assert 'weir_ocsp_responses{state="missing"} 4' in node.admin.get("/metrics").text
