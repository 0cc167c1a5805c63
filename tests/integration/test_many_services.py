"""More services in Consul than connections to it, over plain HTTP: the busiest have a query of their
own, the others are rung when one of two lists that cover all of them says that they changed."""

import pytest

from support.waiting import always, eventually

COUNT = 140  # 120 have room for a query each; of more, 96 have


def name_of(number):
    return f"s{number:03}"


def register(consul, names, status="passing", port=9000, weight=1, tags=(), has_check=True):
    """An instance each, all on one node, straight in the catalog."""
    operations = [{"Node": {"Verb": "set", "Node": {"Node": "far", "Address": "127.0.0.1"}}}]
    for name in names:
        operations.append({"Service": {"Verb": "set", "Node": "far", "Service": {
            "ID": name, "Service": name, "Address": "127.0.0.1", "Port": port,
            "Tags": list(tags), "Weights": {"Passing": weight, "Warning": 1}}}})
        if has_check:
            operations.append({"Check": {"Verb": "set", "Check": {
                "Node": "far", "CheckID": f"check:{name}", "Name": "c", "Status": status,
                "ServiceID": name}}})
    for at in range(0, len(operations), 60):
        consul.put("/v1/txn", operations[at:at + 60])


def watches(weir):
    found = weir.admin.get("/discovery?size=1000").json()["data"]
    return {watch["name"]: watch for watch in found}


def listening(weir):
    return sorted(name for name, watch in watches(weir).items() if watch["phase"] == "listening")


def explained(weir, name):
    return weir.admin.get(f"/upstreams/{name}/targets/explain").json()["data"]


def consul_says(weir, name):
    return [target["consul"]["status"] for target in explained(weir, name)]


def weights(weir, name):
    return [target["weight"] for target in explained(weir, name)]


def follow(weir, names):
    for name in names:
        weir.admin.create("/upstreams", {
            "name": name, "discovery": {"type": "consul", "service": name}})


@pytest.fixture
def many(new_weir, consul):
    names = [name_of(number) for number in range(COUNT)]
    register(consul, names)
    weir = new_weir(CONSUL_ADDR=consul.address)
    follow(weir, names)
    eventually(lambda: len(listening(weir)) == COUNT - 96, within=60)
    return weir


class TestManyServices:
    def test_who_is_rung_reads_and_nobody_else(self, many, consul):
        name, *others = listening(many)
        before = watches(many)
        register(consul, [name], status="critical")
        eventually(lambda: consul_says(many, name) == ["critical"])
        after = watches(many)
        # Another round, of all, only follows on a change of services.
        assert sum(after[other]["reads"] - before[other]["reads"] for other in others) <= 3
        register(consul, [name], status="passing")
        eventually(lambda: consul_says(many, name) == ["passing"])
        assert after[name]["missed"] == 0

    def test_a_check_of_the_node_rings_all_on_it(self, many, consul):
        consul.put("/v1/catalog/register", {"Node": "far", "Address": "127.0.0.1", "Check": {
            "Node": "far", "CheckID": "serfHealth", "Name": "agent", "Status": "critical"}})
        names = listening(many)
        eventually(lambda: all(consul_says(many, name) == ["critical"] for name in names))

    def test_what_the_lists_do_not_show_is_found_by_a_round(self, many, consul):
        name = listening(many)[-1]
        register(consul, [name], weight=7)
        eventually(lambda: weights(many, name) == [7], within=30)

    def test_an_instance_that_goes_and_one_without_a_check(self, many, consul):
        name, other, *_ = listening(many)
        consul.put("/v1/catalog/deregister", {"Node": "far", "ServiceID": name})
        eventually(lambda: not explained(many, name), within=30)
        consul.register_in_catalog(other, 9001, id="more", node="bare")
        eventually(lambda: len(explained(many, other)) == 2, within=30)

    def test_an_agent_that_starts_again_is_followed_again(self, many, consul):
        name = listening(many)[0]
        consul.restart()
        eventually(lambda: len(listening(many)) == COUNT - 96, within=60)
        assert all(watch["targets"] == 1 for watch in watches(many).values())
        register(consul, [name], status="critical")
        eventually(lambda: consul_says(many, name) == ["critical"])

    def test_an_agent_that_lost_its_state_empties_nothing(self, many, consul):
        consul.restart(keep_data=False)
        eventually(lambda: many.log("consul answer held"), within=60)
        always(lambda: all(watch["targets"] == 1 for watch in watches(many).values()), during=1)
        names = [name_of(number) for number in range(COUNT)]
        register(consul, names, port=9002)
        eventually(lambda: len(listening(many)) == COUNT - 96 and all(
            target["target"].endswith(":9002") for name in (names[0], names[-1])
            for target in explained(many, name)), within=60)

    def test_who_finds_its_connection_taken_believes_a_removal_all_the_same(self, many, consul):
        """Between two queries of a service that changes much, others that are rung take its
        connection. That is no trouble of Consul's, after which removals would have to wait."""
        others = listening(many)
        seated = sorted(name for name in watches(many) if name not in others)
        for weight in range(2, 8):  # more than may be read at once: they wait for their turn
            register(consul, seated[:40], weight=weight, has_check=False)
            register(consul, others, status="critical" if weight % 2 else "passing")
        eventually(lambda: weights(many, seated[0]) == [7])
        for at in range(0, len(seated), 60):
            consul.put("/v1/txn", [{"Service": {"Verb": "delete", "Node": "far", "Service": {
                "ID": name, "Service": name}}} for name in seated[at:at + 60]])
        eventually(lambda: all(watches(many)[name]["targets"] == 0 for name in seated))
        assert not many.log("consul answer held",
                            why="no usable instance right after trouble with consul")

    def test_without_the_lists_turns_are_taken(self, new_weir, fake_consul):
        """This Consul's list of checks is no list."""
        names = [name_of(number) for number in range(COUNT)]
        for name in names:
            fake_consul.set(name, [9000])
        weir = new_weir(CONSUL_ADDR=fake_consul.address)
        follow(weir, names)
        eventually(lambda: weir.log("consul list not followed"), within=60)
        eventually(lambda: all(watch["targets"] == 1 for watch in watches(weir).values()),
                   within=60)
        assert not listening(weir)
        fake_consul.set(names[-1], [9001, 9002])
        fake_consul.set(names[0], [9001, 9002])
        eventually(lambda: len(explained(weir, names[-1])) == 2 == len(explained(weir, names[0])),
                   within=60)
