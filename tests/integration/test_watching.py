"""The command line at a sweep that does not go well: a pause, trials that diverge, data that is not there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from api.app import create_app
from api.cli.main import app
from api.client import Client
from services import control, queue
from services.domain.results import Outcome
from services.domain.states import Reason
from tests.integration.test_api import settings
from tests.queueing import chunk, claim, record, submit, try_claim
from tests.serving import served


@pytest.fixture
def server(database_url: str, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    configured = settings(database_url, reader, token=None, store=str(tmp_path / "store"), data_root=tmp_path)
    with served(create_app(configured)) as url:
        monkeypatch.setenv("ALIGNSWEEP_URL", url)
        yield url


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def failing(session: Session, **parts: Any) -> int:
    """A sweep that has paused itself, as its trials fail alike."""
    sweep_id = submit(session, seeds={"count": 12}, **parts)
    attempt = 0
    while (claimed := try_claim(session, capacity=3)) is not None:
        queue.break_pack(session, claimed.order.pack_id, Reason.USER_ERROR, f"set ALIGNSWEEP_DATA_DOWNLOAD={attempt}")
        session.commit()
        attempt += 1
    return sweep_id


@pytest.mark.timeout(60)
def test_watching_ends_at_a_pause_and_says_what_can_be_done(server: str, session: Session) -> None:
    sweep_id = failing(session)
    watched = run("watch", "last")
    assert watched.exit_code == 1
    why = "trials have failed alike, the last one: set ALIGNSWEEP_DATA_DOWNLOAD="
    assert f"sweep {sweep_id} is paused: " in watched.stderr
    assert why in watched.stderr
    for verb in ("resume", "retry", "cancel"):
        assert f"alignsweep {verb} {sweep_id}" in watched.stderr
    with Client(server) as client:
        sweep = client.sweep("last").wait()
        assert (sweep.state, sweep.paused, sweep.over) == ("paused", True, False)
        (error,) = client.frame("SELECT error, example FROM v_errors").rows()
    assert error[0] == "set ALIGNSWEEP_DATA_DOWNLOAD=#"
    assert error[1].removeprefix("set ALIGNSWEEP_DATA_DOWNLOAD=").isdigit()
    assert f"alignsweep trials {sweep_id} --filter" in watched.stderr
    shown = run("trials", str(sweep_id), "--filter", "error is not null", "--fields", "id,error")
    assert "ALIGNSWEEP_DATA_DOWNLOAD=0" in shown.stdout


@pytest.mark.timeout(60)
def test_a_pause_by_hand_names_no_errors(server: str, session: Session) -> None:
    sweep_id = submit(session)
    control.pause(session, sweep_id)
    session.commit()
    watched = run("watch", str(sweep_id))
    assert watched.exit_code == 1
    assert f"alignsweep resume {sweep_id} goes on; alignsweep cancel {sweep_id} ends it\n" in watched.stderr


def test_trials_that_diverged_are_counted_wherever_a_sweep_is_shown(server: str, session: Session) -> None:
    sweep_id = submit(session, name="wild")
    order = claim(session)
    diverged, *rest = order.trial_ids
    outcomes = [Outcome(trial_id=diverged, reason=Reason.DIVERGED, steps=3, diverged_at_step=4)]
    outcomes += [Outcome(trial_id=trial, reason=Reason.COMPLETED, steps=7) for trial in rest]
    record(session, chunk(order, 0, step=3, outcomes=outcomes))
    assert queue.end_pack(session, order.pack_id)
    session.commit()

    assert "succeeded 4 (1 diverged)" in run("watch", "wild").stderr
    with Client(server) as client:
        assert client.sweep("wild")["diverged"] == 1
        assert [sweep["diverged"] for sweep in client.sweeps()] == [1]
    table = run("table", str(sweep_id)).stdout
    header, row = table[table.index("\nn ") :].splitlines()[1:3]
    assert header.split()[:2] == ["n", "diverged"]
    assert row.split()[:2] == ["4", "1"]
    assert "± is the standard deviation over the n trials" in table
    assert "1 of the 4 diverged" in table
    assert "diverged" in run("ls").stdout
    control.clone(session, sweep_id, {}, name="tame", idempotency_key=None, owner=None)
    session.execute(text("DELETE FROM sweeps WHERE name = 'wild'"))
    session.commit()
    assert "diverged" not in run("ls").stdout


def test_trials_show_what_varies(server: str, session: Session) -> None:
    submit(session, grid={"rule.feedback.scale": [0.1, 1.0]}, base={"rule": {"name": "dfa"}}, seeds={"count": 1})
    header, *rows = run("trials", "last").stdout.splitlines()
    assert header.split()[:5] == ["id", "state", "reason", "rule.feedback.scale", "seed"]
    assert [row.split()[2] for row in rows] == ["0.1", "1"]
    assert "lr" in run("trials").stdout


def test_data_that_is_not_there_is_warned_of_before_it_is_missed(server: str, tmp_path: Path) -> None:
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    spec = tmp_path / "spec.yaml"
    spec.write_text("name: x\nbase:\n  data: {name: mnist}\ngrid:\n  data.name: [mnist, fashion_mnist]\n")
    for command in (("plan", str(spec)), ("submit", "--dry-run", str(spec)), ("submit", str(spec))):
        told = run(*command)
        assert told.exit_code == 0
        assert f"{spec}:5: warning: /grid/data.name/1: fashion_mnist is not under {tmp_path}" in told.stderr
        assert "here are digits, mnist)" in told.stderr
    doctor = run("doctor")
    assert "digits, mnist; fashion_mnist, cifar10, cifar100: not here" in doctor.stdout
    assert "starting: none has shown itself yet" in doctor.stdout
    assert doctor.exit_code == 0
