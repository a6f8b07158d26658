"""The pages of reference say what the code says; `make golden` writes them anew."""

from collections.abc import Callable

import pytest

from tests import reference
from tests.goldens import renew_or_compare_text


@pytest.mark.parametrize(
    ("page", "write"),
    [
        ("reference-cli.md", reference.commands),
        ("reference-api.md", reference.endpoints),
        ("reference-metrics.md", reference.metrics),
    ],
)
def test_a_page_of_reference_is_current(page: str, write: Callable[[], str]) -> None:
    renew_or_compare_text(reference.ROOT / "docs" / page, write())
