"""Trials: one configuration with one seed, and what was measured of it."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import schemas
from api.auth import FEW, OWN_TRIAL, READ, SUBMIT, Owner
from api.deps import Id, IdempotencyKey, Transaction
from api.lists import TrialQuery, trial_page
from services import control, results
from services.explain import explain as explain_trial
from services.transfer import reproductions

router = APIRouter(prefix="/trials", tags=["trials"], dependencies=[READ])


@router.get("", operation_id="list_all_trials", response_model=schemas.TrialPage | schemas.SparsePage)
def page(session: Transaction, query: Annotated[TrialQuery, Query()]) -> Response:
    """Trials of all sweeps, the newest first unless sorted otherwise."""
    return trial_page(session, query)


@router.get("/{trial_id}", operation_id="get_trial", response_model=schemas.Trial)
def show(trial_id: Id, session: Transaction) -> Response:
    """One trial."""
    return schemas.Trial.model_validate(asdict(results.trial(session, trial_id))).sent()


@router.post("/{trial_id}/cancel", operation_id="cancel_trial", dependencies=OWN_TRIAL)
def cancel(trial_id: Id, session: Transaction) -> schemas.Trial:
    """Cancel one trial; a worker drops it at its next trace point. May be repeated."""
    control.cancel_trial(session, trial_id)
    return schemas.Trial.model_validate(asdict(results.trial(session, trial_id)))


@router.get("/{trial_id}/explain", operation_id="explain_trial")
def explain(trial_id: Id, session: Transaction) -> schemas.Explanation:
    """Why it waits, runs or is over, in one sentence."""
    return schemas.Explanation(sentence=explain_trial(session, trial_id))


@router.get("/{trial_id}/metrics", operation_id="get_trial_metrics", response_model=schemas.Metrics)
def metrics(trial_id: Id, session: Transaction) -> Response:
    """Losses, accuracies and total alignments by step."""
    return schemas.Metrics.model_validate({"items": results.trial_metrics(session, trial_id)}).sent()


@router.get("/{trial_id}/alignment", operation_id="get_trial_alignment", response_model=schemas.Trace)
def alignment(trial_id: Id, session: Transaction) -> Response:
    """Alignment by step and layer."""
    return schemas.Trace.model_validate({"items": results.trial_alignment(session, trial_id)}).sent()


@router.get("/{trial_id}/attempts", operation_id="get_trial_attempts", response_model=schemas.Attempts)
def attempts(trial_id: Id, session: Transaction) -> Response:
    """All tries at the trial, the first one first, each with where it ran."""
    return schemas.Attempts.model_validate({"items": results.trial_attempts(session, trial_id)}).sent()


@router.post(
    "/{trial_id}/reproduce",
    operation_id="reproduce_trial",
    dependencies=[SUBMIT],
    status_code=201,
    responses={200: {"model": schemas.Sweep}},
)
def reproduce(
    trial_id: Id, session: Transaction, owner: Owner, response: Response, idempotency_key: IdempotencyKey = None
) -> schemas.Sweep:
    """Train it once more: a sweep of its one configuration and seed, to compare with it afterwards."""
    summary, created = reproductions.reproduce(session, trial_id, idempotency_key=idempotency_key, owner=owner)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/sweeps/{summary.id}"
    return schemas.Sweep.model_validate(summary)


@router.get("/{trial_id}/compare/{other_id}", operation_id="compare_trials", dependencies=[FEW])
def compare(trial_id: Id, other_id: Id, session: Transaction) -> schemas.Comparison:
    """All that was measured of two trials that are over, bit for bit, and whether they should be equal."""
    return schemas.Comparison.model_validate(reproductions.compare(session, trial_id, other_id))
