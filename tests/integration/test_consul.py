"""weir follows Consul: what registers takes traffic, what goes or fails takes none."""

import subprocess

import pytest

from support.answers import wait_until_only, who_answers
from support.load import Load
from support.waiting import always, eventually

pytestmark = pytest.mark.consul


@pytest.fixture
def weir(new_weir, consul):
    return new_weir(CONSUL_ADDR=consul.address)


class TestRegistration:
    def test_an_instance_that_registers_takes_traffic(self, weir, consul, new_backend):
        weir.serve("web", "http://web")
        first, second = new_backend("first"), new_backend("second")

        consul.register("web", first.port)
        eventually(lambda: who_answers(weir) == "first")

        consul.register("web", second.port)
        wait_until_only(weir, ["first", "second"])

    def test_instances_that_were_there_before_the_service_take_traffic(self, weir, consul, backend):
        consul.register("web", backend.port)
        weir.serve("web", "http://web")
        eventually(lambda: who_answers(weir) == "backend")

    def test_an_instance_that_deregisters_takes_no_more_traffic(self, weir, consul, new_backend):
        weir.serve("web", "http://web")
        gone = consul.register("web", new_backend("gone").port)
        consul.register("web", new_backend("stays").port)
        wait_until_only(weir, ["gone", "stays"])

        consul.deregister(gone)
        wait_until_only(weir, ["stays"])
        always(lambda: who_answers(weir) == "stays", during=0.3)

    def test_the_last_instance_to_go_leaves_503_until_one_comes_back(self, weir, consul, backend):
        weir.serve("web", "http://web")
        instance = consul.register("web", backend.port)
        weir.wait_until_answers("/web")

        consul.deregister(instance)
        weir.wait_until_answers("/web", 503)
        assert weir.get("/web").json()["message"] == "failure to get a peer from the ring-balancer"

        consul.register("web", backend.port)
        weir.wait_until_answers("/web")

    def test_an_instance_that_moves_to_another_port_is_followed(self, weir, consul, new_backend):
        weir.serve("web", "http://web")
        old, new = new_backend("old"), new_backend("new")
        consul.register("web", old.port, id="the-instance")
        wait_until_only(weir, ["old"])
        consul.register("web", new.port, id="the-instance")
        wait_until_only(weir, ["new"])

    def test_the_same_instance_id_on_two_nodes_is_two_targets(self, weir, consul, new_backend):
        weir.serve("web", "http://web")
        for name in ("one", "two"):
            consul.register_in_catalog("web", new_backend(name).port, id="web-1", node=name)
        wait_until_only(weir, ["one", "two"])

    def test_the_nodes_address_is_used_when_the_service_has_none(self, weir, consul, backend):
        weir.serve("web", "http://web")
        consul.register_in_catalog("web", backend.port, node_address="127.0.0.1", address="")
        weir.wait_until_answers("/web")

    def test_the_services_address_wins_over_the_nodes(self, weir, consul, backend):
        weir.serve("web", "http://web")
        consul.register_in_catalog("web", backend.port, node_address="127.0.0.9",
                                   address="127.0.0.1")
        weir.wait_until_answers("/web")

    def test_weights_are_obeyed(self, weir, consul, new_backend):
        weir.serve("web", "http://web")
        heavy, light = new_backend("heavy"), new_backend("light")
        consul.register("web", heavy.port, Weights={"Passing": 3, "Warning": 1})
        consul.register("web", light.port, Weights={"Passing": 1, "Warning": 1})
        wait_until_only(weir, ["heavy", "light"])

        with weir.client() as client:
            names = [client.get("/web").headers.get("X-Backend") for _ in range(400)]
        assert 285 <= names.count("heavy") <= 315, names.count("heavy")


