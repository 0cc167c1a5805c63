"""Certificates, the names they are for, and authorities: what is accepted, listed and cascaded."""

import hashlib
import ssl
import subprocess
import uuid

import pytest



def openssl(*arguments, **options):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True,
                          **options).stdout


class Pem:
    """Certificates and keys, made once a run."""

    def __init__(self, directory):
        self.directory = directory
        self.rsa, self.rsa_key = self._make("rsa", "rsa:2048")
        self.other, self.other_key = self._make("other", "rsa:2048")
        self.ec, self.ec_key = self._make("ec", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        self.ca, self.ca_key = self._make("ca", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                                          ca=True)
        self.ca2, _ = self._make("ca2", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", ca=True)
        self.old_ca, _ = self._make("old", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", ca=True,
                                    days="-1")

    def _make(self, name, kind, *options, ca=False, days="3650"):
        key, cert = self.directory / f"{name}.key", self.directory / f"{name}.crt"
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        extensions.write_text(f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}\n")
        openssl("req", "-new", "-newkey", kind, *options, "-nodes", "-keyout", str(key), "-out",
                str(request), "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", str(request), "-signkey", str(key), "-out", str(cert),
                "-days", days, "-extfile", str(extensions))
        return cert.read_text(), key.read_text()


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return Pem(tmp_path_factory.mktemp("pem"))


@pytest.fixture
def admin(node):
    yield node.admin
    for path in ("services", "certificates", "ca_certificates"):
        for row in node.admin.get(f"/{path}?size=1000").json()["data"]:
            node.admin.remove(f"/{path}/{row['id']}")


def refused(answer, message):
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"] == message
    return answer.json()


class TestCertificates:
    def test_a_row_has_every_field_and_its_names_in_order(self, admin, pem):
        row = admin.create("/certificates", {"cert": pem.rsa, "key": pem.rsa_key,
                                             "snis": ["b.example", "a.example", "*.c.example"]})
        uuid.UUID(row["id"])
        assert row["created_at"] == row["updated_at"]
        assert {name: row[name] for name in row if name not in ("id", "created_at", "updated_at")} == {
            "cert": pem.rsa, "key": pem.rsa_key, "cert_alt": None, "key_alt": None, "tags": None,
            "snis": ["*.c.example", "a.example", "b.example"]}
        assert admin.get(f"/certificates/{row['id']}").json() == row
        assert admin.get("/certificates").json()["data"] == [row]
        names = {sni["name"]: sni for sni in admin.get("/snis").json()["data"]}
        assert sorted(names) == row["snis"]
        assert names["a.example"]["certificate"] == {"id": row["id"]}

    @pytest.mark.parametrize("body, message", [
        ({}, "2 schema violations (cert: required field missing; key: required field missing)"),
        ({"cert": "x", "key": "y"}, None),
        ({"cert": 1, "key": True},
         "2 schema violations (cert: expected a string; key: expected a string)"),
        ({"cert": "rsa", "key": "other_key"},
         "schema violation (certificate does not match key)"),
        ({"cert": "rsa", "key": "rsa_key", "cert_alt": "ec"},
         "schema violation (all or none of these fields must be set: 'cert_alt', 'key_alt')"),
        ({"cert": "rsa", "key": "rsa_key", "cert_alt": "ec", "key_alt": "other_key"},
         "schema violation (alternative certificate does not match key)"),
        ({"cert": "rsa", "key": "rsa_key", "cert_alt": "other", "key_alt": "other_key"},
         "schema violation (certificate and alternative certificate need to have different type "
         "(e.g. RSA and ECDSA), the provided certificates were both of the same type)"),
        ({"cert": "rsa", "key": "rsa_key", "x": 1}, "schema violation (x: unknown field)"),
    ])
    def test_a_bad_body_is_refused(self, admin, pem, body, message):
        body = {name: getattr(pem, str(value), value) for name, value in body.items()}
        answer = admin.post("/certificates", body)
        if message:
            refused(answer, message)
        else:
            fields = answer.json()["fields"]
            assert fields["cert"].startswith("invalid certificate: ")
            assert fields["key"].startswith("invalid key: ")

    def test_two_of_different_type_are_one_certificate(self, admin, pem):
        row = admin.create("/certificates", {"cert": pem.rsa, "key": pem.rsa_key,
                                             "cert_alt": pem.ec, "key_alt": pem.ec_key})
        assert (row["cert_alt"], row["key_alt"]) == (pem.ec, pem.ec_key)

    def test_a_reference_is_looked_up_later(self, admin):
        row = admin.create("/certificates", {"cert": "{vault://env/cert}",
                                             "key": "{vault://env/key}"})
        assert row["cert"] == "{vault://env/cert}"

    def test_names_are_one_certificates_and_each_once(self, admin, pem):
        both = {"cert": pem.rsa, "key": pem.rsa_key}
        first = admin.create("/certificates", {**both, "snis": ["a.com"]})
        body = refused(admin.post("/certificates", {**both, "snis": ["b.com", "b.com"]}),
                       "schema violation (snis: b.com is duplicated)")
        assert body["fields"] == {"snis": "b.com is duplicated"}
        refused(admin.post("/certificates", {**both, "snis": ["a.com"]}),
                "schema violation (snis: a.com already associated with existing certificate "
                f"'{first['id']}')")
        refused(admin.post("/certificates", {**both, "snis": ["10.0.0.1"]}),
                "schema violation (snis: must not be an IP)")
        refused(admin.post("/certificates", {**both, "snis": 7}),
                "schema violation (snis: expected an array)")
        assert len(admin.get("/certificates").json()["data"]) == 1
        assert len(admin.get("/snis").json()["data"]) == 1

    def test_patch_leaves_names_alone_unless_it_has_some_and_put_replaces_them(self, admin, pem):
        both = {"cert": pem.rsa, "key": pem.rsa_key}
        row = admin.create("/certificates", {**both, "snis": ["a.com", "b.com"]})
        where = f"/certificates/{row['id']}"
        kept = admin.get("/snis/b.com").json()
        assert admin.patch(where, {"tags": ["t"]}).json()["snis"] == ["a.com", "b.com"]
        assert admin.patch(where, {"snis": ["b.com", "c.com"]}).json()["snis"] == ["b.com", "c.com"]
        assert admin.get("/snis/b.com").json() == kept
        assert admin.put(where, {**both, "snis": ["d.com"]}).json()["snis"] == ["d.com"]
        assert admin.put(where, both).json()["snis"] == []
        assert admin.get("/snis").json()["data"] == []

    def test_a_name_in_the_path_stands_for_the_certificate(self, admin, pem):
        both = {"cert": pem.rsa, "key": pem.rsa_key}
        made = admin.put("/certificates/a.com", {**both, "snis": ["b.com"]})
        assert (made.status_code, made.json()["snis"]) == (200, ["a.com", "b.com"])
        row = admin.get("/certificates/b.com").json()
        assert row == made.json()
        assert admin.patch("/certificates/a.com", {"tags": ["t"]}).json()["id"] == row["id"]
        replaced = admin.put("/certificates/a.com", both).json()
        assert (replaced["id"], replaced["snis"]) == (row["id"], ["a.com"])
        assert [sni["name"] for sni in admin.get("/certificates/a.com/snis").json()["data"]] == [
            "a.com"]
        missing = admin.get("/certificates/none.com")
        assert (missing.status_code, missing.json()) == (404, {"message": "SNI not found"})
        admin.remove("/certificates/a.com")
        assert admin.get(f"/certificates/{row['id']}").status_code == 404
        assert admin.get("/snis/a.com").status_code == 404

    def test_forms_name_one_or_many(self, admin, pem):
        for names, expected in (({"snis": "a.com"}, ["a.com"]),
                                ({"snis[]": ["b.com", "c.com"]}, ["b.com", "c.com"])):
            answer = admin.request("POST", "/certificates",
                                   data={"cert": pem.rsa, "key": pem.rsa_key, **names})
            assert answer.status_code == 201, answer.text
            assert answer.json()["snis"] == expected

    def test_one_in_use_stays(self, admin, pem):
        row = admin.create("/certificates", {"cert": pem.rsa, "key": pem.rsa_key})
        service = admin.create("/services", {"host": "h", "protocol": "https",
                                             "client_certificate": {"id": row["id"]}})
        assert admin.get(f"/certificates/{row['id']}/services").json()["data"] == [service]
        assert admin.get(f"/services/{service['id']}/client_certificate").json() == row
        body = refused(admin.delete(f"/certificates/{row['id']}"),
                       "an existing 'services' entity references this 'certificates' entity")
        assert (body["code"], body["fields"]) == (4, {"@referenced_by": "services"})


class TestSnis:
    @pytest.mark.parametrize("name, message", [
        (None, "required field missing"),
        ("*", None), ("a.*.b", "wildcard must be leftmost or rightmost character"),
        ("*.a.*", "only one wildcard must be specified"),
        ("10.0.0.1", "must not be an IP"), ("a.com:80", "must not have a port"),
    ])
    def test_names(self, admin, pem, name, message):
        row = admin.create("/certificates", {"cert": pem.rsa, "key": pem.rsa_key})
        answer = admin.post(f"/certificates/{row['id']}/snis", {"name": name})
        if message:
            refused(answer, f"schema violation (name: {message})")
        else:
            assert answer.status_code in (201, 400)

    def test_a_name_is_taken_once(self, admin, pem):
        row = admin.create("/certificates", {"cert": pem.rsa, "key": pem.rsa_key})
        sni = admin.create("/snis", {"name": "a.com", "certificate": {"id": row["id"]}})
        assert sorted(sni) == ["certificate", "created_at", "id", "name", "tags", "updated_at"]
        answer = admin.post("/snis", {"name": "a.com", "certificate": {"id": row["id"]}})
        assert (answer.status_code, answer.json()["fields"]) == (409, {"name": "a.com"})
        assert admin.get(f"/certificates/{row['id']}").json()["snis"] == ["a.com"]

    def test_it_doesnt_lead_to_its_certificate(self, admin, pem):
        admin.create("/certificates", {"cert": pem.rsa, "key": pem.rsa_key, "snis": ["a.com"]})
        answer = admin.get("/snis/a.com/certificate")
        assert (answer.status_code, answer.json()) == (404, {"message": "Not found"})


class TestAuthorities:
    def test_a_row_has_a_digest(self, admin, pem):
        row = admin.create("/ca_certificates", {"cert": pem.ca, "tags": ["t"]})
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.ca)).hexdigest()
        assert (row["cert"], row["cert_digest"], row["tags"]) == (pem.ca, digest, ["t"])
        assert sorted(row) == ["cert", "cert_digest", "created_at", "id", "tags", "updated_at"]
        again = admin.post("/ca_certificates", {"cert": pem.ca})
        assert (again.status_code, again.json()["fields"]) == (409, {"cert_digest": digest})
        changed = admin.patch(f"/ca_certificates/{row['id']}", {"cert": pem.ca2}).json()
        assert changed["cert_digest"] != digest

    def test_what_is_no_authority_is_refused(self, admin, pem):
        refused(admin.post("/ca_certificates", {}), "schema violation (cert: required field missing)")
        refused(admin.post("/ca_certificates", {"cert": pem.ca + pem.ca2}),
                "schema violation (please submit only one certificate at a time)")
        refused(admin.post("/ca_certificates", {"cert": pem.old_ca}),
                'schema violation (certificate expired, "Not After" time is in the past)')
        refused(admin.post("/ca_certificates", {"cert": pem.rsa}),
                "schema violation (certificate does not appear to be a CA because it is missing "
                'the "CA" basic constraint)')

    def test_it_is_found_by_id_alone(self, admin):
        body = refused(admin.get("/ca_certificates/name"),
                       "invalid primary key: '{id=\"expected a valid UUID\"}'")
        assert body["code"] == 1

    def test_one_in_use_stays(self, admin, pem):
        row = admin.create("/ca_certificates", {"cert": pem.ca})
        service = admin.create("/services", {"host": "h", "protocol": "https",
                                             "ca_certificates": [row["id"]]})
        body = refused(admin.delete(f"/ca_certificates/{row['id']}"),
                       f"ca certificate {row['id']} is still referenced by services (id = "
                       f"{service['id']})")
        assert (body["code"], body["name"]) == (19, "referenced by others")
        admin.remove(f"/services/{service['id']}")
        admin.remove(f"/ca_certificates/{row['id']}")
