"""The recipes: one folder each, with the specs of its sweeps, its questions in SQL, its claims and its figure.

A folder holds `recipe.yaml` (title, claim, sweeps), one file per question (`curves.sql` gives the frame `curves`;
`:name` stands for the id of the sweep of that name), and `claims.py` with `decide(frames)` and `draw(frames)`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from api.client.specfile import load_yaml
from recipes.findings import Finding

_HERE = Path(__file__).parent
_SHELVES = ("paper", "beyond")
_PLACEHOLDER = re.compile(r"(?<![:\w]):([a-z_]+)\b")

Frames = Mapping[str, pl.DataFrame]


class Size(StrEnum):
    """How much is trained: minutes for all recipes on two cores, an evening, or the paper's own grids."""

    CI = "ci"
    DESK = "desk"
    PAPER = "paper"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep of a recipe at one size. `name` is what it is submitted as; `spec` is complete."""

    name: str
    spec: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment. `sweeps` names, by what its questions call them, sweeps of its own or (`P12.deep`) of others."""

    id: str
    title: str
    claim: str
    figure: str
    shelf: str
    folder: Path
    own: Mapping[str, Mapping[str, Any]] = field(repr=False)
    borrowed: Mapping[str, str]

    @cached_property
    def questions(self) -> dict[str, str]:
        """SQL by the name of its frame, with placeholders for sweeps."""
        return {path.stem: path.read_text(encoding="utf-8").strip() for path in sorted(self.folder.glob("*.sql"))}

    @property
    def decide(self) -> Callable[[Frames], list[Finding]]:
        """A pure function of the frames."""
        decide: Callable[[Frames], list[Finding]] = self._claims.decide
        return decide

    @property
    def draw(self) -> Callable[[Frames], Figure]:
        """A pure function of the frames."""
        draw: Callable[[Frames], Figure] = self._claims.draw
        return draw

    @property
    def _claims(self) -> Any:
        return import_module(f"recipes.{self.shelf}.{self.folder.name}.claims")


def catalogue() -> dict[str, Recipe]:
    """All recipes by id, in order."""
    found = (_read(shelf, path) for shelf in _SHELVES for path in sorted((_HERE / shelf).glob("*/recipe.yaml")))
    return {recipe.id: recipe for recipe in found}


def sweeps_of(recipe: Recipe, size: Size, recipes: Mapping[str, Recipe]) -> dict[str, Sweep]:
    """The sweeps that a recipe asks about, by what its questions call them."""
    own = {name: _sweep(recipe, name, size) for name in recipe.own}
    borrowed = {name: _lent(source, size, recipes) for name, source in recipe.borrowed.items()}
    return own | borrowed


def asked(question: str, ids: Mapping[str, int]) -> str:
    """The question about these sweeps, as it can be pasted into `alignsweep sql`."""
    return _PLACEHOLDER.sub(lambda match: str(ids[match[1]]), question)


def _read(shelf: str, path: Path) -> Recipe:
    content: Any = load_yaml(path.read_text(encoding="utf-8"))
    sweeps = content["sweeps"]
    return Recipe(
        id=path.parent.name.split("_")[0].upper().replace("P0", "P"),
        title=content["title"],
        claim=" ".join(content["claim"].split()),
        figure=content["figure"],
        shelf=shelf,
        folder=path.parent,
        own={name: sweep for name, sweep in sweeps.items() if not isinstance(sweep, str)},
        borrowed={name: sweep for name, sweep in sweeps.items() if isinstance(sweep, str)},
    )


def _lent(source: str, size: Size, recipes: Mapping[str, Recipe]) -> Sweep:
    owner, name = source.split(".")
    return _sweep(recipes[owner], name, size)


def _sweep(recipe: Recipe, name: str, size: Size) -> Sweep:
    """Written out at the paper's size; the others are JSON merge patches (RFC 7396) to it."""
    written = recipe.own[name]
    spec = written[Size.PAPER] if size is Size.PAPER else _patched(written[Size.PAPER], written[size])
    full_name = f"{recipe.id.lower()}-{name}-{size}"
    return Sweep(name=full_name, spec={"version": 1, "name": full_name, **spec})


def _patched(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    base = target if isinstance(target, dict) else {}
    merged = {key: value for key, value in base.items() if patch.get(key, ...) is not None}
    return merged | {key: _patched(base.get(key), value) for key, value in patch.items() if value is not None}


def chosen(ids: list[str], recipes: Mapping[str, Recipe]) -> Iterator[Recipe]:
    """The recipes of these ids; `all` is every one, `paper` and `beyond` are shelves. Raises ValueError for others."""
    wanted = {id_.upper() for id_ in ids}
    known = {"ALL", *(shelf.upper() for shelf in _SHELVES), *recipes}
    if strangers := sorted(wanted - known):
        raise ValueError(f"no recipe {', '.join(strangers)}; there are {', '.join(recipes)}, paper, beyond and all")
    yield from (recipe for recipe in recipes.values() if wanted & {"ALL", recipe.shelf.upper(), recipe.id})
