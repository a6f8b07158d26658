"""What the API is sent, besides specs."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.domain.access import Scope
from services.domain.labels import Notes, Tags
from services.domain.spec.base import Name


class Body(BaseModel):
    """Unknown names are refused, and nothing is converted: `"1"` is no number."""

    model_config = ConfigDict(strict=True, extra="forbid")


class PriorityChange(Body):
    priority: int = Field(ge=-1000, le=1000)


class NewToken(Body):
    name: Name = Field(description="What it is for.", examples=["notebook on the lab server"])
    owner: Name = Field(description="Whose it is: sweeps submitted with it are theirs.", examples=["ada"])
    scopes: list[Annotated[Scope, Field(strict=False)]] = Field(
        min_length=1, max_length=4, description="`submit` and `sql` include `read`; `admin` includes all."
    )
    valid_days: int | None = Field(365, ge=1, le=3650, description="From now; null: until it is revoked.")


class SweepEdit(Body):
    name: Name = Field(default_factory=str)
    tags: Tags = Field(default_factory=list)
    notes: Notes | None = Field(None, description="Null removes them.")


class WebhookRequest(Body):
    url: str = Field(min_length=1, max_length=2000, examples=["https://example.org/hooks/alignsweep"])
    events: list[Literal["sweep.ended", "sweep.paused"]] = Field(
        ["sweep.ended", "sweep.paused"], min_length=1, max_length=2
    )


class Clone(Body):
    name: Name | None = None
    overrides: dict[str, Any] = Field(
        default_factory=dict,
        max_length=1000,
        description="Dotted paths into the spec, with their new values.",
        examples=[{"base.train.lr": 0.01, "seeds.count": 3}],
    )


class Question(Body):
    sql: str = Field(
        min_length=1,
        max_length=100_000,
        examples=["SELECT varied, n, test_accuracy_mean FROM v_group_stats WHERE sweep_id = 1"],
    )
    max_rows: int = Field(10_000, ge=1, le=100_000)