class TestFirstSteps:
    def test_the_three_commands_of_every_tutorial_work(self, weir, consul, backend):
        """As a newcomer types them; only the ports are the test's own."""
        consul.register("my-service", backend.port)

        def curl(command):
            command = command.replace(":8001", f":{weir.admin_port}").replace(
                ":8000", f":{weir.proxy_port}")
            return subprocess.run(command, shell=True, check=True, text=True, timeout=60,
                                  stdout=subprocess.PIPE, env={"NO_PROXY": "*"}).stdout

        assert curl("curl -i -X POST http://localhost:8001/services/ --data name=my-service "
                    "--data 'url=http://my-service:80'").startswith("HTTP/1.1 201 ")
        assert curl("curl -i -X POST http://localhost:8001/services/my-service/routes "
                    "--data 'paths[]=/api' --data name=api").startswith("HTTP/1.1 201 ")
        eventually(lambda: curl("curl -i http://localhost:8000/api").startswith("HTTP/1.1 200 "))
        assert backend.last.target == "/"


class TestChecks:
    def test_an_instance_whose_check_fails_takes_none_until_it_passes(self, weir, consul,
                                                                      new_backend):
        weir.serve("web", "http://web")
        consul.register("web", new_backend("steady").port)
        shaky = consul.register("web", new_backend("shaky").port, ttl_check=True)
        consul.set_check(shaky, "passing")
        wait_until_only(weir, ["steady", "shaky"])

        consul.set_check(shaky, "critical")
        wait_until_only(weir, ["steady"])

        consul.set_check(shaky, "passing")
        wait_until_only(weir, ["steady", "shaky"])

    def test_an_instance_with_a_warning_takes_traffic(self, weir, consul, backend):
        weir.serve("web", "http://web")
        instance = consul.register("web", backend.port, ttl_check=True)
        consul.set_check(instance, "warning")
        weir.wait_until_answers("/web")

    def test_an_instance_that_never_passed_takes_none(self, weir, consul, new_backend):
        weir.serve("web", "http://web")
        consul.register("web", new_backend("unready").port, ttl_check=True)
        consul.register("web", new_backend("ready").port)
        eventually(lambda: who_answers(weir) == "ready")
        always(lambda: who_answers(weir) == "ready", during=0.3)

    def test_an_instance_in_maintenance_takes_none(self, weir, consul, new_backend):
        weir.serve("web", "http://web")
        consul.register("web", new_backend("steady").port)
        mended = consul.register("web", new_backend("mended").port)
        wait_until_only(weir, ["steady", "mended"])

        consul.maintenance(mended, True)
        wait_until_only(weir, ["steady"])

        consul.maintenance(mended, False)
        wait_until_only(weir, ["steady", "mended"])


