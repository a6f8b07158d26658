"""One thread and the chosen matrix products, as in a worker."""

import pytest

from workers.training import products


@pytest.fixture(autouse=True, scope="package")
def _as_in_a_worker() -> None:
    products.configure()
