"""Sweeps: submit, list, show, cancel, and statistics over seeds."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from api import bodies, schemas
from api.auth import OWN_SWEEP, READ, SUBMIT, Owner
from api.body import body_of, document, located, validated
from api.deps import CursorId, Id, IdempotencyKey, Limit, Transaction, cut
from api.errors import DOCUMENTED
from api.etags import etag, expected_versions, matches
from api.lists import SweepQuery, TrialQuery, sweep_page, trial_page
from api.selection import Selected
from services import control, editing, groups, results, sweeps
from services import curves as read_curves
from services.domain.spec import SweepSpec
from services.planning import plan
from services.planning.expansion import parse
from services.shelf import Shelf

router = APIRouter(prefix="/sweeps", tags=["sweeps"], dependencies=[READ])

EXAMPLE = {
    "name": "feedback-scale",
    "base": {"data": {"name": "digits"}, "train": {"epochs": 20}},
    "grid": {"rule.name": ["bp", "fa", "dfa"]},
    "when": [{"if": {"rule.name": ["fa", "dfa"]}, "grid": {"rule.feedback.scale": [0.1, 1.0]}}],
    "seeds": {"count": 5},
}
_SPEC: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/SweepSpec"}, "example": EXAMPLE}
_BODY = {"requestBody": {"required": True, "content": {"application/json": _SPEC, "application/yaml": _SPEC}}}

_EDIT_REFUSALS: dict[int | str, dict[str, Any]] = {
    412: {"content": DOCUMENTED, "description": "It was edited meanwhile"},
    428: {"content": DOCUMENTED, "description": "`If-Match` is missing"},
}

MaxPoints = Annotated[
    int | None,
    Query(ge=2, le=100_000, description="At most so many steps of each series, the first and the last among them."),
]


@router.post(
    "",
    operation_id="submit_sweep",
    dependencies=[SUBMIT],
    status_code=201,
    openapi_extra=_BODY,
    responses={200: {"model": schemas.SubmittedSweep | schemas.PlannedSweep}, 201: {"model": schemas.SubmittedSweep}},
)
def submit(
    request: Request,
    body: Annotated[object, Depends(document)],
    session: Transaction,
    owner: Owner,
    response: Response,
    dry_run: Annotated[bool, Query(description="Answer with the plan and store nothing.")] = False,
    idempotency_key: IdempotencyKey = None,
) -> schemas.SubmittedSweep | schemas.PlannedSweep:
    """Submit a spec. All trials are stored, durably, before the answer leaves."""
    spec: SweepSpec = parse(body)
    shelf = Shelf.of(request.app.state.settings)
    if dry_run:
        response.status_code = 200
        planned = plan.plan(session, spec, shelf)
        return schemas.PlannedSweep(
            plan=schemas.Plan.model_validate(planned),
            warnings=schemas.problem_entries(located(request, planned.warnings)),
            spec=spec.model_dump(mode="json"),
        )
    summary, created = sweeps.submit(session, spec, idempotency_key=idempotency_key, owner=owner, shelf=shelf)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/sweeps/{summary.id}"
    warnings = schemas.problem_entries(located(request, sweeps.warnings(session, summary.id)))
    return schemas.SubmittedSweep(**schemas.Sweep.model_validate(summary).model_dump(), warnings=warnings)


@router.get("", operation_id="list_sweeps", response_model=schemas.SweepPage | schemas.SparsePage)
def page(session: Transaction, query: Annotated[SweepQuery, Query()]) -> Response:
    """Sweeps, the newest first unless sorted otherwise."""
    return sweep_page(session, query)


@router.get(
    "/{sweep_id}",
    operation_id="get_sweep",
    response_model=schemas.Sweep,
    responses={304: {"description": "As `If-None-Match` has it"}},
)
def show(sweep_id: Id, session: Transaction, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """One sweep and its progress."""
    sweep = sweeps.get(session, sweep_id)
    tag = {"ETag": etag(sweep)}
    if matches(tag["ETag"], if_none_match):
        return Response(status_code=304, headers=tag)
    return schemas.Sweep.model_validate(sweep).sent(tag)


@router.patch(
    "/{sweep_id}",
    operation_id="edit_sweep",
    dependencies=OWN_SWEEP,
    openapi_extra=body_of("SweepEdit"),
    responses=_EDIT_REFUSALS,
)
def edit(
    sweep_id: Id,
    body: Annotated[object, Depends(document)],
    session: Transaction,
    response: Response,
    if_match: Annotated[str | None, Header(description="The ETag of what is edited, or `*`.")] = None,
) -> schemas.Sweep:
    """Change its name, tags or notes; what the body leaves out stays."""
    wanted = validated(bodies.SweepEdit, body).model_dump(exclude_unset=True)
    sweep = editing.edit(session, sweep_id, wanted, expected=expected_versions(if_match))
    response.headers["ETag"] = etag(sweep)
    return schemas.Sweep.model_validate(sweep)


@router.post("/{sweep_id}/pause", operation_id="pause_sweep", dependencies=OWN_SWEEP)
def pause(sweep_id: Id, session: Transaction) -> schemas.Sweep:
    """Claim nothing more of it; what runs, runs to its next checkpoint or its end. May be repeated."""
    return schemas.Sweep.model_validate(control.pause(session, sweep_id))


@router.post("/{sweep_id}/resume", operation_id="resume_sweep", dependencies=OWN_SWEEP)
def resume(sweep_id: Id, session: Transaction) -> schemas.Sweep:
    """Go on with a paused sweep. May be repeated."""
    return schemas.Sweep.model_validate(control.resume(session, sweep_id))


@router.post("/{sweep_id}/cancel", operation_id="cancel_sweep", dependencies=OWN_SWEEP)
def cancel(sweep_id: Id, session: Transaction) -> schemas.Sweep:
    """Cancel waiting trials at once, running ones at their next trace point. May be repeated."""
    return schemas.Sweep.model_validate(control.cancel(session, sweep_id))


@router.post("/{sweep_id}/retry", operation_id="retry_sweep", dependencies=OWN_SWEEP)
def retry(sweep_id: Id, session: Transaction) -> schemas.Sweep:
    """Let the failed trials wait again, and only them."""
    return schemas.Sweep.model_validate(control.retry(session, sweep_id))


@router.post(
    "/{sweep_id}/priority",
    operation_id="set_sweep_priority",
    dependencies=OWN_SWEEP,
    openapi_extra=body_of("PriorityChange"),
)
def priority(sweep_id: Id, body: Annotated[object, Depends(document)], session: Transaction) -> schemas.Sweep:
    """Change when it is claimed, from the next claim on. Higher is earlier."""
    change = validated(bodies.PriorityChange, body)
    return schemas.Sweep.model_validate(control.set_priority(session, sweep_id, change.priority))


@router.post(
    "/{sweep_id}/clone",
    operation_id="clone_sweep",
    dependencies=[SUBMIT],
    status_code=201,
    openapi_extra=body_of("Clone"),
    responses={200: {"model": schemas.Sweep}},
)
def clone(
    sweep_id: Id,
    body: Annotated[object, Depends(document)],
    session: Transaction,
    owner: Owner,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> schemas.Sweep:
    """Submit its spec again, with other values where the body says so."""
    wanted = validated(bodies.Clone, body)
    summary, created = control.clone(
        session, sweep_id, wanted.overrides, name=wanted.name, idempotency_key=idempotency_key, owner=owner
    )
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/sweeps/{summary.id}"
    return schemas.Sweep.model_validate(summary)


@router.get("/{sweep_id}/events", operation_id="list_sweep_events", response_model=schemas.EventPage)
def events(sweep_id: Id, session: Transaction, cursor: CursorId, limit: Limit = 100) -> Response:
    """What happened, in order."""
    found = results.events(session, sweep_id, after=cursor, limit=limit + 1)
    shown, following = cut([schemas.Event.model_validate(event) for event in found], limit)
    return schemas.EventPage(items=list(shown), next_cursor=following).sent()


@router.get("/{sweep_id}/trials", operation_id="list_trials", response_model=schemas.TrialPage | schemas.SparsePage)
def trials(sweep_id: Id, session: Transaction, query: Annotated[TrialQuery, Query()]) -> Response:
    """Trials of a sweep, in order of expansion unless sorted otherwise."""
    results.require_sweep(session, sweep_id)
    return trial_page(session, query, sweep_id=sweep_id)


@router.get("/{sweep_id}/stats", operation_id="get_sweep_stats", response_model=schemas.Rows)
def stats(sweep_id: Id, session: Transaction) -> Response:
    """Final metrics by group, and final alignment of each layer: n, mean, standard deviation over seeds."""
    return schemas.Rows(items=results.stats(session, sweep_id)).sent()


@router.get("/{sweep_id}/axes", operation_id="get_sweep_axes")
def axes(sweep_id: Id, session: Transaction) -> schemas.Axes:
    """The axes on which the groups of a sweep differ, and their values."""
    return schemas.Axes.model_validate(groups.axes(session, sweep_id))


@router.get("/{sweep_id}/alignment", operation_id="get_sweep_alignment", response_model=schemas.Curves)
def alignment(sweep_id: Id, session: Transaction, selection: Selected, max_points: MaxPoints = None) -> Response:
    """Alignment by group, step and layer: n, mean, standard deviation over seeds; or by series, over their trials."""
    found = read_curves.alignment(session, sweep_id, max_points=max_points, selection=selection)
    return schemas.Curves.model_validate(found).sent()


@router.get("/{sweep_id}/curves", operation_id="get_sweep_curves", response_model=schemas.Curves)
def curves(sweep_id: Id, session: Transaction, selection: Selected, max_points: MaxPoints = None) -> Response:
    """Losses and accuracies by group and step: n, mean, standard deviation over seeds; or by series."""
    found = read_curves.curves(session, sweep_id, max_points=max_points, selection=selection)
    return schemas.Curves.model_validate(found).sent()
