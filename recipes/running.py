"""From recipes to what was found: sweeps through the API, frames from SQL, claims decided."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from api.client import Client
from recipes.catalogue import Recipe, Size, Sweep, asked, sweeps_of
from recipes.drawing import styled
from recipes.findings import Finding, Verdict, undecided

_WHERE = """\
SELECT count(*) AS attempts,
    extract(epoch FROM max(finished_at) - min(started_at))::double precision AS seconds,
    (
        SELECT extract(epoch FROM sum(ended - began))::double precision
        FROM (
            SELECT max(finished_at) AS ended, min(started_at) AS began
            FROM v_attempts WHERE sweep_id = :sweep GROUP BY pack_id
        ) AS packs
    ) AS worker_seconds,
    string_agg(DISTINCT provenance ->> 'commit', ', ') AS commits,
    string_agg(DISTINCT provenance ->> 'cpu', ', ') AS cpus,
    string_agg(DISTINCT provenance ->> 'accelerator', ', ') AS accelerators,
    string_agg(DISTINCT provenance -> 'versions' ->> 'torch', ', ') AS torch,
    string_agg(DISTINCT provenance ->> 'reproducibility', ', ') AS reproducibility
FROM v_attempts
WHERE sweep_id = :sweep"""
UNCOMPARED = """\
SELECT coalesce(sum(n * (n - 1) / 2), 0)::bigint
    - (SELECT count(*) FROM v_parameter_cosines WHERE sweep_id = :sweep AND layer = 0) AS pairs
FROM (
    SELECT count(*) AS n FROM v_snapshots JOIN v_trials USING (trial_id)
    WHERE v_snapshots.sweep_id = :sweep AND v_trials.state = 'succeeded'
    GROUP BY v_snapshots.group_id, v_snapshots.step
) AS kept"""
"""Pairs of snapshots of a sweep whose cosines are not there yet."""
_MAX_ROWS = 100_000


@dataclass(frozen=True, kw_only=True)
class Source:
    """A sweep that was asked about: as submitted, as it ended, and where it was trained."""

    sweep: Sweep
    id: int
    state: str
    trials: int
    seconds: float | None
    """From the first claim to the end."""
    worker_seconds: float | None
    """Summed over the packs it was trained in."""
    where: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """One recipe at one size, with all that its claims stand on. `questions` are complete: they can be asked again."""

    recipe: Recipe
    sources: Mapping[str, Source]
    questions: Mapping[str, str]
    frames: Mapping[str, pl.DataFrame] = field(repr=False)
    findings: Sequence[Finding]
    figure: Figure | None

    @property
    def verdict(self) -> Verdict:
        """The weakest of its findings."""
        verdicts = {finding.verdict for finding in self.findings}
        for verdict in (Verdict.FAILS, Verdict.UNDECIDED):
            if verdict in verdicts:
                return verdict
        return Verdict.HOLDS


def needed(recipes: Sequence[Recipe], size: Size, catalogue: Mapping[str, Recipe]) -> list[Sweep]:
    """All sweeps that the recipes ask about, each once, in order."""
    sweeps = (sweep for recipe in recipes for sweep in sweeps_of(recipe, size, catalogue).values())
    return list({sweep.name: sweep for sweep in sweeps}.values())


def submit(client: Client, sweeps: Sequence[Sweep], *, fresh: str = "") -> dict[str, int]:
    """Submit them; ids by name. What was submitted before is not trained again.

    `fresh`: any word; under a new one everything is trained anew.
    """
    return {sweep.name: client.submit(sweep.spec, idempotency_key=_key(sweep, fresh))["id"] for sweep in sweeps}


def uncompared(client: Client, id_: int) -> int:
    """Pairs of snapshots of this sweep whose cosines are still to come: a dispatcher compares them when it is idle."""
    return int(client.frame(asked(UNCOMPARED, {"sweep": id_})).item())


def decide(
    client: Client, recipe: Recipe, size: Size, catalogue: Mapping[str, Recipe], ids: Mapping[str, int]
) -> Reproduction:
    """Ask a recipe's questions about sweeps that are over, and decide its claims."""
    sweeps = sweeps_of(recipe, size, catalogue)
    sources = {name: _source(client, sweep, ids[sweep.name]) for name, sweep in sweeps.items()}
    numbers = {name: source.id for name, source in sources.items()}
    questions = {name: asked(question, numbers) for name, question in recipe.questions.items()}
    frames = {name: client.frame(question, max_rows=_MAX_ROWS) for name, question in questions.items()}
    short = [
        f"sweep {source.id} ({source.sweep.name}) is {source.state}"
        for source in sources.values()
        if source.state != "succeeded"
    ]
    with styled():
        return Reproduction(
            recipe=recipe,
            sources=sources,
            questions=questions,
            frames=frames,
            findings=[undecided(recipe.claim, "; ".join(short))] if short else recipe.decide(frames),
            figure=None if short else recipe.draw(frames),
        )


def _source(client: Client, sweep: Sweep, id_: int) -> Source:
    answer = client.sweep(id_)
    where = client.frame(asked(_WHERE, {"sweep": id_})).row(0, named=True)
    return Source(
        sweep=sweep,
        id=id_,
        state=answer["state"],
        trials=answer["trial_count"],
        seconds=where["seconds"],
        worker_seconds=where["worker_seconds"],
        where=where,
    )


def _key(sweep: Sweep, fresh: str) -> str:
    """The same spec is the same sweep, from whichever machine it is submitted."""
    content = json.dumps(sweep.spec, sort_keys=True)
    return f"{sweep.name}-{hashlib.sha256((content + fresh).encode()).hexdigest()[:16]}"
