"""Certificates by ACME from an authority that isn't ours: Let's Encrypt's Pebble, where it is on the
PATH (`go install github.com/letsencrypt/pebble/v2/cmd/pebble@latest`). It refuses nonces, lets
validations wait, and validates from several places, as the real one does."""

import json
import os
import shutil

import pytest

from support.dns import A, FakeDns, a
from support.ports import free_port
from support.process import Process
from support.tls import Authority, TlsClient
from support.waiting import eventually

PEBBLE = shutil.which("pebble")
SECRET = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"

pytestmark = pytest.mark.skipif(not PEBBLE, reason="no pebble on the PATH")


@pytest.fixture
def dns():
    """Knows a.example and nothing else."""
    server = FakeDns()
    server.zone[("a.example", A)] = [a("a.example", "127.0.0.1")]
    yield server
    server.stop()


@pytest.mark.parametrize("is_bound", [False, True], ids=["unbound", "bound"])
@pytest.mark.parametrize("key", ["ecdsa-p256", "rsa-2048"])
@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_pebble_issues_what_it_can_validate(new_tls_weir, tmp_path, dns, challenge, key, is_bound):
    authority = Authority(tmp_path, "of-pebble")
    own = authority.issue("127.0.0.1", file="pebble")
    port = free_port()
    binding = {}
    if is_bound:
        (tmp_path / "eab").write_text(SECRET, encoding="ascii")
        binding = {"ACME_EAB_KID": "kid-1", "ACME_EAB_HMAC_FILE": tmp_path / "eab"}
    node = new_tls_weir(ACME_HOSTS="a.example,b.example", ACME_AGREE_TOS="on",
                        ACME_CHALLENGE=challenge, ACME_KEY=key,
                        ACME_DIRECTORY=f"https://127.0.0.1:{port}/dir",
                        ACME_CA_FILE=authority.path, ACME_RETRY="1h", **binding)
    settings = tmp_path / "pebble.json"
    settings.write_text(json.dumps({"pebble": {
        "listenAddress": f"127.0.0.1:{port}", "managementListenAddress": f"127.0.0.1:{free_port()}",
        "certificate": own.path, "privateKey": own.key_path,
        "httpPort": node.proxy_port, "tlsPort": node.tls_port,
        "externalAccountBindingRequired": is_bound, "externalAccountMACKeys": {"kid-1": SECRET},
        "profiles": {"default": {"description": "", "validityPeriod": 90 * 86400}},
        "retryAfter": {"authz": 1, "order": 1}}}), encoding="utf-8")
    pebble = Process([PEBBLE, "-config", str(settings), "-dnsserver", f"127.0.0.1:{dns.port}"],
                     str(tmp_path / "pebble.log"),
                     env={**os.environ, "PEBBLE_WFE_NONCEREJECT": "20"})

    def host(name):
        return next(entry for entry in node.admin.get("/acme").json()["data"]
                    if entry["host"] == name)

    try:
        eventually(lambda: host("a.example")["state"] == "valid",
                   lambda: node.admin.get("/acme").json(), within=120)
        eventually(lambda: "b.example" in (host("b.example")["last_error"] or ""),
                   lambda: node.admin.get("/acme").json(), within=120)
        [certificate] = node.admin.get("/certificates").json()["data"]
        assert certificate["snis"] == ["a.example"]
        with TlsClient(node.tls_port, "a.example") as client:
            assert client.certificate
    finally:
        pebble.stop()
