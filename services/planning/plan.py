"""What a spec would cost: trials, packs, rows, bytes, and time as far as it was ever measured."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from services.domain.architecture import architecture
from services.domain.errors import Problem
from services.domain.ports import Resources
from services.domain.schedule import total_steps, trace_steps
from services.domain.spec import SweepSpec
from services.packing import pack_key, pack_limit
from services.planning.advice import Advice
from services.planning.branches import Branch, branches
from services.planning.expansion import expand
from services.planning.timing import Estimate, Shape, estimate
from services.shelf import Shelf

_TRACE_ROW_BYTES = 90
_METRIC_ROW_BYTES = 110


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a spec would cost. `packs` assumes full packs."""

    trials: int
    groups: int
    branches: list[Branch]
    """Empty without `when`."""
    packs: int
    model_steps: int
    """Updates, summed over all trials."""
    metric_rows: int
    trace_rows: int
    bytes_estimate: int
    estimate: Estimate
    warnings: list[Problem]


def plan(session: Session, spec: SweepSpec, shelf: Shelf | None = None) -> Plan:
    """Cost of the sweep; warns of data sets that are not on the shelf.

    Raises InvalidSpec when a combination of values is not a valid configuration.
    """
    resources = Resources(cpu=float(spec.resources.cpu), gpu=float(spec.resources.gpu))
    advice = Advice(spec, shelf)
    shapes: dict[str, Shape] = {}
    groups = points = layer_points = 0
    for group in expand(spec):
        advice.see(group)
        key, trials = pack_key(group.document, resources), len(group.seeds)
        steps = total_steps(group.config)
        before = shapes.get(key) or Shape(config=group.config, trials=0, steps=0)
        shapes[key] = Shape(config=before.config, trials=before.trials + trials, steps=before.steps + steps * trials)
        group_points = len(trace_steps(steps, group.config.trace.points_per_decade)) * trials
        points += group_points
        layer_points += group_points * len(architecture(group.config).layers)
        groups += 1
    return Plan(
        trials=groups * spec.seeds.count,
        groups=groups,
        branches=branches(spec, advice.groups_by_branch),
        packs=sum(-(-shape.trials // pack_limit(shape.config, resources)) for shape in shapes.values()),
        model_steps=sum(shape.steps for shape in shapes.values()),
        metric_rows=points,
        trace_rows=layer_points,
        bytes_estimate=points * _METRIC_ROW_BYTES + layer_points * _TRACE_ROW_BYTES,
        estimate=estimate(session, shapes, resources, running=spec.limits.running),
        warnings=advice.warnings(),
    )
