"""Settings: a wrong one is named in one line and nothing starts; Kong's are understood."""

import os
import re
import signal
import socket

import pytest

from support.ports import free_port
from support.waiting import eventually
from support.weir import run_once


@pytest.fixture
def fails(weir_command, tmp_path):
    """Runs with settings that are wrong; returns the one line that says so."""
    def run(**settings):
        base = {"WEIR_PROXY_LISTEN": f"127.0.0.1:{free_port()}",
                "WEIR_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
                "WEIR_DATA_DIR": str(tmp_path / "data"), "WEIR_CONSUL_ADDR": "off"}
        result = weir_command("run", **{**base, **settings})
        assert result.returncode == 1, result.stderr
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        return lines[0]
    return run


class TestWrongSettings:
    @pytest.mark.parametrize("name, value", [
        ("WEIR_PROXY_LISTEN", "nonsense"),
        ("WEIR_PROXY_LISTEN", "127.0.0.1"),
        ("WEIR_PROXY_LISTEN", "127.0.0.1:99999"),
        ("WEIR_PROXY_LISTEN", "127.0.0.1:8000 sparkling"),
        ("WEIR_ADMIN_LISTEN", "127.0.0.1:x"),
        ("WEIR_DATABASE", "oracle"),
        ("WEIR_WORKERS", "0"),
        ("WEIR_WORKERS", "many"),
        ("WEIR_WORKERS", "-1"),
        ("WEIR_LOG_LEVEL", "loud"),
        ("WEIR_MAX_BODY", "huge"),
        ("WEIR_MAX_HEAD", "-1"),
        ("WEIR_STOP_TIMEOUT", "soon"),
        ("WEIR_CLIENT_IDLE_TIMEOUT", "1x"),
        ("WEIR_CONSUL_ADDR", "http://"),
        ("WEIR_DNS_RESOLVER", "not-an-address"),
        ("WEIR_ACCESS_LOG", "/no/such/folder/access.log"),
    ])
    def test_a_wrong_value_is_named(self, fails, name, value):
        assert name in fails(**{name: value})

    @pytest.mark.parametrize("flag", ["udp", "http3"])
    def test_a_listen_flag_that_is_not_built_yet_is_an_error(self, fails, flag):
        line = fails(WEIR_PROXY_LISTEN=f"127.0.0.1:{free_port()} {flag}")
        assert "WEIR_PROXY_LISTEN" in line and flag in line

    def test_a_database_that_weir_does_not_know_is_an_error(self, fails):
        line = fails(WEIR_DATABASE="cassandra")
        assert "WEIR_DATABASE" in line and "sqlite" in line

    @pytest.mark.parametrize("name", ["WEIR_PROXY_LISTEN", "WEIR_ADMIN_LISTEN"])
    def test_a_port_in_use_is_named(self, fails, name):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", free_port()))
            taken.listen(1)
            port = taken.getsockname()[1]
            line = fails(**{name: f"127.0.0.1:{port}"})
        assert name in line and str(port) in line

    def test_a_second_weir_on_the_same_port_is_refused(self, weir, fails):
        """Workers share their ports; another process must not slip in between them."""
        line = fails(WEIR_PROXY_LISTEN=f"127.0.0.1:{weir.proxy_port}")
        assert "WEIR_PROXY_LISTEN" in line and str(weir.proxy_port) in line

    def test_an_address_that_is_not_this_machines_is_named(self, fails):
        assert "WEIR_PROXY_LISTEN" in fails(WEIR_PROXY_LISTEN=f"192.0.2.1:{free_port()}")


class TestKongsSettings:
    def test_kongs_variables_are_read_where_weirs_are_not_set(self, new_weir, backend):
        weir = new_weir(start=False, PROXY_LISTEN=None, ADMIN_LISTEN=None)
        weir.settings["KONG_PROXY_LISTEN"] = f"127.0.0.1:{weir.proxy_port} reuseport backlog=16384"
        weir.settings["KONG_ADMIN_LISTEN"] = f"127.0.0.1:{weir.admin_port} reuseport"
        weir.start()
        weir.serve("s", backend.url)
        assert weir.get("/s").status == 200

    def test_weirs_own_win(self, new_weir):
        weir = new_weir(KONG_PROXY_LISTEN="nonsense", KONG_ADMIN_LISTEN="nonsense")
        assert weir.get("/").status == 404

    def test_kongs_wrong_value_is_named_as_kongs(self, fails):
        assert "KONG_PROXY_LISTEN" in fails(WEIR_PROXY_LISTEN=None, KONG_PROXY_LISTEN="nonsense")

    def test_several_ports_are_listened_to(self, new_weir):
        from support import wire
        weir = new_weir(start=False)
        second = free_port()
        weir.settings["WEIR_PROXY_LISTEN"] += f", 127.0.0.1:{second}"
        weir.start()
        assert wire.one(second, "GET", "/").status == 404


