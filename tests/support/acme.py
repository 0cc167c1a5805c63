"""An ACME authority (RFC 8555) that believes nothing: checks signatures and nonces, validates hosts
at the ports that it is told, and fails on demand."""

import base64
import datetime
import hashlib
import hmac
import http.client
import http.server
import json
import secrets
import socket
import ssl
import threading
import time

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64(text):
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def thumbprint(jwk):
    canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")},
                           separators=(",", ":"), sort_keys=True)
    return b64(hashlib.sha256(canonical.encode("ascii")).digest())


class Problem(Exception):
    def __init__(self, kind, detail="", status=400, retry_after=None):
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail, self.status, self.retry_after = kind, detail, status, retry_after

    @property
    def document(self):
        return {"type": f"urn:ietf:params:acme:error:{self.kind}", "detail": self.detail}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.acme.answer(self, None)

    def do_HEAD(self):
        self.server.acme.answer(self, None)

    def do_POST(self):
        self.server.acme.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_arguments):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that was killed


class AcmeServer:
    """`authority` is a support.tls.Authority: of the server's own certificate and of what it issues.

    `http_ports`, `tls_ports`: where a host is validated; each of them must answer.
    """

    def __init__(self, authority):
        self.authority = authority
        self.http_ports, self.tls_ports = [], []
        self.accounts = {}     # url → {"jwk", "contact"}
        self.orders = {}       # number → order
        self.issued = []       # (host, pem)
        self.validations = []  # (type, host, port)
        self.requests = []     # paths of POSTs, as they come
        self.nonces = set()
        self._lock = threading.Lock()
        # How it misbehaves.
        self.bad_nonces = 0        # so many of the next requests have one
        self.refuse_validation = None  # the detail of why
        self.refuse_orders = None      # a Problem
        self.garbage = {}          # path's first word → bytes in place of the answer
        self.delay_s = 0           # before each answer
        self.lifetime = datetime.timedelta(days=90)
        self.issue_for = None      # another host than the one that was asked for
        self.issue_key = None      # another key
        self.bound = None          # (kid, key): accounts must be bound
        self.may_validate = threading.Event()
        self.may_validate.set()
        self.is_validating = threading.Event()

        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.acme = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own = authority.issue("127.0.0.1", file="acme-server")
        context.load_cert_chain(own.path, own.key_path)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                  do_handshake_on_connect=False)
        self.base = f"https://127.0.0.1:{self._server.server_port}"
        self.directory = f"{self.base}/directory"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.may_validate.set()
        self._server.shutdown()
        self._server.server_close()

    def settings(self, *hosts, **more):
        """What a node is told to use it."""
        return {"ACME_HOSTS": ",".join(hosts), "ACME_AGREE_TOS": "on",
                "ACME_DIRECTORY": self.directory, "ACME_CA_FILE": self.authority.path,
                "ACME_EMAIL": "admin@example.com", "ACME_RETRY": "1", **more}

    # Requests.

    def _nonce(self):
        nonce = secrets.token_urlsafe(16)
        with self._lock:
            self.nonces.add(nonce)
        return nonce

    def answer(self, request, body):
        status, headers, content = 200, {}, b""
        if self.delay_s:
            time.sleep(self.delay_s)
        word = request.path.strip("/").split("/")[0]
        try:
            if word in self.garbage:
                content = self.garbage[word]
                headers["Location"] = "garbage"
            elif word == "directory":
                content = {name: f"{self.base}/{path}" for name, path in (
                    ("newNonce", "nonce"), ("newAccount", "account"), ("newOrder", "order"))}
            elif word == "nonce":
                status = 200
            else:
                self.requests.append(request.path)
                status, headers, content = self._post(request, body)
        except Problem as problem:
            status, content = problem.status, problem.document
            headers = {"Content-Type": "application/problem+json"}
            if problem.retry_after:
                headers["Retry-After"] = str(problem.retry_after)
        if isinstance(content, dict):
            content = json.dumps(content).encode("utf-8")
        request.send_response(status)
        request.send_header("Replay-Nonce", self._nonce())
        request.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)

    def _verify(self, request, body):
        """The account's URL (None: a new one), its key and the payload."""
        if request.headers["Content-Type"] != "application/jose+json":
            raise Problem("malformed", "content type", 415)
        jws = json.loads(body)
        head = json.loads(unb64(jws["protected"]))
        if head["alg"] != "ES256" or head["url"] != self.base + request.path:
            raise Problem("malformed", f"protected header: {head}")
        with self._lock:
            is_known = head["nonce"] in self.nonces
            self.nonces.discard(head["nonce"])
            if self.bad_nonces > 0:
                self.bad_nonces -= 1
                is_known = False
        if not is_known:
            raise Problem("badNonce", "not one of ours")
        if ("jwk" in head) == ("kid" in head):
            raise Problem("malformed", "jwk or kid")
        if "kid" in head and head["kid"] not in self.accounts:
            raise Problem("accountDoesNotExist", head["kid"])
        jwk = head["jwk"] if "jwk" in head else self.accounts[head["kid"]]["jwk"]
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(unb64(jwk["x"]), "big"),
                                                int.from_bytes(unb64(jwk["y"]), "big"),
                                                ec.SECP256R1())
        signature = unb64(jws["signature"])
        assert len(signature) == 64 and jwk["kty"] == "EC" and jwk["crv"] == "P-256"
        try:
            numbers.public_key().verify(
                encode_dss_signature(int.from_bytes(signature[:32], "big"),
                                     int.from_bytes(signature[32:], "big")),
                f"{jws['protected']}.{jws['payload']}".encode("ascii"), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise Problem("unauthorized", "the signature is none", 403) from error
        payload = json.loads(unb64(jws["payload"])) if jws["payload"] else None
        return head.get("kid"), jwk, payload

    def _post(self, request, body):
        kid, jwk, payload = self._verify(request, body)
        word, _, rest = request.path.strip("/").partition("/")
        if word == "account":
            return self._account(jwk, payload)
        if not kid:
            raise Problem("malformed", "who are you?")
        if word == "order" and not rest:
            return self._new_order(kid, payload)
        order = self.orders[int(rest)]
        if order["account"] != kid:
            raise Problem("unauthorized", "not yours", 403)
        return getattr(self, f"_{word}")(order, payload)

    def _check_binding(self, jwk, payload):
        kid, key = self.bound
        binding = payload.get("externalAccountBinding")
        if not binding:
            raise Problem("externalAccountRequired")
        head = json.loads(unb64(binding["protected"]))
        text = f"{binding['protected']}.{binding['payload']}".encode("ascii")
        if (head != {"alg": "HS256", "kid": kid, "url": f"{self.base}/account"} or
                json.loads(unb64(binding["payload"])) != jwk or
                hmac.digest(key, text, "sha256") != unb64(binding["signature"])):
            raise Problem("unauthorized", "the binding is none", 403)

    def _account(self, jwk, payload):
        for url, account in self.accounts.items():
            if account["jwk"] == jwk:
                return 200, {"Location": url}, {"status": "valid"}
        if not payload.get("termsOfServiceAgreed"):
            raise Problem("userActionRequired", "terms of service")
        if self.bound:
            self._check_binding(jwk, payload)
        url = f"{self.base}/acct/{secrets.token_hex(4)}"
        self.accounts[url] = {"jwk": jwk, "contact": payload.get("contact")}
        return 201, {"Location": url}, {"status": "valid"}

    def _new_order(self, kid, payload):
        if self.refuse_orders:
            raise self.refuse_orders
        [identifier] = payload["identifiers"]
        number = len(self.orders) + 1
        self.orders[number] = {
            "number": number, "account": kid, "host": identifier["value"], "status": "pending",
            "authorization": "pending", "error": None,
            "tokens": {kind: secrets.token_urlsafe(24) for kind in ("http-01", "tls-alpn-01")}}
        status, headers, body = self._order(self.orders[number], None)
        return 201, {**headers, "Location": f"{self.base}/order/{number}"}, body

    def _order(self, order, _payload):
        number = order["number"]
        body = {"status": order["status"],
                "identifiers": [{"type": "dns", "value": order["host"]}],
                "authorizations": [f"{self.base}/authz/{number}"],
                "finalize": f"{self.base}/finalize/{number}"}
        if order["status"] == "valid":
            body["certificate"] = f"{self.base}/cert/{number}"
        return 200, {}, body

    def _challenge_body(self, order, kind):
        body = {"type": kind, "status": order["authorization"], "token": order["tokens"][kind],
                "url": f"{self.base}/challenge-{kind}/{order['number']}"}
        if order["error"]:
            body["error"] = order["error"]
        return body

    def _authz(self, order, payload):
        assert payload is None
        return 200, {}, {"status": order["authorization"],
                         "identifier": {"type": "dns", "value": order["host"]},
                         "challenges": [self._challenge_body(order, kind)
                                        for kind in order["tokens"]]}

    def _begin(self, order, payload, kind):
        assert payload == {}
        threading.Thread(target=self._validate, args=(order, kind), daemon=True).start()
        return 200, {}, self._challenge_body(order, kind)

    def __getattr__(self, name):
        if name.startswith("_challenge-"):
            return lambda order, payload: self._begin(order, payload, name[len("_challenge-"):])
        raise AttributeError(name)

    # Validation.

    def _validate(self, order, kind):
        self.is_validating.set()
        self.may_validate.wait()
        try:
            if self.refuse_validation:
                raise Problem("unauthorized", self.refuse_validation)
            token = order["tokens"][kind]
            expected = f"{token}.{thumbprint(self.accounts[order['account']]['jwk'])}"
            check = self._validate_http if kind == "http-01" else self._validate_tls
            ports = self.http_ports if kind == "http-01" else self.tls_ports
            assert ports
            for port in ports:
                self.validations.append((kind, order["host"], port))
                check(order["host"], port, token, expected)
            order["authorization"] = "valid"
            order["status"] = "ready"
        except (Problem, OSError, AssertionError, http.client.HTTPException) as error:
            problem = error if isinstance(error, Problem) else Problem("connection", repr(error))
            order["error"] = problem.document
            order["authorization"] = order["status"] = "invalid"

    @staticmethod
    def _validate_http(host, port, token, expected):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", f"/.well-known/acme-challenge/{token}", headers={"Host": host})
            answer = connection.getresponse()
            text = answer.read().decode("ascii", "replace").rstrip()
        finally:
            connection.close()
        if answer.status != 200 or text != expected:
            raise Problem("unauthorized", f"port {port} answers {answer.status} {text[:80]}", 403)

    @staticmethod
    def _validate_tls(host, port, _token, expected):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            certificate, protocol = tls_proof(port, host, version)
            extension = certificate.extensions.get_extension_for_oid(ACME_IDENTIFIER)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            digest = hashlib.sha256(expected.encode("ascii")).digest()
            if (protocol != "acme-tls/1" or not extension.critical or
                    extension.value.value != b"\x04\x20" + digest or
                    names.value.get_values_for_type(x509.DNSName) != [host]):
                raise Problem("unauthorized", f"port {port} shows another certificate", 403)

    # Issuing.

    def _finalize(self, order, payload):
        if order["status"] != "ready":
            raise Problem("orderNotReady", order["status"], 403)
        request = x509.load_der_x509_csr(unb64(payload["csr"]))
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if not request.is_signature_valid or \
                names.get_values_for_type(x509.DNSName) != [order["host"]]:
            raise Problem("badCSR")
        order["pem"] = self._issue(self.issue_for or order["host"],
                                   self.issue_key or request.public_key())
        order["status"] = "processing"
        timer = threading.Timer(0.2, lambda: order.update(status="valid"))
        timer.daemon = True
        timer.start()
        return self._order(order, None)

    def _issue(self, host, key):
        with open(self.authority.key_path, "rb") as file:
            own_key = serialization.load_pem_private_key(file.read(), None)
        own = x509.load_pem_x509_certificate(self.authority.pem.encode("ascii"))
        now = datetime.datetime.utcnow()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issued by a test")]))
            .issuer_name(own.subject).public_key(key).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(seconds=5))
            .not_valid_after(now + self.lifetime)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
            .sign(own_key, hashes.SHA256()))
        return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def _cert(self, order, payload):
        assert payload is None and order["status"] == "valid"
        self.issued.append((order["host"], order["pem"]))
        return (200, {"Content-Type": "application/pem-certificate-chain"},
                (order["pem"] + self.authority.pem).encode("ascii"))


def tls_proof(port, host, version=None, protocols=("acme-tls/1",)):
    """The certificate and the protocol of a handshake; the server must have closed after it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    if version:
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 20) as raw:
        with context.wrap_socket(raw, server_hostname=host) as secured:
            found = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True))
            if tuple(protocols) == ("acme-tls/1",):
                try:
                    assert secured.recv(1) == b"", "the connection went on"
                except ConnectionError:
                    pass
            return found, secured.selected_alpn_protocol()
