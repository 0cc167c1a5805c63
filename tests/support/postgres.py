"""A real PostgreSQL server, in a temporary directory and on a free port."""

import contextlib
import glob
import os
import pwd
import shutil
import subprocess
import tempfile

from .ports import free_port
from .process import Process


def find_binaries():
    """The folder of the newest PostgreSQL's programs; None where none is installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"),
                   key=lambda path: int(path.split("/")[-2]))
    return found[-1] if found else None


def _as_server():
    """PostgreSQL refuses to run as root: then it runs as the user that Debian made for it."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


class _Session:
    """psql, statement by statement, in one connection."""

    def __init__(self, command, directory):
        self._psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, cwd=directory)

    def run(self, statements):
        """Returns when they have been carried out."""
        self._psql.stdin.write(f"{statements};\n\\echo done\n")
        self._psql.stdin.flush()
        for line in self._psql.stdout:
            if line == "done\n":
                return
        raise AssertionError(f"psql ended in: {statements}")

    def close(self):
        self._psql.stdin.close()
        self._psql.wait(30)
        self._psql.stdout.close()


class Postgres:
    """One server with a user `weir` (password `secret`) who owns the database `weir`."""

    user = "weir"
    password = "secret"
    database = "weir"

    def __init__(self, directory, port=None, standby_of=None):
        self.binaries = find_binaries()
        # Not below pytest's folder, which only its owner may enter.
        self.directory = tempfile.mkdtemp(prefix="weir-postgres-")
        self.data = os.path.join(self.directory, "data")
        os.makedirs(directory, exist_ok=True)
        self.log_path = os.path.join(str(directory), f"postgres-{os.path.basename(self.directory)}"
                                                     ".log")
        self.port = port or free_port()
        self._process = None
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
        if standby_of:
            self._copy(standby_of)
        else:
            self._create()
        self.start()
        if not standby_of:
            self.sql(f"CREATE USER {self.user} PASSWORD '{self.password}'")
            self.sql(f"CREATE DATABASE {self.database} OWNER {self.user}")

    def _run(self, program, *arguments, **options):
        return subprocess.run([*_as_server(), os.path.join(self.binaries, program), *arguments],
                              check=True, capture_output=True, text=True, cwd=self.directory,
                              timeout=120, **options)

    def _create(self):
        self._run("initdb", "-D", self.data, "-U", "postgres", "--auth-local=trust",
                  "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")

    def _copy(self, primary):
        self._run("pg_basebackup", "-D", self.data, "-h", primary.directory, "-p", str(primary.port),
                  "-U", "postgres", "--write-recovery-conf", "--checkpoint=fast", "--no-sync")

    def start(self):
        self._process = Process(
            [*_as_server(), os.path.join(self.binaries, "postgres"), "-D", self.data,
             "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
             "-c", f"unix_socket_directories={self.directory}", "-c", "shared_buffers=16MB",
             # It is killed, but the machine isn't: what was written is there.
             "-c", "fsync=off", "-c", "max_connections=60", "-c", "wal_level=replica", "-c", "hot_standby=on"],
            self.log_path, cwd=self.directory)
        self._process.wait_until(self.is_ready, "PostgreSQL answering")

    def is_ready(self):
        try:
            return self.sql("SELECT 1") == "1"
        except subprocess.CalledProcessError:
            return False

    @property
    def is_running(self):
        return self._process is not None and self._process.is_running

    @property
    def log_text(self):
        return self._process.log_text()

    def stop(self):
        """At once, but in order ("fast")."""
        if self.is_running:
            self._process.signal(2)
            self._process.wait()

    def kill(self):
        """kill -9 of the server and all its backends."""
        if not self.is_running:
            return
        parent = self._process.pid
        with os.popen(f"ps -o pid= --ppid {parent}") as children:
            pids = [int(pid) for pid in children.read().split()]
        for pid in [parent, *pids]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self._process.wait()

    def promote(self):
        """Makes the primary of a standby."""
        self.sql("SELECT pg_promote()")

    def remove(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def sql(self, statement, database="postgres"):
        """Runs as the superuser; returns what psql prints, bare."""
        return self._run("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h",
                         self.directory, "-p", str(self.port), "-U", "postgres", "-d", database,
                         "-c", statement).stdout.strip()

    def query(self, statement):
        """In weir's database."""
        return self.sql(f"SET search_path TO weir; {statement}", self.database)

    @contextlib.contextmanager
    def session(self):
        """A human at psql, in weir's database: human.run("BEGIN; …")."""
        human = _Session([*_as_server(), os.path.join(self.binaries, "psql"), "-X", "-q", "-A",
                          "-t", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-p",
                          str(self.port), "-U", "postgres", "-d", self.database], self.directory)
        try:
            yield human
        finally:
            human.close()

    @contextlib.contextmanager
    def writes_held(self, schema="weir"):
        """Keeps the lock that every writer of rows takes: writes queue up meanwhile, in order."""
        with self.session() as human:
            human.run("BEGIN; SELECT pg_advisory_xact_lock(2003134834,"
                      f" hashtext('{schema}'))")
            yield
            human.run("COMMIT")

    def waiting_writes(self):
        return int(self.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                            " AND NOT granted"))

    def dump(self):
        """A backup of weir's schema, as text."""
        return self._run("pg_dump", "-h", self.directory, "-p", str(self.port), "-U", "postgres",
                         "--schema=weir", "--clean", self.database).stdout

    def restore(self, backup):
        """Replaces weir's schema by that of the backup, in one transaction."""
        self._run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-h",
                  self.directory, "-p", str(self.port), "-U", "postgres", "-d", self.database,
                  input=backup)

    @property
    def settings(self):
        """For Weir(…, **postgres.settings)."""
        return {"DATABASE": "postgres", "PG_HOST": "127.0.0.1", "PG_PORT": self.port,
                "PG_USER": self.user, "PG_PASSWORD": self.password,
                "PG_DATABASE": self.database}
