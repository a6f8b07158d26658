"""What a sweep's archive holds: a Parquet file per table, in which positions stand for the ids of the database.

A group and a trial have their position within the sweep, a pack its rank among those that trained for the sweep. So an
archive says the same whichever database it comes from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import ARRAY

from db.models import Base


@dataclass(frozen=True, kw_only=True)
class Part:
    """One table's rows of a sweep."""

    table: str
    references: Mapping[str, str] = field(default_factory=dict)
    """Columns that hold ids of groups, trials or packs: in the file each is called `<noun>_position`."""
    left_out: frozenset[str] = frozenset({"id", "sweep_id"})
    """Columns that mean nothing elsewhere."""
    order: str

    @property
    def file(self) -> str:
        """Its name in the archive."""
        return f"tables/{self.table}.parquet"

    @property
    def columns(self) -> list[str]:
        """In the table: what is archived, references apart."""
        names = [column.name for column in Base.metadata.tables[self.table].columns]
        return [name for name in names if name not in self.left_out and name not in self.references]

    @property
    def lists(self) -> set[str]:
        """Of these columns, those that hold lists: in the file they are JSON."""
        columns = Base.metadata.tables[self.table].columns
        return {name for name in self.columns if isinstance(columns[name].type, ARRAY)}

    @property
    def of_sweep(self) -> bool:
        """Whether its rows name the sweep."""
        return "sweep_id" in Base.metadata.tables[self.table].columns

    def renamed(self, reference: str) -> str:
        """What the reference is called in the file."""
        return reference.removesuffix("_id") + "_position"


_TRIAL = {"trial_id": "trials"}

PARTS = (
    # Who submitted it, under which key, and who acted, is a matter between them and that server.
    Part(table="sweeps", left_out=frozenset({"id", "owner", "idempotency_key"}), order="id"),
    Part(table="groups", order="position"),
    Part(
        table="packs",
        left_out=frozenset({"id", "sweep_id", "owners", "shares", "rows", "model_steps", "fenced", "next_seq"}),
        order="id",
    ),
    Part(
        table="trials",
        references={"group_id": "groups"},
        left_out=frozenset({"id", "sweep_id", "pack_id"}),
        order="position",
    ),
    Part(table="attempts", references={**_TRIAL, "pack_id": "packs"}, order="trial_id, pack_id"),
    Part(
        table="events",
        references={**_TRIAL, "pack_id": "packs"},
        left_out=frozenset({"id", "sweep_id", "actor"}),
        order="id",
    ),
    Part(table="sweep_errors", order="error"),
    Part(table="trial_summaries", references=_TRIAL, order="trial_id"),
    Part(table="layer_summaries", references=_TRIAL, order="trial_id, layer"),
    Part(table="snapshots", references=_TRIAL, order="trial_id, step"),
    Part(
        table="parameter_cosines",
        references={"trial_a": "trials", "trial_b": "trials"},
        order="trial_a, trial_b, step, layer",
    ),
    Part(table="metrics", references=_TRIAL, order="step"),
    Part(table="traces", references=_TRIAL, order="step, layer"),
    Part(table="order_parameters", references=_TRIAL, order="step, quantity, i, j"),
)
"""In the order in which they are stored again. The last three are read and written trial by trial: they are long."""
MEASURED = frozenset({"metrics", "traces", "order_parameters"})

NUMBERED = frozenset({"groups", "packs", "trials"})
"""Tables that others refer to by position; their rows in the file stand in the order of it, from 0."""
