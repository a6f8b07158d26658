"""Examples of the documents are specs that do what they say."""

import re
from pathlib import Path

import pytest

from api.client.specfile import load_yaml
from services.planning.advice import Advice
from services.planning.expansion import count, expand, parse

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "spec.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=[re.findall(r"name: ([a-z-]+)$", e, re.M)[0] for e in EXAMPLES])
def test_an_example_has_the_trials_and_warnings_it_promises(example: str) -> None:
    spec = parse(load_yaml(example))
    advice = Advice(spec)
    for group in expand(spec):
        advice.see(group)
    [promised] = re.findall(r"^# (\d+) trials?$", example, re.M)
    warns = re.findall(r"^# warns: (.*)$", example, re.M)
    assert count(spec) == int(promised)
    if warns:
        assert {warning.code for warning in advice.warnings()} == set(warns[0].split(", "))


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_give_no_cause_for_warnings(path: Path) -> None:
    spec = parse(load_yaml(path.read_text()))
    advice = Advice(spec)
    for group in expand(spec):
        advice.see(group)
    assert advice.warnings() == []
