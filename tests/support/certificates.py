"""Certificates for a test's own authority."""

import subprocess


def certify(directory, name, issuer=None):
    """`name`.pem and `name`.key in `directory`, signed by `issuer` (what this returned) or by itself."""
    key, pem, request = (str(directory / f"{name}.{end}") for end in ("key", "pem", "csr"))

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, stderr=subprocess.DEVNULL)
    common = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
              "-keyout", key, "-subj", f"/CN={name}"]
    if not issuer:
        openssl("req", "-x509", "-days", "2", "-out", pem, *common)
        return pem, key
    extensions = directory / "extensions"
    extensions.write_text(f"subjectAltName=DNS:{name}\n", encoding="ascii")
    openssl("req", "-new", "-out", request, *common)
    openssl("x509", "-req", "-days", "2", "-in", request, "-out", pem, "-CA", issuer[0],
            "-CAkey", issuer[1], "-CAcreateserial", "-extfile", str(extensions))
    return pem, key
