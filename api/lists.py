"""What lists are asked in their query strings, and how they answer."""

from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api import schemas
from api.deps import Digits
from services import results, sweeps
from services.domain.labels import Tag
from services.domain.states import SweepState, TrialState
from services.lists import listing
from services.lists.columns import SWEEPS, TRIALS, Noun
from services.lists.filters import MAX_LENGTH
from services.lists.listing import Page, Question


class _ListQuery(BaseModel):
    """Unknown names are refused: a misspelt filter would show everything."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1000, description="Rows per page."), Digits] = 100
    cursor: str | None = Field(None, max_length=4000, description="`next_cursor` of the page before.")
    filter: str | None = Field(
        None,
        max_length=MAX_LENGTH,
        description="Comparisons (= != < <= > >= ~ in, is null) joined by and, or, not.",
        examples=["rule in (fa, dfa) and train.lr < 0.01 and (state = succeeded or attempts > 1)"],
    )
    sort: str | None = Field(
        None, min_length=1, max_length=200, description="A column or a parameter; `-` before it: greatest first."
    )
    fields: str | None = Field(
        None, max_length=2000, description="Show these columns and parameters only.", examples=["id,state,train.lr"]
    )


class SweepQuery(_ListQuery):
    state: SweepState | None = None
    tag: list[Tag] = Field([], max_length=20, description="Only sweeps that have all of these.")

    def question(self) -> Question:
        """What is asked of the list of sweeps."""
        scope: dict[str, dict[str, Any]] = {}
        if self.state is not None:
            scope["sweeps.state = :state"] = {"state": str(self.state)}
        if self.tag:
            scope["sweeps.tags @> (:tags ::text[])"] = {"tags": self.tag}
        return _question(self, scope, "-id")


class TrialQuery(_ListQuery):
    state: TrialState | None = None

    def question(self, sweep_id: int | None) -> Question:
        """What is asked of the trials of a sweep, or of all."""
        scope: dict[str, dict[str, Any]] = {}
        if sweep_id is not None:
            scope["trials.sweep_id = :sweep"] = {"sweep": sweep_id}
        if self.state is not None:
            scope["trials.state = :state"] = {"state": str(self.state)}
        return _question(self, scope, "-id" if sweep_id is None else "position")


def sweep_page(session: Session, query: SweepQuery) -> Response:
    """A page of the sweeps."""
    found = listing.page(session, SWEEPS, query.question())
    if query.fields is not None:
        return _sparse(session, SWEEPS, found, query.fields)
    items = [schemas.Sweep.model_validate(sweep) for sweep in sweeps.several(session, found.ids)]
    return schemas.SweepPage(items=items, next_cursor=found.next_cursor).sent()


def trial_page(session: Session, query: TrialQuery, *, sweep_id: int | None = None) -> Response:
    """A page of the trials of a sweep, or of all."""
    found = listing.page(session, TRIALS, query.question(sweep_id))
    if query.fields is not None:
        return _sparse(session, TRIALS, found, query.fields)
    items = [schemas.Trial.model_validate(trial) for trial in results.trials(session, found.ids)]
    return schemas.TrialPage(items=items, next_cursor=found.next_cursor).sent()


def _sparse(session: Session, noun: Noun, page: Page, fields: str) -> Response:
    rows = listing.rows(session, noun, page.ids, listing.field_names(noun, fields))
    return schemas.SparsePage(items=rows, next_cursor=page.next_cursor).sent()


def _question(query: _ListQuery, scope: dict[str, dict[str, Any]], order: str) -> Question:
    return Question(sort=query.sort or order, limit=query.limit, filter=query.filter, cursor=query.cursor, scope=scope)
