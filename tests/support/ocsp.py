"""An OCSP responder, whose answers the openssl command makes."""

import http.server
import os
import subprocess
import threading


def serial_of(certificate):
    shown = subprocess.run(["openssl", "x509", "-in", certificate.path, "-noout", "-serial"],
                           capture_output=True, text=True, check=True).stdout
    return shown.strip().partition("=")[2]


def make_response(authority, certificate, path, status="V", signer=None):
    """Writes to `path` what `authority` says of the certificate: "V", or "R" for revoked."""
    index = f"{path}.index"
    revoked = "250101000000Z" if status == "R" else ""
    with open(index, "w", encoding="ascii") as file:
        file.write(f"{status}\t491231235959Z\t{revoked}\t{serial_of(certificate)}\tunknown\t/CN=x\n")
    signer = signer or authority
    temporary = f"{path}.new"
    subprocess.run(["openssl", "ocsp", "-index", index, "-CA", authority.path,
                    "-issuer", authority.path, "-cert", certificate.path, "-no_nonce",
                    "-rsigner", signer.path, "-rkey", signer.key_path, "-ndays", "1",
                    "-respout", temporary], check=True, capture_output=True)
    os.replace(temporary, path)


class Responder:
    """Answers every request with `answer`: bytes, or a status that is not 200."""

    def __init__(self):
        self.answer = 503
        self.requests = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests += 1
                answer = outer.answer
                body = answer if isinstance(answer, bytes) else b""
                self.send_response(200 if body else answer)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                pass
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
