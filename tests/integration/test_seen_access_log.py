"""What a line of the access log says."""

import json
import re
import socket

import pytest

from support.ports import free_port
from support.waiting import eventually


def lines(weir, count):
    def read():
        try:
            return weir.access_log()
        except FileNotFoundError:
            return []
    eventually(lambda: len(read()) >= count)
    return read()


class TestJson:
    def test_a_line_is_an_object_with_all_there_is_to_say(self, new_weir, backend):
        weir = new_weir(ACCESS_LOG_FORMAT="json")
        weir.pool("web", [backend])
        answer = weir.request("POST", "/web?a=b", headers=[("User-Agent", "te\"st"),
                                                           ("Referer", "http://r/")], body=b"12345")
        entry = json.loads(lines(weir, 1)[0])
        assert entry["client"] == "127.0.0.1" and entry["scheme"] == "http"
        assert entry["host"] == "localhost" and entry["method"] == "POST"
        assert entry["uri"] == "/web?a=b" and entry["protocol"] == "HTTP/1.1"
        assert entry["status"] == 200 and entry["bytes_sent"] == len(answer.body)
        assert entry["bytes_received"] > 5 and entry["duration"] >= 0
        assert entry["service"] == entry["route"] == entry["upstream"] == "web"
        assert entry["target"] == backend.address and entry["tries"] == 1
        assert float(entry["upstream_duration"]) >= 0
        assert entry["user_agent"] == 'te"st' and entry["referer"] == "http://r/"
        assert entry["request_id"] == answer.headers.get("X-Kong-Request-Id")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", entry["time"])

    def test_what_does_not_match_or_make_sense_is_json_too(self, new_weir):
        weir = new_weir(ACCESS_LOG_FORMAT="json", WORKERS=1)  # for lines in order
        weir.get("/nowhere")
        with socket.create_connection(("127.0.0.1", weir.proxy_port)) as client:
            client.sendall(b"\xff\"\\\x01 nonsense\r\n\r\n")
            assert b" 400 " in client.recv(4096)
        entries = [json.loads(line) for line in lines(weir, 2)]
        assert entries[0]["status"] == 404 and entries[0]["target"] == ""
        assert entries[0]["service"] == "" and entries[0]["upstream_duration"] == ""
        assert entries[1]["status"] == 400 and entries[1]["method"] == ""

    def test_bytes_that_are_no_text_are_escaped(self, new_weir):
        weir = new_weir(ACCESS_LOG_FORMAT="json")
        with socket.create_connection(("127.0.0.1", weir.proxy_port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: \xe9\xff\\\"\r\n\r\n")
            assert b" 404 " in client.recv(4096)
        assert json.loads(lines(weir, 1)[0])["user_agent"] == "\xe9\xff\\\""

    def test_the_last_target_and_all_tries_are_told(self, new_weir, backend):
        weir = new_weir(ACCESS_LOG_FORMAT="json")
        dead = f"127.0.0.1:{free_port()}"
        weir.admin.create("/upstreams", {"name": "web"})
        for target in dead, backend.address:
            weir.admin.create("/upstreams/web/targets", {"target": target})
        weir.serve("web", host="web")
        for _ in range(4):
            assert weir.get("/web").status == 200
        entries = [json.loads(line) for line in lines(weir, 4)]
        assert {entry["target"] for entry in entries} == {backend.address}
        assert max(entry["tries"] for entry in entries) == 2


class TestAFormatOfOnesOwn:
    def test_variables_are_replaced(self, new_weir, backend):
        weir = new_weir(ACCESS_LOG_FORMAT="$status [$request_method] ${route}s $http_x_tenant "
                                          "$http_missing $request_time \"$request\"")
        weir.serve("web", f"http://{backend.address}")
        weir.get("/web", headers=[("X-Tenant", "a\"b\xe9c")])
        assert re.fullmatch(
            r'200 \[GET\] webs a\\x22b\\xE9c - \d+\.\d{3} "GET /web HTTP/1.1"', lines(weir, 1)[0])

    def test_one_that_begins_with_a_brace_is_escaped_as_json(self, new_weir, backend):
        weir = new_weir(ACCESS_LOG_FORMAT='{"s":$status,"t":"$http_x_tenant"}')
        weir.serve("web", f"http://{backend.address}")
        weir.get("/web", headers=[("X-Tenant", "a\"b\\")])
        assert json.loads(lines(weir, 1)[0]) == {"s": 200, "t": "a\"b\\"}

    @pytest.mark.parametrize("text, complaint", [
        ("$status $stauts", "has no variable $stauts"),
        ("100 $", "has a $ that no variable's name follows"),
        ("${status", "has a $ that no variable's name follows"),
        ("jsno", "must be combined, json, or text with $variables"),
        ("$status" * 200, "has more than"),
    ])
    def test_a_mistake_is_refused_at_start(self, weir_command, text, complaint):
        result = weir_command("run", WEIR_ACCESS_LOG_FORMAT=text, WEIR_PROXY_LISTEN="off",
                              WEIR_ADMIN_LISTEN=f"127.0.0.1:{free_port()}", WEIR_CONSUL_ADDR="off")
        assert result.returncode == 1
        assert "WEIR_ACCESS_LOG_FORMAT" in result.stderr and complaint in result.stderr


@pytest.mark.parametrize("setting", ["on", "off"])
def test_server_timing_is_told_where_it_is_wanted(new_weir, backend, setting):
    weir = new_weir(SERVER_TIMING=setting, HEADERS="server_tokens, X-Kong-Request-Id")
    weir.serve("web", f"http://{backend.address}")
    told = weir.get("/web").headers.get("Server-Timing")
    if setting == "on":
        assert re.fullmatch(r"gateway;dur=\d+, upstream;dur=\d+", told)
    else:
        assert told is None


def test_combined_stays_as_it_was(new_weir, backend):
    weir = new_weir(ACCESS_LOG_FORMAT="combined")
    weir.serve("web", f"http://{backend.address}")
    weir.get("/web")
    assert re.fullmatch(r'127\.0\.0\.1 - - \[[^]]+\] "GET /web HTTP/1\.1" 200 \d+ "-" "[^"]*" '
                        r'kong_request_id: "[0-9a-f]{32}"', lines(weir, 1)[0])