class TestCommands:
    def test_version_is_a_number(self, weir_command):
        result = weir_command("version")
        assert result.returncode == 0
        assert re.fullmatch(r"(weir )?\d+\.\d+\.\d+\n", result.stdout)

    def test_help_names_every_setting_with_its_default(self, weir_command):
        result = weir_command("run", "--help")
        assert result.returncode == 0
        for name in ("WEIR_PROXY_LISTEN", "WEIR_ADMIN_LISTEN", "WEIR_DATABASE", "WEIR_DATA_DIR",
                     "WEIR_CONSUL_ADDR", "WEIR_CONSUL_TOKEN", "WEIR_DNS_RESOLVER", "WEIR_WORKERS",
                     "WEIR_LOG_LEVEL", "WEIR_ACCESS_LOG", "WEIR_MAX_BODY", "WEIR_STOP_TIMEOUT"):
            assert name in result.stdout, name
        assert "0.0.0.0:8000" in result.stdout
        assert "127.0.0.1:8001" in result.stdout

    @pytest.mark.parametrize("arguments", [["dance"], ["run", "--no-such-flag"]])
    def test_an_unknown_command_or_flag_is_an_error_that_names_it(self, weir_command, arguments):
        result = weir_command(*arguments)
        assert result.returncode != 0
        assert arguments[-1] in result.stderr

    def test_health_is_0_while_the_node_runs_and_1_after(self, weir, weir_command):
        assert weir_command("health", **weir.settings).returncode == 0
        weir.stop()
        result = weir_command("health", **weir.settings)
        assert result.returncode == 1
        assert len((result.stdout + result.stderr).splitlines()) == 1

    def test_flags_and_a_file_say_the_same_as_the_environment(self, binary, tmp_path):
        """Flags win over the environment, which wins over the file: the wrong one is named."""
        settings = {"WEIR_WORKERS": "1", "WEIR_DATA_DIR": str(tmp_path / "data"),
                    "WEIR_CONSUL_ADDR": "off"}
        result = run_once(binary, ["run", "--workers", "wrong"], str(tmp_path), settings)
        assert result.returncode == 1
        assert "workers" in result.stderr.lower()


class TestDefaults:
    def test_no_consul_is_no_error(self, new_weir, backend):
        weir = new_weir(CONSUL_ADDR=f"127.0.0.1:{free_port()}")
        weir.serve("s", backend.url)
        assert weir.get("/s").status == 200

    def test_the_access_log_can_be_off(self, new_weir, backend):
        weir = new_weir(ACCESS_LOG="off")
        weir.serve("s", backend.url)
        assert weir.get("/s").status == 200
        assert not os.path.exists(weir.access_log_path)

    def test_one_worker_is_enough(self, new_weir, backend):
        weir = new_weir(WORKERS=1)
        weir.serve("s", backend.url)
        assert weir.get("/s").status == 200

    def test_log_levels_are_obeyed(self, new_weir):
        weir = new_weir(LOG_LEVEL="error")
        weir.stop()
        assert weir.log() == []


class TestReload:
    @pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
    def test_the_access_log_is_opened_anew_and_no_line_is_lost(self, weir, backend, number):
        weir.serve("s", backend.url)
        for turn in range(3):
            assert weir.get(f"/s/before-{turn}").status == 200
        old = f"{weir.access_log_path}.1"
        os.rename(weir.access_log_path, old)
        weir.signal(number)
        eventually(lambda: os.path.exists(weir.access_log_path))
        for turn in range(3):
            assert weir.get(f"/s/after-{turn}").status == 200
        eventually(lambda: sum("/s/after-" in line for line in weir.access_log()) == 3)

        def lines():  # a worker writes what it still holds to the new one
            with open(old, encoding="utf-8") as log:
                return log.read().splitlines() + weir.access_log()
        eventually(lambda: sum("/s/before-" in line for line in lines()) == 3)

    def test_opening_a_log_anew_when_all_is_written_is_no_error(self, weir, backend):
        weir.serve("s", backend.url)
        weir.get("/s")
        eventually(weir.access_log)
        os.rename(weir.access_log_path, f"{weir.access_log_path}.1")
        weir.signal(signal.SIGHUP)
        eventually(lambda: os.path.exists(weir.access_log_path))
        weir.get("/s")
        eventually(weir.access_log)
        assert weir.log(level="error") == []

    def test_a_log_that_cannot_be_opened_anew_goes_on_in_the_old_file(self, weir, backend):
        weir.serve("s", backend.url)
        weir.get("/s")
        old = f"{weir.access_log_path}.1"
        os.rename(weir.access_log_path, old)
        os.mkdir(weir.access_log_path)
        weir.signal(signal.SIGHUP)
        eventually(lambda: weir.log("access log cannot be opened anew"))
        weir.get("/s/later")
        with open(old, encoding="utf-8") as log:
            eventually(lambda: "/s/later" in log.read())
