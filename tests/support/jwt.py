"""JSON Web Tokens, signed by OpenSSL."""

import base64
import hashlib
import hmac
import json
import subprocess


def encode(data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """A pair of keys for an algorithm; `public` is PEM."""

    KINDS = {"RS": ["rsa", "rsa_keygen_bits:2048"], "PS": ["rsa", "rsa_keygen_bits:2048"],
             "ES256": ["ec", "ec_paramgen_curve:P-256"], "ES384": ["ec", "ec_paramgen_curve:P-384"],
             "ES512": ["ec", "ec_paramgen_curve:P-521"]}

    def __init__(self, directory, algorithm):
        self.algorithm, self.directory = algorithm, directory
        self.path = str(directory / f"{algorithm}.key")
        if algorithm == "EdDSA":
            self._openssl("genpkey", "-algorithm", "ed25519", "-out", self.path)
        else:
            kind, option = self.KINDS.get(algorithm[:2]) or self.KINDS[algorithm]
            self._openssl("genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", self.path)
        self.public = self._openssl("pkey", "-in", self.path, "-pubout").decode()

    @staticmethod
    def _openssl(*arguments, data=None):
        return subprocess.run(["openssl", *arguments], check=True, input=data,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def sign(self, text):
        if self.algorithm == "EdDSA":
            path = self.directory / "text"
            path.write_bytes(text)
            return self._openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in", str(path))
        options = []
        if self.algorithm.startswith("PS"):
            options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
        signature = self._openssl("dgst", f"-sha{self.algorithm[2:]}", "-sign", self.path, *options,
                                  data=text)
        return self._halves(signature) if self.algorithm.startswith("ES") else signature

    def _halves(self, der):
        """Two numbers behind each other, of a fixed length, out of DER's sequence of them."""
        size = {"256": 32, "384": 48, "512": 66}[self.algorithm[2:]]
        at = 3 if der[1] & 0x80 else 2
        numbers = []
        for _ in range(2):
            length = der[at + 1]
            numbers.append(int.from_bytes(der[at + 2:at + 2 + length], "big"))
            at += 2 + length
        return b"".join(number.to_bytes(size, "big") for number in numbers)


def make(claims, key, algorithm=None, **header):
    """A token; `key` is a secret's text, or a Key."""
    algorithm = algorithm or (key.algorithm if isinstance(key, Key) else "HS256")
    text = f"{encode({'typ': 'JWT', 'alg': algorithm, **header})}.{encode(claims)}".encode()
    if isinstance(key, Key):
        signature = key.sign(text)
    else:
        key = key if isinstance(key, bytes) else key.encode()
        signature = hmac.new(key, text, getattr(hashlib, f"sha{algorithm[2:]}")).digest()
    return f"{text.decode()}.{encode(signature)}"
