"""Trials: one configuration with one seed, and what was measured of it."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import schemas
from api.auth import OWN_TRIAL, READ
from api.deps import Id, Transaction
from api.lists import TrialQuery, trial_page
from services import control, results
from services.explain import explain as explain_trial

router = APIRouter(prefix="/trials", tags=["trials"], dependencies=[READ])


@router.get("", operation_id="list_all_trials", response_model=schemas.TrialPage | schemas.SparsePage)
def page(session: Transaction, query: Annotated[TrialQuery, Query()]) -> Response:
    """Trials of all sweeps, the newest first unless sorted otherwise."""
    return trial_page(session, query)


@router.get("/{trial_id}", operation_id="get_trial")
def show(trial_id: Id, session: Transaction) -> schemas.Trial:
    """One trial."""
    return schemas.Trial.model_validate(asdict(results.trial(session, trial_id)))


@router.post("/{trial_id}/cancel", operation_id="cancel_trial", dependencies=OWN_TRIAL)
def cancel(trial_id: Id, session: Transaction) -> schemas.Trial:
    """Cancel one trial; a worker drops it at its next trace point. May be repeated."""
    control.cancel_trial(session, trial_id)
    return schemas.Trial.model_validate(asdict(results.trial(session, trial_id)))


@router.get("/{trial_id}/explain", operation_id="explain_trial")
def explain(trial_id: Id, session: Transaction) -> schemas.Explanation:
    """Why it waits, runs or is over, in one sentence."""
    return schemas.Explanation(sentence=explain_trial(session, trial_id))


@router.get("/{trial_id}/metrics", operation_id="get_trial_metrics")
def metrics(trial_id: Id, session: Transaction) -> schemas.Metrics:
    """Losses, accuracies and total alignments by step."""
    return schemas.Metrics.model_validate({"items": results.trial_metrics(session, trial_id)})


@router.get("/{trial_id}/alignment", operation_id="get_trial_alignment")
def alignment(trial_id: Id, session: Transaction) -> schemas.Trace:
    """Alignment by step and layer."""
    return schemas.Trace.model_validate({"items": results.trial_alignment(session, trial_id)})


@router.get("/{trial_id}/attempts", operation_id="get_trial_attempts")
def attempts(trial_id: Id, session: Transaction) -> schemas.Attempts:
    """All tries at the trial, the first one first, each with where it ran."""
    return schemas.Attempts.model_validate({"items": results.trial_attempts(session, trial_id)})