class TestNames:
    def test_an_upstream_names_its_consul_service_in_its_discovery_record(self, weir, consul,
                                                                          backend):
        created = weir.admin.create("/upstreams", {
            "name": "pool", "discovery": {"type": "consul", "service": "web"}})
        assert created["discovery"]["service"] == "web"
        weir.serve("pool", host="pool")
        instance = consul.register("web", backend.port)
        eventually(lambda: who_answers(weir, "/pool") == "backend")

        consul.deregister(instance)
        weir.wait_until_answers("/pool", 503)

    def test_an_upstream_without_discovery_does_not_mention_it(self, weir):
        assert "discovery" not in weir.admin.create("/upstreams", {"name": "plain"})

    def test_an_upstream_goes_before_a_consul_service_of_the_same_name(self, weir, consul,
                                                                       new_backend):
        consul.register("web", new_backend("from-consul").port)
        weir.pool("web", [new_backend("from-upstream")])
        always(lambda: who_answers(weir) == "from-upstream", during=0.3)

    def test_two_services_of_the_same_consul_service_share_one_query(self, new_weir, fake_consul,
                                                                     backend):
        fake_consul.set("web", [backend.port])
        weir = new_weir(CONSUL_ADDR=fake_consul.address)
        weir.serve("one", "http://web")
        weir.serve("two", "http://web")
        weir.wait_until_answers("/one")
        weir.wait_until_answers("/two")
        first_reads = [r for r in fake_consul.health_queries("web") if "index=" not in r.target]
        assert len(first_reads) == 1, [r.target for r in first_reads]

    def test_a_service_that_nothing_refers_to_any_more_is_not_watched(self, new_weir, fake_consul,
                                                                      backend):
        fake_consul.set("web", [backend.port])
        weir = new_weir(CONSUL_ADDR=fake_consul.address)
        weir.serve("web", "http://web")
        weir.wait_until_answers("/web")
        weir.admin.remove("/routes/web")
        weir.admin.remove("/services/web")
        asked = len(fake_consul.health_queries("web"))
        fake_consul.set("web", [backend.port, backend.port + 1])
        always(lambda: len(fake_consul.health_queries("web")) == asked, during=0.5)

    def test_a_plain_host_name_works_beside_consul(self, weir, backend):
        weir.serve("local", f"http://localhost:{backend.port}")
        weir.wait_until_answers("/local")

    def test_a_plain_address_works_beside_consul(self, weir, backend):
        weir.serve("local", backend.url)
        assert weir.get("/local").status == 200

    def test_the_token_is_sent_in_the_header_alone(self, new_weir, fake_consul, backend):
        fake_consul.set("web", [backend.port])
        weir = new_weir(CONSUL_ADDR=fake_consul.address, CONSUL_TOKEN="very-secret")
        weir.serve("web", "http://web")
        weir.wait_until_answers("/web")
        for request in fake_consul.health_queries("web"):
            assert request.headers.get("X-Consul-Token") == "very-secret"
            assert "very-secret" not in request.target
        assert "very-secret" not in weir.log_text()

    def test_the_address_may_be_a_url_in_consuls_own_variable(self, new_weir, consul, backend):
        weir = new_weir(CONSUL_ADDR=None, CONSUL_HTTP_ADDR=f"http://{consul.address}")
        weir.serve("web", "http://web")
        consul.register("web", backend.port)
        weir.wait_until_answers("/web")


class TestLog:
    def test_the_log_says_which_instance_of_which_service_came_and_went_and_why(self, weir, consul,
                                                                                backend):
        weir.serve("web", "http://web")
        consul.register("web", backend.port, id="web-1", ttl_check=True)
        consul.set_check("web-1", "passing")
        joined = eventually(lambda: weir.log("target joined", target=backend.address))[0]
        assert "web" in joined["upstream"]
        assert joined["instance"] == "web-1"
        assert joined["node"] == "test-node"
        assert joined["why"]

        consul.deregister("web-1")
        left = eventually(lambda: weir.log("target left", target=backend.address))[-1]
        assert left["instance"] == "web-1"
        assert left["why"] and left["why"] != joined["why"]

    def test_a_check_that_fails_is_named_as_the_reason(self, weir, consul, backend):
        weir.serve("web", "http://web")
        instance = consul.register("web", backend.port, ttl_check=True)
        consul.set_check(instance, "passing")
        weir.wait_until_answers("/web")
        consul.set_check(instance, "critical")
        eventually(lambda: [entry for msg in ("target left", "target changed")
                            for entry in weir.log(msg, target=backend.address)
                            if "critical" in entry["why"]])


