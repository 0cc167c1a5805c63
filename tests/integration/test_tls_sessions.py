"""TLS sessions that are resumed at another node, and the secrets that nodes share for it."""

import subprocess
import ssl

import pytest

from support.tls import TlsClient, trusting
from support.waiting import eventually
from support.weir import clean_environment

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def secrets_of(postgres):
    rows = postgres.query("SELECT body->>'secret' FROM rows WHERE kind = 'ticket_keys'")
    return {row for row in rows.split() if row}


def begin(node, context):
    """A session with a node."""
    with TlsClient(node.tls_port, context=context) as client:
        assert client.get("/").status == 404  # with TLS 1.3 tickets come after the handshake
        return client.sock.session


def is_resumed(node, context, session):
    with TlsClient(node.tls_port, context=context, session=session) as client:
        assert client.get("/").status == 404
        return client.sock.session_reused


@pytest.fixture
def new_node(new_tls_weir, postgres):
    def make(**settings):
        return new_tls_weir(**{**postgres.settings, "MIGRATE": "auto", **settings})
    return make


class TestNodes:
    @pytest.mark.parametrize("version", [V12, V13])
    def test_a_session_is_resumed_at_any_node_of_a_database(self, new_node, postgres, version):
        first = new_node()
        eventually(lambda: len(secrets_of(postgres)) >= 2, "secrets")
        second = new_node()
        context = trusting(version=version)
        # A node that has just written secrets uses them from the next handshake on.
        for one, other in [(first, second), (second, first)]:
            eventually(lambda one=one, other=other: is_resumed(other, context, begin(one, context)))
        session = begin(first, context)
        for _ in range(8):
            assert is_resumed(second, context, session)
        second.restart()
        assert is_resumed(second, context, session)
        # Nobody made more of them meanwhile, and nobody tells.
        secrets = secrets_of(postgres)
        assert 2 <= len(secrets) <= 3  # of now and next; a period may have ended meanwhile
        for node in (first, second):
            exported = subprocess.run(
                [node.binary, "config", "export", "-"], check=True, capture_output=True, text=True,
                env=clean_environment(node.directory, node.settings), cwd=node.directory).stdout
            assert not any(secret in exported + node.log_text() for secret in secrets)
            assert "ticket_keys" not in exported
            for path in ("/ticket_keys", "/schemas/ticket_keys"):
                assert node.admin.get(path).status_code == 404

    def test_secrets_change_and_old_ones_are_removed(self, new_node, postgres):
        nodes = [new_node(SSL_SESSION_TIMEOUT="2s") for _ in range(2)]
        eventually(lambda: secrets_of(postgres), "secrets")
        before = secrets_of(postgres)
        eventually(lambda: not before & secrets_of(postgres), "others")
        assert len(secrets_of(postgres)) <= 8
        context = trusting(version=V12)
        eventually(lambda: is_resumed(nodes[1], context, begin(nodes[0], context)))

    def test_a_secret_of_a_file_goes_first(self, new_node, postgres, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text("0123456789abcdef0123456789abcdef", encoding="ascii")
        nodes = [new_node(SSL_TICKET_SECRET_FILE=secret) for _ in range(2)]
        context = trusting(version=V12)
        assert is_resumed(nodes[1], context, begin(nodes[0], context))
        assert not secrets_of(postgres)


class TestOneNode:
    def test_sessions_outlive_a_restart(self, new_tls_weir):
        node = new_tls_weir()
        context = trusting(version=V12)

        def survives():
            session = begin(node, context)
            node.restart()
            return is_resumed(node, context, session)
        eventually(survives, "a session that began with the secrets of the store")

    def test_without_a_store_they_end_with_the_process(self, new_tls_weir):
        node = new_tls_weir(DATABASE="off")
        context = trusting(version=V12)
        session = begin(node, context)
        assert is_resumed(node, context, session)
        node.restart()
        assert not is_resumed(node, context, session)
