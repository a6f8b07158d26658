"""What the API answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from services.domain.access import Scope
from services.domain.errors import Problem
from services.domain.states import DeliveryState, SweepState, TrialState


class Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    def sent(self, headers: Mapping[str, str] | None = None) -> Response:
        """As it stands: what was validated here, the framework need not validate once more."""
        return Response(self.model_dump_json(), media_type="application/json", headers=headers)


class Sweep(Answer):
    id: int
    name: str
    state: SweepState
    pause_reason: str | None = Field(description="Why it is paused; null when it is not.")
    allowed_actions: list[str] = Field(description="What can be done with it now.")
    priority: int = Field(description="Higher is claimed first.")
    owner: str | None = Field(description="Who submitted it; null where the server asks for no token.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    trial_count: int
    trials: dict[TrialState, int] = Field(description="Trials by state; states without trials are left out.")
    diverged: int = Field(
        description="Of the trials that succeeded, those that diverged: their last numbers are from before that."
    )
    steps_per_second: float | None = Field(
        description="Updates per second of the packs that run now, summed over trials; null when nothing runs."
    )
    tags: list[str]
    notes: str | None
    spec: dict[str, Any] = Field(description="The spec with all defaults written out.")


class ProblemEntry(Answer):
    pointer: str = Field(description="RFC 6901 pointer to what is wrong.")
    code: str
    message: str
    hint: str | None = None
    line: int | None = Field(None, description="From 1, where the body is YAML.")
    column: int | None = None


def problem_entries(problems: list[Problem]) -> list[ProblemEntry]:
    return [ProblemEntry.model_validate(problem) for problem in problems]


class SubmittedSweep(Sweep):
    warnings: list[ProblemEntry] = Field(description="What the researcher may want to know; nothing is wrong.")


class Branch(Answer):
    """Combinations to which the same entries of `when` apply."""

    when: list[int] = Field(description="Indices into `when`; empty: these keep the base.")
    condition: str | None
    groups: int
    trials: int


class Estimate(Answer):
    """Of a sweep that has all workers to itself; null is unknown."""

    worker_seconds: float | None = Field(description="As if one worker did everything.")
    seconds: float | None = Field(description="On the workers that are there now.")
    workers: int = Field(description="Packs that may run at once, now.")
    basis: str | None = Field(description="What the seconds come from; null when nothing was ever measured.")


class Plan(Answer):
    """What a spec would cost."""

    trials: int
    groups: int = Field(description="Configurations; the trials of a group differ by the seed alone.")
    branches: list[Branch] = Field(description="Empty without `when`.")
    packs: int = Field(description="Batched programs, if all packs are full.")
    model_steps: int = Field(description="Updates, summed over all trials.")
    metric_rows: int
    trace_rows: int
    bytes_estimate: int = Field(description="Of the rows in the database, in bytes.")
    estimate: Estimate


class PlannedSweep(Answer):
    plan: Plan
    warnings: list[ProblemEntry] = Field(description="What the researcher may want to know; nothing is wrong.")
    spec: dict[str, Any] = Field(description="The spec with all defaults written out.")


class SweepPage(Answer):
    items: list[Sweep]
    next_cursor: str | None = Field(description="Null on the last page.")


class Trial(Answer):
    id: int
    sweep_id: int
    position: int = Field(description="Order of expansion within the sweep, from 0.")
    state: TrialState
    reason: str | None = Field(description="Why the trial is in its state.")
    error: str | None
    seed: int
    group_hash: str = Field(description="Identifies the configuration without the seed.")
    config: dict[str, Any]
    attempts: int = Field(description="Attempts charged to the trial.")
    max_attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    summary: dict[str, Any] | None = Field(description="Steps made and last metrics, once it has succeeded.")


class TrialPage(Answer):
    items: list[Trial]
    next_cursor: str | None = Field(description="Null on the last page.")


class SparsePage(Answer):
    """Where `fields` were named: one object per row, with these fields."""

    items: list[dict[str, Any]]
    next_cursor: str | None = Field(description="Null on the last page.")


class Metric(Answer):
    """One trace point. Losses are means per sample; null is undefined."""

    step: int
    epoch: float
    train_loss: float | None
    train_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    weight_alignment: float | None = Field(description="Cosine over all layers, with the feedback as drawn.")
    weight_alignment_scaled: float | None = Field(description="The same with the feedback as used.")
    gradient_alignment: float | None = Field(description="Mean cosine over samples, all hidden layers.")
    gradient_alignment_published: float | None = Field(
        description="Without the last hidden layer, as in the authors' code."
    )
    generalisation_error: float | None = Field(description="Exact, of a committee and its teacher.")


class Metrics(Answer):
    items: list[Metric]


class TracePoint(Answer):
    """One layer at one trace point; null is undefined."""

    step: int
    layer: int = Field(description="From 1.")
    weight_alignment: float | None
    gradient_alignment: float | None
    weight_gradient_alignment: float | None
    delta_norm_ratio: float | None
    weight_norm: float | None
    update_norm: float | None
    delta_effective_rank: float | None = Field(description="Participation ratio of the rule's deltas.")
    alignment_condition: float | None = Field(description="Condition number of the alignment matrix A_l.")
    alignment_identity: float | None = Field(description="tr(A_l) / (norm(A_l) sqrt(n_L)).")
    alignment_residual: float | None = Field(description="Largest entry of W_l - F_l A_l F_(l-1)^T over that of W_l.")


class Trace(Answer):
    items: list[TracePoint]


class Attempt(Answer):
    pack_id: int
    reason: str | None = Field(description="How it ended; null while it runs.")
    error: str | None
    provenance: dict[str, Any] | None
    started_at: datetime
    finished_at: datetime | None


class Attempts(Answer):
    items: list[Attempt]


class Difference(Answer):
    """The first value that is not the same."""

    table: str
    key: dict[str, Any] = Field(description="The row's step, and layer or entry.")
    column: str | None = Field(description="Null: one of the trials has no such row.")
    value: float | None
    other: float | None


class Comparison(Answer):
    """Two trials, row by row and bit by bit."""

    equal: bool
    rows_compared: int
    rows_unlike: int = Field(description="Rows that differ in any bit, or that one of the trials lacks.")
    first_difference: Difference | None
    expected: bool = Field(description="Whether equality is to be expected.")
    obstacles: list[str] = Field(description="Why it is not.")
    provenance: list[dict[str, Any]] = Field(description="Of the attempts at the one trial, without repetitions.")
    other_provenance: list[dict[str, Any]]


class Rows(Answer):
    """Statistics over the seeds of each group; `varied` holds the group's values on the axes of the sweep."""

    items: list[dict[str, Any]]