class TestConsulAway:
    @pytest.mark.threads
    def test_stopping_and_restarting_consul_under_load_fails_no_request(self, weir, consul,
                                                                        new_fast_backend):
        weir.serve("web", "http://web")
        backends = [new_fast_backend(f"web-{n}") for n in range(3)]
        for backend in backends:
            consul.register("web", backend.port)
        eventually(lambda: len(weir.targets_in_use()) == 3)

        with Load(weir.proxy_port, "/web") as load:
            load.wait_for_more(100)
            consul.stop()
            eventually(lambda: weir.log("consul unreachable"))
            load.wait_for_more(300)
            consul.start()
            eventually(lambda: weir.log("consul reachable"))
            # It follows again, and not only keeps what it had.
            late = new_fast_backend("late")
            consul.register("web", late.port)
            eventually(lambda: load.bodies[b"late"] > 0)
            load.wait_for_more(100)
        load.assert_all_fine(at_least=500)
        assert set(load.bodies) == {b"web-0", b"web-1", b"web-2", b"late"}

    def test_instances_with_a_check_survive_a_restart_of_consul_too(self, weir, consul,
                                                                    new_fast_backend):
        weir.serve("web", "http://web")
        for n in range(2):
            id = consul.register("web", new_fast_backend(f"web-{n}").port, ttl_check=True)
            consul.set_check(id, "passing")
        eventually(lambda: len(weir.targets_in_use()) == 2)
        with Load(weir.proxy_port, "/web", connections=2) as load:
            load.wait_for_more(50)
            consul.restart()
            eventually(lambda: weir.log("consul reachable"))
            load.wait_for_more(100)
        load.assert_all_fine()

    def test_what_changed_while_consul_was_away_is_caught_up_with(self, weir, consul, new_backend):
        """Its data was lost: the new one counts its indexes from the start again."""
        weir.serve("web", "http://web")
        for n in range(5):  # drives the old one's index up
            consul.register("other", 1000 + n)
        consul.register("web", new_backend("before").port)
        wait_until_only(weir, ["before"])
        consul.restart(keep_data=False)
        consul.register("web", new_backend("after").port)
        wait_until_only(weir, ["after"])

    def test_weir_starts_without_consul_and_finds_it_when_it_comes(self, new_weir, consul, backend):
        consul.stop()
        weir = new_weir(CONSUL_ADDR=consul.address)
        weir.serve("web", "http://web")
        assert weir.get("/web").status == 503
        consul.start()
        consul.register("web", backend.port)
        weir.wait_until_answers("/web")

    def test_a_restarted_weir_discovers_what_its_store_refers_to(self, weir, consul, backend):
        weir.serve("web", "http://web")
        consul.register("web", backend.port)
        weir.wait_until_answers("/web")
        weir.restart()
        weir.wait_until_answers("/web")


class TestConsulLying:
    MISBEHAVIOURS = {
        "garbage": b"\x00\xff not HTTP at all\r\n\r\n",
        "html": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Consul-Index: 99\r\n"
                b"Content-Length: 13\r\n\r\n<html></html>",
        "cut-json": b"HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\n"
                    b"Content-Length: 9\r\n\r\n[{\"Node\":",
        "wrong-json": b"HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\n"
                      b"Content-Length: 9\r\n\r\n{\"a\": [1]",
        "object": b"HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\nContent-Length: 2\r\n\r\n{}",
        "cut-body": b"HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\nContent-Length: 900\r\n\r\n[",
        "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 17\r\n\r\nNo cluster leader",
        "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\n\r\nACL not found",
        "429": b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
        "empty": b"",
    }

    @pytest.fixture
    def backend(self, new_backend):
        return new_backend("real")

    @pytest.fixture
    def weir(self, new_weir, fake_consul, backend):
        fake_consul.set("web", [backend.port])
        weir = new_weir(CONSUL_ADDR=fake_consul.address)
        weir.serve("web", "http://web")
        weir.wait_until_answers("/web")
        return weir

    @pytest.mark.parametrize("kind", MISBEHAVIOURS)
    def test_a_wrong_answer_changes_no_target_and_is_logged_once(self, weir, fake_consul,
                                                                 new_backend, kind):
        if kind == "cut-body" or kind == "empty":
            # What is cut short shows only when the connection ends.
            def cut(_request, connection):
                connection.send(self.MISBEHAVIOURS[kind])
                connection.close()
            fake_consul.answer = cut
            fake_consul.drop_connections()
        else:
            fake_consul.misbehave = self.MISBEHAVIOURS[kind]

        asked = len(fake_consul.requests)
        eventually(lambda: self.bad_news(weir))
        eventually(lambda: len(fake_consul.requests) > asked)  # it tries again
        always(lambda: weir.get("/web").status == 200, during=0.3)
        assert len(self.bad_news(weir)) == 1
        before = len(self.good_news(weir))

        other = new_backend("other")
        fake_consul.set("web", [other.port])
        fake_consul.misbehave = None
        fake_consul.answer = fake_consul._respond
        wait_until_only(weir, ["other"])
        assert len(self.good_news(weir)) == before + 1
        assert len(self.bad_news(weir)) == 1

    @staticmethod
    def bad_news(weir):
        return weir.log("consul unreachable") + weir.log("consul query fails")

    @staticmethod
    def good_news(weir):
        return weir.log("consul reachable") + weir.log("consul query answers again")

    def test_no_answer_at_all_changes_no_target(self, weir, fake_consul):
        fake_consul.misbehave = "hang"
        always(lambda: weir.get("/web").status == 200, during=1)
        fake_consul.misbehave = None

    def test_it_is_not_hammered_while_it_fails(self, weir, fake_consul):
        fake_consul.misbehave = self.MISBEHAVIOURS["500"]
        eventually(lambda: self.bad_news(weir))
        before = len(fake_consul.requests)
        always(lambda: len(fake_consul.requests) - before < 40, during=2)

    def test_an_entry_that_makes_no_sense_spoils_only_itself(self, weir, fake_consul, new_backend,
                                                             backend):
        import json
        from support.backends import response
        good = new_backend("good")
        entries = [
            {"Node": None, "Service": None, "Checks": None}, 17, [],
            {**fake_consul.entry("web", 80), "Service": {"ID": "x", "Port": "eighty"}},
            fake_consul.entry("web", 70000),
            fake_consul.entry("web", 0),
            fake_consul.entry("web", good.port), fake_consul.entry("web", backend.port),
            *[fake_consul.entry("web", good.port)] * 8,
        ]
        fake_consul.misbehave = response(200, {"X-Consul-Index": "50",
                                               "Content-Type": "application/json"},
                                         json.dumps(entries))
        wait_until_only(weir, ["real", "good"])


