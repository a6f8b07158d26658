"""The Python client by itself: what it imports, what it repeats, how progress looks."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import timedelta
from importlib import metadata
from io import BytesIO, StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import polars as pl
import pytest
from fastapi import FastAPI
from rich.console import Console

from api.client import Client, ServerRefused, ServerUnreachable, Sweep
from api.client.naming import found
from api.client.progress import bar, shown
from api.client.transfer import FORMS, TABLES
from services.transfer import exports, formats
from tests.ports import free_port
from tests.serving import served

ANSWER = {
    "id": 3,
    "name": "a",
    "state": "running",
    "trial_count": 4,
    "trials": {"running": 4},
    "steps_per_second": None,
}


def client_of(handler: Callable[[httpx.Request], httpx.Response], monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client whose requests go to a function, and which does not pause between them."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    client = Client("http://test")
    client._http = httpx.Client(base_url="http://test/api/v1", transport=httpx.MockTransport(handler))
    return client


def test_the_client_imports_nothing_heavy() -> None:
    heavy = ("torch", "ray", "fastapi", "sqlalchemy", "polars", "pyarrow", "matplotlib", "numpy")
    code = f"import sys, api.client; print(*(name for name in {heavy} if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.strip() == ""


def test_the_client_and_the_commands_that_ask_need_no_package_of_the_service(tmp_path: Path) -> None:
    """What the extra `service` alone installs cannot be imported here."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[^a-z0-9.-]", line)[0] for line in project["optional-dependencies"]["service"]}
    assert {"torch", "ray", "fastapi", "sqlalchemy", "psycopg"} <= names
    missing = sorted(top for top, of in metadata.packages_distributions().items() if of[0].lower() in names)
    code = f"""
import sys
sys.modules.update(dict.fromkeys({missing}))  # importing them raises ModuleNotFoundError
import alignsweep
from api.cli.main import main
sys.argv = ["alignsweep", *sys.argv[1:]]
main()
"""
    spec = str(tmp_path / "mine.yaml")
    for command in (["--help"], ["new", spec], ["validate", spec], ["schema"]):
        ran = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
    refused = subprocess.run([sys.executable, "-c", code, "up"], capture_output=True, text=True, timeout=120)
    assert (refused.returncode, "pip install 'alignsweep[service]'" in refused.stderr) == (2, True)


def test_a_sweep_is_what_was_answered_and_more(monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter(["running", "running", "partial"])

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={**ANSWER, "state": next(states)})

    sweep = client_of(answer, monkeypatch).sweep(3)
    assert isinstance(sweep, Sweep)
    assert sweep["id"] == sweep.id == 3
    assert dict(sweep) == ANSWER
    assert not sweep.over
    assert sweep.wait() is sweep
    assert (sweep.state, sweep.over) == ("partial", True)


def test_waiting_ends_where_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = client_of(lambda _: httpx.Response(200, json=ANSWER), monkeypatch).sweep(3)
    with pytest.raises(TimeoutError, match="sweep 3 is running"):
        sweep.wait(timeout=timedelta(0))
    with pytest.raises(TimeoutError, match="sweep 3 is running"):
        sweep.wait(timeout=0)


def test_a_sweep_has_the_verbs_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        verb = request.url.path.rpartition("/")[2]
        asked.append(verb)
        return httpx.Response(200, json={**ANSWER, "id": 4 if verb == "clone" else 3, "state": verb})

    sweep = Sweep(client_of(answer, monkeypatch), ANSWER)
    for verb in ("pause", "resume", "cancel", "retry"):
        assert getattr(sweep, verb)() is sweep
        assert sweep.state == verb
    assert (sweep.clone({"base.train.lr": 0.1}, name="b").id, sweep.id) == (4, 3)
    assert asked == ["pause", "resume", "cancel", "retry", "clone"]


