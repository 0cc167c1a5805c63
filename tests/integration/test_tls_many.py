"""Many certificates, many names, and many handshakes."""

import glob
import json
import random
import re
import subprocess

from support.tls import TlsClient, trusting

CERTIFICATES = 100
BATCH, BATCHES = 30, 3
CROWD = 100
# Of a handshake's CPU time with all these names to one with a single name. A context for each name,
# a key parsed in each handshake, or a walk over the names would be far beyond it.
MOST_RATIO = 2


def cpu_ns(node):
    total = 0
    for path in glob.glob(f"/proc/{node.pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def declare(path, certificates, count, names):
    """`count` certificates, of a few pairs, that share the names among them."""
    per = names // count
    path.write_text(json.dumps({"_format_version": "3.0", "certificates": [
        {"cert": certificates[i % len(certificates)].pem,
         "key": certificates[i % len(certificates)].key_pem,
         "snis": [{"name": f"name{number}.example"} for number in range(i * per, (i + 1) * per)]}
        for i in range(count)]}), encoding="ascii")
    return path


def test_a_handshake_costs_the_same_with_ten_thousand_names(
        new_tls_weir, authority, tmp_path, is_sanitized):
    names = 2_000 if is_sanitized else 10_000  # the start takes its time there
    certificates = [authority.issue(f"many{number}.example") for number in range(4)]
    context = trusting()
    small = new_tls_weir(DATABASE="off", DECLARATIVE_CONFIG=declare(
        tmp_path / "small.json", certificates, 1, 1))
    large = new_tls_weir(DATABASE="off", DECLARATIVE_CONFIG=declare(
        tmp_path / "large.json", certificates, CERTIFICATES, names))
    chosen = random.Random(1)

    def batch(node, count):
        before = cpu_ns(node)
        for _ in range(BATCH):
            number = chosen.randrange(count)
            with TlsClient(node.tls_port, name=f"name{number}.example", context=context) as client:
                of = number * CERTIFICATES // names if count > 1 else 0
                assert client.certificate == certificates[of % len(certificates)].der
        return cpu_ns(node) - before
    batch(large, names), batch(small, 1)  # what is made once
    costs = [(batch(small, 1), batch(large, names)) for _ in range(BATCHES)]
    ratio = min(cost[1] for cost in costs) / min(cost[0] for cost in costs)
    print(f"a handshake with {names} names costs {ratio:.2f} times one with 1: {costs}")
    assert ratio < MOST_RATIO, costs


def test_changes_under_a_crowd_of_handshakes_lose_none(
        new_tls_weir, new_fast_backend, authority):
    node = new_tls_weir(SSL_HANDSHAKE_TIMEOUT="60")  # on a machine that is busy
    node.serve("fast", f"http://127.0.0.1:{new_fast_backend().port}", paths=["/"])
    versions = [authority.issue("busy.example", file=f"many-busy{number}") for number in range(2)]
    created = node.admin.create("/certificates", {
        "cert": versions[0].pem, "key": versions[0].key_pem, "snis": ["busy.example"]})
    clients = [subprocess.Popen(
        # A connection a request, all at once.
        ["h2load", "--h1", "-n", str(CROWD), "-c", str(CROWD), "-t", "1", "--connect-to",
         f"127.0.0.1:{node.tls_port}", f"https://busy.example:{node.tls_port}/"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(4)]
    changes = 0
    while any(client.poll() is None for client in clients):
        changes += 1
        certificate = versions[changes % 2]
        answer = node.admin.patch(f"/certificates/{created['id']}", {
            "cert": certificate.pem, "key": certificate.key_pem})
        assert answer.status_code == 200, answer.text
    for client in clients:
        said = client.communicate()[0]
        assert f"{CROWD} succeeded, 0 failed, 0 errored, 0 timeout" in said, said
    assert changes > 0
    counted = node.admin.get("/metrics").text
    print(f"{4 * CROWD} handshakes under {changes} changes")
    assert re.search(r'handshakes_total\{result="failed"\} (\d+)', counted)[1] == "0"
    assert int(re.search(r'handshakes_total\{result="full"\} (\d+)', counted)[1]) == 4 * CROWD
