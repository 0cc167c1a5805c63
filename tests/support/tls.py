"""Certificates made by the openssl command, and a client that speaks TLS."""

import os
import socket
import ssl
import subprocess

from .waiting import PATIENCE_S
from .wire import Client, Reader

KEY_TYPES = {"rsa": ["-newkey", "rsa:2048"],
             "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Certificate:
    """The paths of a certificate and its key, and their texts."""

    def __init__(self, path, key_path):
        self.path, self.key_path = str(path), str(key_path)

    @staticmethod
    def _read(path):
        with open(path, encoding="ascii") as file:
            return file.read()

    @property
    def pem(self):
        return self._read(self.path)

    @property
    def key_pem(self):
        return self._read(self.key_path)

    @property
    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.pem)


class Authority(Certificate):
    """Issues certificates: Authority(tmp_path).issue("a.example")."""

    def __init__(self, directory, name="ca", parent=None):
        self.directory = str(directory)
        path, key = os.path.join(self.directory, f"{name}.crt"), os.path.join(
            self.directory, f"{name}.key")
        extra = ["-CA", parent.path, "-CAkey", parent.key_path] if parent else []
        _openssl("req", "-x509", *KEY_TYPES["ec"], "-nodes", "-days", "30", "-subj",
                 f"/CN={name} of a test", "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign", *extra,
                 "-keyout", key, "-out", path)
        super().__init__(path, key)

    def issue(self, name, key="ec", names=None, days=30, file=None, responder=None):
        """`names` are its subject alternative names; by default the name itself. `responder` is the
        URL of the one that knows whether it is revoked."""
        stem = os.path.join(self.directory, file or f"{name.replace('*', 'any')}-{key}")
        names = names or [name]
        alternatives = ",".join(
            ("IP:" if entry.replace(".", "").isdigit() or ":" in entry else "DNS:") + entry
            for entry in names)
        access = ["-addext", f"authorityInfoAccess=OCSP;URI:{responder}"] if responder else []
        # In two steps, as `req -x509` makes nothing that has expired.
        _openssl("req", *KEY_TYPES[key], "-nodes", "-subj", f"/CN={name}", "-addext",
                 f"subjectAltName={alternatives}", "-addext", "basicConstraints=critical,CA:FALSE",
                 *access, "-keyout", f"{stem}.key", "-out", f"{stem}.csr")
        _openssl("x509", "-req", "-in", f"{stem}.csr", "-copy_extensions", "copyall", "-days",
                 str(days), "-CA", self.path, "-CAkey", self.key_path, "-out", f"{stem}.crt")
        return Certificate(f"{stem}.crt", f"{stem}.key")


def trusting(authority=None, version=None, ciphers=None, certificate=None):
    """A client's context; without an authority it takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority:
        context.load_verify_locations(authority.path)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    if certificate:
        context.load_cert_chain(certificate.path, certificate.key_path)
    return context


def serving(certificate, clients_of=None, version=None):
    """A server's context, that notes the name that a client asks for; with `clients_of`, an
    authority, clients must show a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key_path)
    if clients_of:
        context.load_verify_locations(clients_of.path)
        context.verify_mode = ssl.CERT_REQUIRED
    if version:
        context.minimum_version = context.maximum_version = version

    def note(sock, name, _context):
        sock.asked_name = name
    context.sni_callback = note
    return context


class TlsClient(Client):
    """wire.Client over TLS; name=None sends no server name."""

    def __init__(self, port, name="localhost", context=None, session=None, timeout=PATIENCE_S):
        raw = socket.create_connection(("127.0.0.1", port), timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = context or trusting()
        try:
            self.sock = context.wrap_socket(raw, server_hostname=name, session=session)
        except BaseException:
            raw.close()
            raise
        self.reader = Reader(self.sock)

    @property
    def certificate(self):
        """The peer's, as DER."""
        return self.sock.getpeercert(binary_form=True)
