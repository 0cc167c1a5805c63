"""Fixtures: images made once and kept, stacks that come up in front of a test and go behind it.

Requests go to ports that containers publish on the loopback: what is tested is what a user sees.
"""

import os

import pytest

from support.compose import Stack, docker, local_images, why_no_engine


def pytest_addoption(parser):
    parser.addoption("--binary", help="the weir to make the image of, built on this Debian already; "
                                      "without it deploy/Dockerfile compiles one")


def pytest_collection_modifyitems(items):
    """Everything here needs an engine. Where CI is set, one that is missing is a failure."""
    why = why_no_engine()
    if why and not os.environ.get("CI"):
        for item in items:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Shows what the containers said with every failure."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for stack in [thing for thing in getattr(item, "funcargs", {}).values()
                  if isinstance(thing, Stack)]:
        try:
            report.sections.append((f"{stack.name}: docker-compose ps", stack.compose("ps")))
            for service in ("weir-migrations", "weir-1", "weir-2", "consul", "postgres"):
                for container in stack.containers(service):
                    report.sections.append((f"{stack.name}: {service}, the last lines",
                                            docker("logs", "--tail", "25", container)))
        except (AssertionError, OSError):
            pass  # the failure itself says more than this one


@pytest.fixture(scope="session")
def images(pytestconfig):
    """The variables that name the images, which were built from the tree as it is."""
    assert not why_no_engine(), why_no_engine()
    binary = pytestconfig.getoption("--binary")
    return local_images(*(["--binary", os.path.abspath(binary)] if binary else []), "--all")


@pytest.fixture(scope="session")
def new_stack(images):
    """Makes stacks, which are down at first: new_stack("late", WEIR_LOG_LEVEL="debug")."""
    stacks = []

    def make(name, **options):
        stacks.append(Stack(f"weir-e2e-{os.getpid()}-{name}", images, **options))
        return stacks[-1]

    yield make
    for stack in stacks:
        stack.down()


@pytest.fixture(scope="session")
def whole(new_stack):
    """The stack as the tutorial has it: up, with three instances at /api."""
    stack = new_stack("whole")
    stack.up()
    stack.wait_healthy("weir-1", "weir-2")
    # A host that is gone answers nothing: who waits a minute for it to connect, which is the default,
    # waits too long.
    stack.add_service(1, "my-service", "http://my-service", "/api", connect_timeout=1000)
    stack.wait_instances(3)
    return stack


@pytest.fixture
def stack(whole):
    """The whole stack, in order again after whatever the test before did to it."""
    whole.up()
    whole.wait_healthy("weir-1", "weir-2", "postgres", "consul")
    whole.wait_instances(3)
    return whole


@pytest.fixture
def fresh(new_stack, request):
    """A stack of the test's own, not up yet."""
    stack = new_stack(request.node.name.replace("_", "")[-20:])
    yield stack
    stack.down()
