"""A database with a sweep for each thing that pages show, and the screens that are looked at."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from api.client.specfile import read_spec
from services import presence, sweeps
from services.dispatcher import Dispatcher
from services.domain.results import Outcome
from services.domain.states import Reason
from services.planning.expansion import parse
from services.store import Store
from tests import queueing as q
from tests.cookbook import QUICKSTART, train
from workers.inline import InlineExecutor
from workers.pack import describe
from workers.training import products
from workers.training.data.library import DataLibrary

THEORY: dict[str, Any] = {
    "name": "theory-and-simulation",
    "base": {
        "data": {"name": "teacher", "inputs": 100},
        "model": {"hidden": [2], "activation": "erf", "init": "normal", "init_scale": 0.1},
        "train": {"lr": 0.2, "batch_size": 1, "epochs": 12, "loss": "half_mse"},
    },
    "grid": {"model.kind": ["theory", "committee"], "rule.name": ["bp", "dfa"]},
    "seeds": {"count": 3},
}
MANY: dict[str, Any] = {
    "name": "eight-layers-in-48-configurations-under-a-name-that-is-as-long-as-names-of-sweeps-may-well-become",
    "base": {
        "data": {"name": "digits", "train_samples": 64, "test_samples": 64},
        "model": {"hidden": [8] * 8},
        "train": {"epochs": 3, "batch_size": 16},
        "trace": {"points_per_decade": 4},
    },
    "grid": {
        "rule.name": ["fa", "dfa"],
        "train.lr": [0.0003, 0.001, 0.003, 0.01],
        "model.activation": ["tanh", "relu"],
        "rule.feedback.distribution": ["uniform", "normal", "orthogonal"],
    },
    "seeds": {"count": 1},
}
ONE: dict[str, Any] = {
    "name": "one-trial",
    "base": {"data": {"name": "digits", "train_samples": 64, "test_samples": 64}, "train": {"epochs": 2}},
    "seeds": {"count": 1},
}
RUNNING: dict[str, Any] = {
    "name": "feedback-scale",
    "base": {"data": {"name": "digits"}, "model": {"hidden": [64, 64]}, "train": {"epochs": 10, "batch_size": 32}},
    "grid": {"rule.name": ["fa", "dfa"], "rule.feedback.scale": [0.1, 0.3, 1.0]},
    "seeds": {"count": 4},
}
ERROR = "The loss was not finite at step 412.\n  layer 3: the largest weight was 3.1e+18"


def fill(engine: Engine, folder: Path) -> None:
    """Sweeps 1 to 7: the quickstart, theory, many groups, one trial, one failed, one half done, one that waits."""
    for document in (read_spec(QUICKSTART), THEORY, MANY, ONE):
        train(engine, document, folder, reproducibility="tolerance")
    with Session(engine) as session:
        q.submit(session, name="too-deep", base={"data": {"name": "digits"}, "model": {"hidden": [64] * 12}})
        order = q.claim(session, capacity=4)
        failed = [Outcome(trial_id=trial, reason=Reason.USER_ERROR, error=ERROR) for trial in order.trial_ids]
        q.record(session, q.chunk(order, 0, outcomes=failed))
    begin(engine, RUNNING, folder)
    with Session(engine) as session:
        q.submit(session, name="waits", base={"data": {"name": "digits"}}, grid={"rule.name": ["bp", "fa", "dfa"]})


def begin(engine: Engine, document: dict[str, Any], folder: Path) -> None:
    """A sweep that is left when half of its trials have ended."""
    with Session(engine) as session, session.begin():
        sweep, _ = sweeps.submit(session, parse(document), idempotency_key=None, owner=None)
    executor = InlineExecutor(DataLibrary(), describe("cpu", products.configure(), "tolerance"))
    dispatcher = Dispatcher(engine=engine, executor=executor, store=Store(str(folder)), ttl=timedelta(minutes=10))
    states = text(
        "SELECT count(*) FILTER (WHERE finished_at IS NOT NULL), count(pack_id) FROM trials WHERE sweep_id = :id"
    )
    ended = running = 0
    while ended * 2 < sweep.trial_count or running == 0:
        dispatcher.tick()
        with engine.connect() as connection:
            ended, running = connection.execute(states, {"id": sweep.id}).one()
    with Session(engine) as session, session.begin():
        shown = {"workers": executor.workers(), "capacity": 1, "packs": 1, "ttl": dispatcher.ttl, "draining": False}
        presence.show(session, "desk:4711", **shown)


def offline(page: Page) -> None:
    page.context.set_offline(True)


def misspelt(page: Page) -> None:
    area = page.get_by_label("Spec, as YAML or JSON")
    area.fill(area.input_value().replace("digits", "digitz").replace("epochs: 20", "epochs: many"))


def cancelling(page: Page) -> None:
    page.get_by_role("button", name="Cancel", exact=True).click()


def menu(page: Page) -> None:
    page.get_by_label("Menu of the chart By layer and update").click()


def endless(page: Page) -> None:
    def never(route: Route) -> None:
        """Whoever asks waits."""

    page.route("**/sweeps/1/alignment*", never)


@dataclass(frozen=True)
class Screen:
    """`shows`: what is to be read there. `refused`: an error is what it shows. `before`, `then`: done to the page."""

    name: str
    path: str
    shows: str
    refused: bool = False
    before: Callable[[Page], None] | None = None
    then: Callable[[Page], None] | None = None


_DEEP = "where.model.hidden=[64,64,64]&where.model.activation=%22tanh%22"
_ASKED = (
    "q=SELECT layer, step, avg(v_alignment.gradient_alignment) AS alignment%0A"
    "FROM v_alignment JOIN v_trials USING (trial_id)%0A"
    "WHERE v_trials.sweep_id = 1 AND activation = 'tanh' AND hidden = '[64, 64, 64]' AND v_trials.rule = 'dfa'%0A"
    "    AND layer < 4%0AGROUP BY layer, step%0AORDER BY layer, step&chart=yes&cby=layer&clog=yes"
)

SCREENS = (
    Screen("sweeps", "/sweeps", "quickstart"),
    Screen("sweep-alignment", f"/sweeps/1?by=rule.name&{_DEEP}", "Curves, layer by layer"),
    Screen("sweep-weights", "/sweeps/1?measure=weight_alignment&by=model.hidden", "Curves, layer by layer"),
    Screen("sweep-learning", f"/sweeps/1?tab=learning&by=rule.name&{_DEEP}", "Learning and alignment"),
    Screen("sweep-outcomes", "/sweeps/1?tab=outcomes&brush.test_accuracy=0.9..", "Parameters and outcomes"),
    Screen("sweep-groups", "/sweeps/1?tab=groups", "alignment 3"),
    Screen("sweep-trials", "/sweeps/1?tab=trials&sort=-test_accuracy", "gradient alignment"),
    Screen("sweep-events", "/sweeps/1?tab=events", "trial.succeeded"),
    Screen("sweep-spec", "/sweeps/1?tab=spec", "epochs: 40"),
    Screen("sweep-theory", "/sweeps/2?tab=learning&by=rule.name", "Learning and alignment"),
    Screen("sweep-many", "/sweeps/3?by=none", "more series are not shown"),
    Screen("sweep-many-groups", "/sweeps/3?tab=groups", "alignment 8"),
    Screen("sweep-one", "/sweeps/4?tab=learning", "Learning and alignment"),
    Screen("sweep-failed", "/sweeps/5?tab=trials", "user_error"),
    Screen("sweep-running", "/sweeps/6", "Curves, layer by layer"),
    Screen("sweep-waits", "/sweeps/7", "Nothing was measured yet."),
    Screen("compare", "/compare?sweeps=1,6&by=rule.name", "At the end of the curves"),
    Screen("compare-none", "/compare", "No sweeps are chosen."),
    Screen("trial", "/trials/31", "rule.feedback.distribution"),
    Screen("trial-failed", "/trials/142", "not finite"),
    Screen("queue", "/queue", "inline"),
    Screen("sql", f"/sql?{_ASKED}", "rows"),
    Screen("new", "/new", "configurations"),
    Screen("menu", "/sweeps/1?by=rule.name", "Curves, layer by layer", then=menu),
    Screen("dialog", "/sweeps/6", "Curves, layer by layer", then=cancelling),
    Screen("loading", "/sweeps/1", "Alignment", before=endless),
    Screen("no-such-sweep", "/sweeps/999", "There is no sweep 999", refused=True),
    Screen("bad-filter", "/sweeps?filter=naem = quickstart", "did you mean", refused=True),
    Screen("bad-sql", "/sql?q=SELECT nonsense FROM v_trials", "does not exist", refused=True),
    Screen("bad-spec", "/new", "configurations", then=misspelt),
    Screen("disconnected", "/queue", "inline", then=offline),
)