class TestCrash:
    @pytest.mark.threads
    def test_an_instance_killed_under_load_fails_no_get(self, weir, consul, new_flask):
        weir.serve("flask", "http://flask-service")
        instances = {name: new_flask(name, consul) for name in ("one", "two", "three")}
        eventually(lambda: len(weir.targets_in_use()) == 3)

        def answers_of(load, name):
            return sum(count for body, count in load.bodies.items()
                       if f'"instance":"{name}"'.encode() in body)

        with Load(weir.proxy_port, "/flask", rate=150) as load:
            eventually(lambda: all(answers_of(load, name) for name in instances))
            instances["two"].kill()
            load.wait_for_more(100)
            # Consul's check finds out too, and says so to weir.
            eventually(lambda: instances["two"].address not in weir.targets_in_use())
            load.wait_for_more(100)
        load.assert_all_fine(at_least=200)

    @pytest.mark.threads
    def test_replacing_every_instance_without_a_pause_fails_no_get(self, weir, consul,
                                                                   new_fast_backend):
        """Each goes down in the moment that it has deregistered, as impatient deployments do."""
        weir.serve("web", "http://web")
        old = [new_fast_backend(f"old-{n}", delay=0.005) for n in range(4)]
        for backend in old:
            consul.register("web", backend.port, id=backend.name)
        eventually(lambda: len(weir.targets_in_use()) == 4)

        with Load(weir.proxy_port, "/web", connections=8, rate=400) as load:
            eventually(lambda: len(load.bodies) == 4)
            for number, backend in enumerate(old):
                new = new_fast_backend(f"new-{number}", delay=0.005)
                consul.register("web", new.port)
                eventually(lambda: load.bodies[new.name.encode()] > 0)
                consul.deregister(backend.name)
                backend.stop()
            eventually(lambda: len(weir.targets_in_use()) == 4)
            load.wait_for_more(200)
        load.assert_all_fine()

    def test_an_instance_stopped_in_good_order_under_load_fails_no_request(self, weir, consul,
                                                                           new_flask):
        weir.serve("flask", "http://flask-service")
        instances = [new_flask(name, consul) for name in ("one", "two")]
        eventually(lambda: len(weir.targets_in_use()) == 2)
        with Load(weir.proxy_port, "/flask", method="POST", body=b"x", rate=100) as load:
            load.wait_for_more(50)
            assert instances[0].stop() == 0
            load.wait_for_more(50)
        load.assert_all_fine()
