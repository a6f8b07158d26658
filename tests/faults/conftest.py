"""The services that faults are injected into, with leases of a second: one for each test process."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.faults.service import Service, serving, wake

TTL = timedelta(seconds=1)
SPEC = {
    "name": "faults",
    "base": {"model": {"hidden": [32]}, "train": {"epochs": 60}, "trace": {"points_per_decade": 8}},
    "grid": {"rule.name": ["bp", "dfa"]},
    "seeds": {"count": 16},
}


@pytest.fixture(scope="session")
def two_dispatchers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(
        tmp_path_factory.mktemp("faults"),
        ttl=TTL,
        checkpoint_every=timedelta(seconds=0.3),
        executors=("inline", "inline"),
    ) as service:
        yield service


@pytest.fixture
def service(two_dispatchers: Service) -> Iterator[Service]:
    """Two dispatchers, each training in its own process; at rest before and after."""
    _calm(two_dispatchers)
    yield two_dispatchers
    wake(two_dispatchers.stack)
    two_dispatchers.disarm()


@pytest.fixture(scope="session")
def undisturbed(two_dispatchers: Service) -> int:
    """A sweep of SPEC that nothing happened to: what every other one must equal."""
    _calm(two_dispatchers)
    sweep = two_dispatchers.client.submit(SPEC)
    assert two_dispatchers.wait_until_over(sweep["id"]) == "succeeded"
    return int(sweep["id"])


def _calm(service: Service) -> None:
    service.wait_for(lambda: all(service.is_present(child) for child in (service.dispatcher, service.second)))
    service.wait_for(lambda: not service.held())