def test_what_cannot_be_read_is_named() -> None:
    sweep = Sweep(Client("http://test"), ANSWER)
    with pytest.raises(ValueError, match=r"there is no table 'phases', only sweeps, trials, .*alignment_final"):
        sweep.frame("phases")
    with pytest.raises(ValueError, match="polars, pandas or arrow, not 'bogus'"):
        sweep.frame(library="bogus")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("call", "error", "sent"),
    [
        (lambda client: client.sweep(1), httpx.ReadTimeout, 4),  # reading does nothing
        (lambda client: client.submit({"name": "a"}), httpx.ReadTimeout, 4),  # under one key
        (lambda client: client.add_webhook("http://a"), httpx.ReadTimeout, 1),  # there might be two then
        (lambda client: client.add_webhook("http://a"), httpx.ConnectError, 4),  # it never arrived
        (lambda client: client.create_token("a", owner="b", scopes=[]), httpx.RemoteProtocolError, 1),
    ],
)
def test_what_might_be_done_twice_is_sent_once(
    call: Callable[[Client], Any], error: type[httpx.TransportError], sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[httpx.Request] = []

    def fail(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        raise error("lost")

    with pytest.raises(ServerUnreachable):
        call(client_of(fail, monkeypatch))
    assert len(requests) == sent
    assert len({request.headers.get("Idempotency-Key") for request in requests}) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_that_is_away_for_a_while_is_asked_again(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By asking, reading, and following; and not by what may have been done."""
    file = BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(file)
    requests: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request.url.path)
        if requests.count(request.url.path) < 3:
            return httpx.Response(status, text="<html>")
        if request.url.path.endswith("/stream"):
            return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text="event: end\ndata: {}\n\n")
        if "/export/" in request.url.path:
            return httpx.Response(200, stream=httpx.ByteStream(file.getvalue()))
        return httpx.Response(200, json=ANSWER)

    client = client_of(answer, monkeypatch)
    assert client.sweep(3).id == 3
    assert client.read("trials").rows() == [(1,)]
    assert [update.kind for update in client.follow(3)] == ["end"]
    assert len(requests) == 9
    if status != 429:
        with pytest.raises(ServerRefused):
            client.add_webhook("http://a")


def test_the_bar_says_what_is_left() -> None:
    assert bar(0, 4, 10) == f"[{'.' * 30}] 0/4 trials, 0:10"
    assert bar(1, 4, 1200) == f"[{'#' * 7}{'.' * 23}] 1/4 trials, 20:00, 1:00:00 left"
    assert bar(4, 4, 60) == f"[{'#' * 30}] 4/4 trials, 1:00"


def test_the_client_knows_what_there_is_to_export() -> None:
    assert exports.TABLES == TABLES
    assert tuple(formats.Format) == FORMS


def test_a_table_is_the_same_rows_in_every_library(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame({"trial_id": [1, 2, 2**62 + 1], "gradient_alignment": [0.5, None, -0.0], "rule": ["fa"] * 3})
    file = BytesIO()
    rows.write_parquet(file)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.url.path}?{request.url.params}")
        return httpx.Response(200, stream=httpx.ByteStream(file.getvalue()))

    client = client_of(answer, monkeypatch)
    assert client.read("alignment", sweeps=[1, 2]).equals(rows)
    assert asked == ["/api/v1/export/traces?format=parquet&sweep=1%2C2"]
    assert client.read("trials", library="arrow").to_pylist() == rows.to_dicts()
    pandas = pytest.importorskip("pandas")
    frame = client.read("trials", library="pandas")
    assert isinstance(frame, pandas.DataFrame)
    assert frame["trial_id"].to_list() == rows["trial_id"].to_list()


def test_a_notebook_has_one_line_that_is_written_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Kernel:
        kernel = object()

    ipython = ModuleType("IPython")
    ipython.get_ipython = Kernel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    shown(iter([ANSWER, {**ANSWER, "trials": {"succeeded": 4}}]))
    first, last = capsys.readouterr().err.lstrip("\r").split("\r")
    assert first.startswith("sweep 3 [....")
    assert "4/4 trials" in last
    assert last.endswith("\n")


def test_waiting_ends_at_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter(["running", "paused"])
    answer = {**ANSWER, "pause_reason": "3 trials have failed alike, the last one: x"}
    client = client_of(lambda _: httpx.Response(200, json={**answer, "state": next(states)}), monkeypatch)
    assert [sweep["state"] for sweep in client.wait(3)] == ["running", "paused"]


def test_every_change_of_state_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    looks = [
        {**ANSWER, "state": "queued", "trials": {"queued": 4}},
        ANSWER,
        {**ANSWER, "state": "paused", "pause_reason": "[red]why[/]"},
        ANSWER,
        {**ANSWER, "state": "succeeded", "trials": {"succeeded": 4}, "diverged": 2},
    ]
    shown(iter(looks), progress=True)
    assert capsys.readouterr().err.splitlines() == [
        "sweep 3: 0/4 trials (queued 4, waiting for a worker)",
        "sweep 3 is running",
        "sweep 3 is paused: [red]why[/]",
        "sweep 3 goes on",
        "sweep 3: 4/4 trials (succeeded 4 (2 diverged))",
    ]


def test_the_bar_of_a_terminal_of_80_columns_tells_every_number() -> None:
    screen = StringIO()
    trials = {"cancelled": 1, "failed": 2, "queued": 15433, "running": 8, "succeeded": 4556}
    looks = [{**ANSWER, "id": 1234, "trial_count": 20000, "trials": trials, "steps_per_second": 123456.0}]
    shown(iter(looks), console=Console(file=screen, force_terminal=True, color_system=None, width=80))
    drawn = screen.getvalue()
    for told in ("sweep 1234", "4559/20000", "eta", "queued 15433", "succeeded 4556", "123,456 steps/s"):
        assert told in drawn


@pytest.mark.parametrize("url", ["localhost:8741", "127.0.0.1", "ftp://a", "http://", "http://a:b"])
def test_what_is_no_url_is_refused_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGNSWEEP_URL", url)
    with pytest.raises(ValueError, match="URL"):
        Client()


def test_this_machine_is_reached_past_proxies_and_with_a_slash_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")  # where nobody listens
    app = FastAPI()
    app.get("/api/v1/queue")(lambda: {"items": []})
    with served(app) as url, Client(f"{url}/") as client:
        assert client.queue() == []


def test_where_nobody_listens_that_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses before the last of the tries, in seconds: of a client that nobody has answered, and of one that was."""
    pauses: list[float] = []
    client = Client(f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("time.sleep", pauses.append)
    with pytest.raises(ServerUnreachable, match="refused"):
        client.sweep(1)
    assert (len(pauses), sum(pauses) < 2) == (4, True)

    answers = iter([httpx.Response(200, json=ANSWER)])

    def answer_once(request: httpx.Request) -> httpx.Response:
        for response in answers:
            return response
        raise httpx.ConnectError("refused")

    client = client_of(answer_once, monkeypatch)
    monkeypatch.setattr("time.sleep", pauses.append)
    client.sweep(3)
    pauses.clear()
    with pytest.raises(ServerUnreachable):
        client.sweep(3)
    assert sum(pauses) > 20  # a server that is started again comes back


def test_a_sweep_can_be_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        page = {"items": [{"id": 3, "name": "a"}], "next_cursor": None}
        return httpx.Response(200, json=page if request.url.path.endswith("/sweeps") else ANSWER)

    client = client_of(answer, monkeypatch)
    assert client.sweep("last").id == client.sweep("a").id == client.sweep("3").id == 3
    with pytest.raises(ValueError, match=r"no sweep is called b\.\.\."):
        client.sweep("b")


def listing(rows: list[dict[str, Any]], asked: list[int]) -> Callable[[httpx.Request], httpx.Response]:
    """A server of these rows, by pages; filters are its own affair. `asked` is filled with the pages' sizes."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(int(request.url.params["limit"]))
        begin = int(request.url.params.get("cursor", 0))
        end = begin + asked[-1]
        return httpx.Response(
            200, json={"items": rows[begin:end], "next_cursor": str(end) if end < len(rows) else None}
        )

    return answer


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_no_sweep_not_even_the_only_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(listing([{"id": 3, "name": "a"}], []), monkeypatch)
    with pytest.raises(ValueError, match="empty name"):
        found(client, name)


def test_a_spec_is_a_document_or_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(201, json=ANSWER)

    client, path = client_of(answer, monkeypatch), tmp_path / "a.yaml"
    path.write_text("name: a\n")
    for spec in ({"name": "a"}, path, str(path)):
        client.submit(spec)
    assert sent == [{"name": "a"}] * 3
    path.write_text("")
    with pytest.raises(ValueError, match="it is empty"):
        client.submit(path)
    with pytest.raises(ValueError, match="there is no spec"):
        client.submit(None)


def test_a_name_goes_before_those_that_begin_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": 5 - i, "name": name} for i, name in enumerate(["mine-3", "mine-2", "mine", "other mine"])]
    client = client_of(listing(rows, []), monkeypatch)
    assert found(client, "mine") == 3
    assert found(client, "other") == 2
    with pytest.raises(ValueError, match=r"mine- may be sweep 5 \(mine-3\), 4 \(mine-2\): say its number"):
        found(client, "mine-")


def test_a_limit_ends_lists_and_asks_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    client = client_of(listing([{"id": i} for i in range(1200)], asked), monkeypatch)
    assert [sweep["id"] for sweep in client.sweeps(limit=2)] == [0, 1]
    assert asked == [2]
    assert len(list(client.trials(limit=700))) == 700
    assert asked == [2, 500, 200]
    assert len(list(client.trials(1))) == 1200


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        Client("http://test").read("trials", library="pandas")