class Curves(Rows):
    """A point is one step of one series: of a group, or of the groups that `by` pools."""

    points_total: int = Field(description="Points that were measured, of the series shown.")
    points_shown: int = Field(description="Points in this answer.")
    sampled: bool = Field(description="Whether points were left out, because of `max_points`.")
    series_total: int = Field(description="Series there are.")
    series_shown: int = Field(description="Series in this answer: fewer because of `max_series`.")


class Axis(Answer):
    name: str = Field(description="Dotted path of the parameter.")
    count: int = Field(description="How many values it has.")
    values: list[Any] | None = Field(description="In order where they are numbers; null where there are above 100.")


class Axes(Answer):
    """What tells the groups of a sweep apart, the outermost axis first."""

    items: list[Axis]
    groups: int = Field(description="How many groups there are.")


class QueueEntry(Answer):
    sweep_id: int
    sweep: str
    sweep_state: SweepState
    priority: int
    queued: int
    running: int
    packs: int
    oldest_queued_at: datetime | None


class Queue(Answer):
    items: list[QueueEntry]


class Worker(Answer):
    dispatcher: str
    name: str
    node: str
    cpu: float
    gpu: float
    pack_id: int | None = Field(description="What it trains; null when idle.")
    seen_at: datetime


class Workers(Answer):
    items: list[Worker]


class Event(Answer):
    id: int
    at: datetime
    trial_id: int | None
    pack_id: int | None
    kind: str = Field(description="`sweep.submitted`, `trial.claimed`, `trial.succeeded`, `trial.requeued`, ...")
    detail: dict[str, Any] | None
    actor: str | None = Field(description="Whose token did it; null: the service, or a caller who needed no token.")


class Progress(Answer):
    """How far a sweep is: the data of `progress` and `end` events of its stream."""

    id: int
    state: SweepState
    pause_reason: str | None
    trial_count: int
    trials: dict[TrialState, int] = Field(description="Trials by state; states without trials are left out.")
    diverged: int = Field(
        description="Of the trials that succeeded, those that diverged: their last numbers are from before that."
    )
    steps_per_second: float | None


class EventPage(Answer):
    items: list[Event]
    next_cursor: str | None = Field(description="Null when there is nothing more now.")


class Explanation(Answer):
    sentence: str


class Webhook(Answer):
    id: int
    url: str
    events: list[str]
    created_at: datetime


class NewWebhook(Webhook):
    secret: str = Field(description="The key of its signatures; it is shown this once.")


class Webhooks(Answer):
    items: list[Webhook]


class Delivery(Answer):
    id: int
    event: str
    sweep_id: int
    state: DeliveryState
    attempts: int
    status: int | None = Field(description="The HTTP status of the last answer.")
    error: str | None = Field(description="Why the last attempt failed.")
    created_at: datetime
    next_attempt_at: datetime | None = Field(description="Null when there will be none.")
    finished_at: datetime | None


class DeliveryPage(Answer):
    items: list[Delivery]
    next_cursor: str | None = Field(description="Null on the last page.")


class Finding(Answer):
    check: str
    ok: bool
    detail: str


class Findings(Answer):
    items: list[Finding]


class Token(Answer):
    id: int
    name: str
    owner: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To within five minutes.")
    active: bool = Field(description="Neither expired nor revoked.")


class CreatedToken(Token):
    secret: str = Field(description="What goes behind `Authorization: Bearer`. It is not kept, and not shown again.")


class TokenPage(Answer):
    items: list[Token]
    next_cursor: str | None = Field(description="Null on the last page.")


class QueryAnswer(Answer):
    columns: list[str]
    rows: Annotated[list[list[Any]], SkipValidation] = Field(
        description="NaN and infinities, dates and bytes (base64) come as text."
    )
    truncated: bool = Field(description="There were more rows than `max_rows`, or than fit into 16 MiB.")
    elapsed_seconds: float


class ProblemDocument(Answer):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: list[ProblemEntry] | None = None


class Health(Answer):
    status: str
