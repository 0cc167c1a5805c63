"""What was answered with 2xx is there after whatever happens to the process."""

import hashlib
import os
import threading

import pytest
import requests

from support.waiting import eventually


def tree_digest(folder):
    digest = hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            digest.update(name.encode() + b"\0" + file.read())
    return digest.hexdigest()


def the_database(weir):
    """The main file of the embedded store."""
    folder = weir.settings["WEIR_DATA_DIR"]
    files = [name for name in os.listdir(folder) if not name.endswith(("-wal", "-shm"))]
    assert len(files) >= 1, os.listdir(folder)
    files.sort(key=lambda name: os.path.getsize(os.path.join(folder, name)))
    return os.path.join(folder, files[-1])


class TestRestart:
    def test_the_configuration_survives_a_restart(self, weir, backend):
        weir.pool("u", [backend], tags=["a"])
        kinds = ("/services", "/routes", "/upstreams", "/upstreams/u/targets")
        before = {kind: weir.admin.get(kind).json() for kind in kinds}
        weir.restart()
        assert {kind: weir.admin.get(kind).json() for kind in kinds} == before
        assert weir.get("/u").status == 200

    def test_routes_of_a_restarted_node_are_in_force_with_its_first_answer(self, weir, backend):
        weir.serve("s", backend.url)
        for _ in range(5):
            weir.restart()
            assert weir.get("/s").status == 200

    def test_deleted_is_deleted(self, weir):
        weir.admin.create("/services", {"name": "s", "host": "h"})
        weir.admin.remove("/services/s")
        weir.restart()
        assert weir.admin.get("/services").json()["data"] == []


class TestKill:
    @pytest.mark.parametrize("moment", range(5))
    def test_what_was_answered_survives_kill_9_in_the_middle_of_writes(self, new_weir, backend,
                                                                       moment):
        weir = new_weir()
        answered = {}  # name: whether it is there
        lock = threading.Lock()

        def write(writer):
            session = requests.Session()
            session.trust_env = False
            for number in range(10000):
                name = f"w{writer}-{number}"
                try:
                    answer = session.post(f"{weir.admin.url}/services", timeout=60,
                                          json={"name": name, "url": backend.url})
                    with lock:
                        answered[name] = answer.status_code == 201
                    if number % 3 == 0:
                        with lock:
                            del answered[name]  # unknown until answered
                        answer = session.delete(f"{weir.admin.url}/services/{name}", timeout=60)
                        with lock:
                            answered[name] = not answer.status_code == 204
                except requests.RequestException:
                    return

        writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for writer in writers:
            writer.start()
        goal = 20 + 30 * moment
        eventually(lambda: len(answered) >= goal, every=0.001)
        weir.kill()
        for writer in writers:
            writer.join(60)

        weir.start()
        found, path = set(), "/services?size=1000"
        while path:
            body = weir.admin.get(path).json()
            found |= {entry["name"] for entry in body["data"]}
            path = body["next"]
        lost = {name for name, is_there in answered.items() if is_there} - found
        undead = {name for name, is_there in answered.items() if not is_there} & found
        assert (lost, undead) == (set(), set())
        weir.admin.create("/services", {"name": "one-more", "host": "h"})


class TestBrokenData:
    def refused(self, weir, weir_command):
        result = weir_command("run", **weir.settings)
        assert result.returncode == 1, result.stderr
        return result.stderr

    def test_a_file_that_is_no_database_is_an_error_and_stays_untouched(self, weir, weir_command):
        weir.stop()
        database = the_database(weir)
        for leftover in ("-wal", "-shm"):
            if os.path.exists(database + leftover):
                os.remove(database + leftover)
        with open(database, "wb") as file:
            file.write(b"This is somebody's diary, not a database.\n" * 500)
        digest = tree_digest(os.path.dirname(database))

        assert os.path.basename(database) in self.refused(weir, weir_command)
        assert tree_digest(os.path.dirname(database)) == digest

    def test_a_damaged_database_is_an_error_and_stays_untouched(self, weir, weir_command):
        for number in range(200):
            weir.admin.create("/services", {"name": f"s{number}", "host": "h"})
        weir.stop()
        database = the_database(weir)
        size = os.path.getsize(database)
        with open(database, "r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (size - 4096))
        with open(database, "rb") as file:
            content = file.read()

        assert os.path.basename(database) in self.refused(weir, weir_command)
        with open(database, "rb") as file:
            assert file.read() == content

    def test_a_folder_that_cannot_be_made_is_an_error(self, weir, weir_command, tmp_path):
        weir.stop()
        (tmp_path / "file").write_text("in the way")
        weir.settings["WEIR_DATA_DIR"] = str(tmp_path / "file" / "data")
        assert str(tmp_path / "file") in self.refused(weir, weir_command)
