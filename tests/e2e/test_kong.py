"""A compose file written for Kong, with the image's name changed and nothing else."""

import pathlib

import pytest

from support.compose import ask, docker
from support.ports import free_port
from support.waiting import eventually

FILE = pathlib.Path(__file__).with_name("kong-compose.yml")


@pytest.fixture(scope="module")
def kong(new_stack, images):
    stack = new_stack("kong", files=[FILE], KONG_IMAGE=images["WEIR_IMAGE"],
                      KONG_PROXY_PORT=str(free_port()), KONG_ADMIN_PORT=str(free_port()))
    stack.up()
    yield stack
    stack.down()


def test_a_compose_file_written_for_kong_works(kong):
    def admin(method, path, **more):
        return ask(f"http://127.0.0.1:{kong.environment['KONG_ADMIN_PORT']}{path}", method, **more)

    kong.wait_healthy("kong", within=90)
    for job in ("kong-migrations", "kong-migrations-up"):
        eventually(lambda: kong.inspect(job)["State"]["Status"] == "exited" and
                   kong.inspect(job)["State"]["ExitCode"] == 0, lambda: kong.logs(job), within=90)

    assert admin("POST", "/services", data={"name": "web", "url": "http://web:5000"}).status == 201
    assert admin("POST", "/services/web/routes", data={"paths[]": "/web"}).status == 201
    answer = ask(f"http://127.0.0.1:{kong.environment['KONG_PROXY_PORT']}/web")
    assert answer.status == 200 and answer.json["instance"] == "web-1"

    container = kong.container("kong")
    assert "healthy" in docker("exec", container, "kong", "health")
    assert docker("exec", container, "kong", "migrations", "list").endswith("up-to-date")
    configuration = admin("GET", "/").json["configuration"]
    assert configuration["database"] == "postgres" and configuration["pg_user"] == "kong"
    # Its migrations are in Kong's own database, whose name comes from its variables.
    assert "kong-pass" not in kong.logs("kong")


def test_it_stops_as_kongs_image_is_told_to(kong):
    """Some files say `stop_signal: SIGQUIT`, which is the one that Kong's image has."""
    kong.wait_healthy("kong", within=90)
    container = kong.container("kong")
    docker("kill", "-s", "QUIT", container)
    assert docker("wait", container) == "0"


def test_a_kong_entry_point_in_full_and_shells_work(images):
    image = images["WEIR_IMAGE"]
    version = docker("run", "--rm", image, "weir", "version")
    for command in (["--entrypoint", "/docker-entrypoint.sh", image, "kong", "version"],
                    [image, "sh", "-c", "kong version && true"],
                    [image, "/bin/bash", "-c", "kong version"]):
        assert docker("run", "--rm", *command) == version
