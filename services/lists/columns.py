"""What sweeps and trials can be listed, filtered and sorted by: the columns of `v_sweeps` and `v_trials`, and the
parameters of configurations.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, get_args

from pydantic import BaseModel

from services.domain.spec import TrialConfig
from services.domain.states import Reason, SweepState, TrialState


class Kind(StrEnum):
    """How values compare. `tags` hold several texts; `document` is JSON, which is shown and nothing more."""

    INTEGER = "bigint"
    NUMBER = "double precision"
    TEXT = "text"
    TIME = "timestamptz"
    TAGS = "tags"
    DOCUMENT = "document"


@dataclass(frozen=True, kw_only=True)
class Column:
    """`number`: its value as a number, of texts that may be one; `join`: the table beside the list's own that it is in;
    `words`: all values there are.
    """

    sql: str
    kind: Kind
    number: str | None = None
    join: str | None = None
    nullable: bool = False
    words: type[StrEnum] | None = None


@dataclass(frozen=True, kw_only=True)
class Noun:
    """A list: its table, whose key is `id`, what may be joined to it, and its columns."""

    table: str
    joins: Mapping[str, str]
    columns: Mapping[str, Column]
    parameters: Mapping[str, Kind] = field(default_factory=dict)
    """By dotted path, where rows have a configuration."""
    shorthands: Mapping[str, str] = field(default_factory=dict)
    """Columns that are parameters, and other names of columns; of a column that has one, the axis it tells of."""

    def full_name(self, name: str) -> str | None:
        """The name of the column or parameter that is meant, or None."""
        name = name if name in self.columns else self.shorthands.get(name, name)
        return name if name in self.columns or name in self.parameters else None

    def like(self, name: str) -> str | None:
        """What may have been meant by a name that does not exist."""
        names = [*self.columns, *self.shorthands, *self.parameters]
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        same_end = [path for path in self.parameters if path.rpartition(".")[2] == name]
        found = same_end or close
        return f"did you mean {found[0]}?" if found else f"there are: {', '.join([*self.columns, *self.shorthands])}"


def _parameters(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Kind]]:
    """Paths of all values that a configuration may have, and whether they are numbers."""
    for name, info in model.model_fields.items():
        kinds = list(_types(info.annotation))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _parameters(kind, f"{prefix}{name}.")
        if not any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
            number = any(kind in (int, float) for kind in kinds)
            yield prefix + name, Kind.NUMBER if number else Kind.TEXT


def _types(annotation: Any) -> Iterator[Any]:
    """The types of a union; what is in lists is no value of its own."""
    arguments = get_args(annotation)
    if annotation is list or getattr(annotation, "__origin__", None) is list or not arguments:
        yield annotation
    else:
        for argument in arguments:
            yield from _types(argument)


def _trial(name: str, kind: Kind, *, nullable: bool = False, words: type[StrEnum] | None = None) -> Column:
    return Column(sql=f"trials.{name}", kind=kind, nullable=nullable, words=words)


def _summary(name: str, kind: Kind = Kind.NUMBER) -> Column:
    return Column(sql=f"summary.{name}", kind=kind, join="summary", nullable=True)


_LAYERS = """CASE groups.config #>> '{model,kind}'
    WHEN 'transformer' THEN (groups.config #>> '{model,transformer,blocks}')::int + 2
    WHEN 'cnn' THEN jsonb_array_length(groups.config #> '{model,conv,channels}')
        + jsonb_array_length(groups.config #> '{model,hidden}') + 1
    ELSE jsonb_array_length(groups.config #> '{model,hidden}') + 1
END"""

_HAS_FEEDBACK = """(
    groups.config #>> '{rule,name}' NOT IN ('bp', 'shallow')
    OR groups.config #>> '{rule,switch,to}' NOT IN ('bp', 'shallow')
    OR groups.config #>> '{model,init}' LIKE 'aligned%'
)"""

TRIALS = Noun(
    table="trials",
    joins={
        "sweeps": "JOIN sweeps ON sweeps.id = trials.sweep_id",
        "groups": "JOIN groups ON groups.id = trials.group_id",
        "summary": "LEFT JOIN trial_summaries AS summary ON summary.trial_id = trials.id",
    },
    columns={
        "id": _trial("id", Kind.INTEGER),
        "sweep_id": _trial("sweep_id", Kind.INTEGER),
        "sweep": Column(sql="sweeps.name", kind=Kind.TEXT, join="sweeps"),
        "position": _trial("position", Kind.INTEGER),
        "group_id": _trial("group_id", Kind.INTEGER),
        "group_hash": Column(sql="groups.group_hash", kind=Kind.TEXT, join="groups"),
        "config_hash": _trial("config_hash", Kind.TEXT),
        "seed": _trial("seed", Kind.INTEGER),
        "state": _trial("state", Kind.TEXT, words=TrialState),
        "reason": _trial("reason", Kind.TEXT, nullable=True, words=Reason),
        "error": _trial("error", Kind.TEXT, nullable=True),
        "attempts": _trial("attempts", Kind.INTEGER),
        "max_attempts": _trial("max_attempts", Kind.INTEGER),
        "layers": Column(sql=_LAYERS, kind=Kind.INTEGER, join="groups"),
        "feedback_scale": Column(
            sql=f"CASE WHEN {_HAS_FEEDBACK} THEN groups.config #>> '{{rule,feedback,scale}}' END",
            number=f"""CASE WHEN {_HAS_FEEDBACK} AND jsonb_typeof(groups.config #> '{{rule,feedback,scale}}') = 'number'
                THEN (groups.config #>> '{{rule,feedback,scale}}')::double precision END""",
            kind=Kind.NUMBER,
            join="groups",
            nullable=True,
        ),
        "steps": _summary("steps", Kind.INTEGER),
        "diverged_at_step": _summary("diverged_at_step", Kind.INTEGER),
        "train_loss": _summary("train_loss"),
        "train_accuracy": _summary("train_accuracy"),
        "test_loss": _summary("test_loss"),
        "test_accuracy": _summary("test_accuracy"),
        "weight_alignment": _summary("weight_alignment"),
        "weight_alignment_scaled": _summary("weight_alignment_scaled"),
        "gradient_alignment": _summary("gradient_alignment"),
        "gradient_alignment_published": _summary("gradient_alignment_published"),
        "generalisation_error": _summary("generalisation_error"),
        "created_at": _trial("created_at", Kind.TIME),
        "started_at": _trial("started_at", Kind.TIME, nullable=True),
        "finished_at": _trial("finished_at", Kind.TIME, nullable=True),
        "config": Column(sql="groups.config", kind=Kind.DOCUMENT, join="groups"),
        "varied": Column(sql="groups.varied", kind=Kind.DOCUMENT, join="groups"),
    },
    parameters=dict(_parameters(TrialConfig)),
    shorthands={
        "trial_id": "id",
        "data": "data.name",
        "label_noise": "data.label_noise",
        "rule": "rule.name",
        "feedback_scale": "rule.feedback.scale",
        "model": "model.kind",
        "activation": "model.activation",
        "hidden": "model.hidden",
        "lr": "train.lr",
        "batch_size": "train.batch_size",
        "epochs": "train.epochs",
    },
)


def _sweep(name: str, kind: Kind, *, nullable: bool = False, words: type[StrEnum] | None = None) -> Column:
    return Column(sql=f"sweeps.{name}", kind=kind, nullable=nullable, words=words)


SWEEPS = Noun(
    table="sweeps",
    joins={},
    columns={
        "id": _sweep("id", Kind.INTEGER),
        "name": _sweep("name", Kind.TEXT),
        "owner": _sweep("owner", Kind.TEXT, nullable=True),
        "state": _sweep("state", Kind.TEXT, words=SweepState),
        "pause_reason": _sweep("pause_reason", Kind.TEXT, nullable=True),
        "priority": _sweep("priority", Kind.INTEGER),
        "trial_count": _sweep("trial_count", Kind.INTEGER),
        "created_at": _sweep("created_at", Kind.TIME),
        "started_at": _sweep("started_at", Kind.TIME, nullable=True),
        "finished_at": _sweep("finished_at", Kind.TIME, nullable=True),
        "cpu": _sweep("cpu", Kind.NUMBER),
        "gpu": _sweep("gpu", Kind.NUMBER),
        "max_running": _sweep("max_running", Kind.INTEGER, nullable=True),
        "trial_seconds": _sweep("trial_seconds", Kind.NUMBER, nullable=True),
        "identical_errors": _sweep("identical_errors", Kind.INTEGER, nullable=True),
        "tags": _sweep("tags", Kind.TAGS),
        "notes": _sweep("notes", Kind.TEXT, nullable=True),
        "spec": _sweep("spec", Kind.DOCUMENT),
    },
    shorthands={"sweep_id": "id", "tag": "tags"},
)
