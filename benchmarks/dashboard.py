"""The dashboard in Chromium, in one run: `python -m benchmarks.dashboard [--only live large] [out.json]`.

PostgreSQL, the API and the browser are real, each in processes of its own. `live`: a sweep of 10,000 trials that
simulated workers train while its page is open. `large`: a finished one with 4 million rows of traces. Of each tab: when
its first picture is drawn, when the page is free to answer after it, the bytes sent, memory, and the longest task.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from sqlalchemy.orm import Session

from benchmarks.databases import Server
from benchmarks.dispatching import together
from benchmarks.queueing import analyze
from benchmarks.reading import Load, load, record, roll_up
from benchmarks.service import serve
from benchmarks.simulated import Script
from db.session import make_engine
from services import sweeps
from services.planning.expansion import parse

_RULES: dict[str, list[Any]] = {"rule.name": ["bp", "fa", "dfa", "drtp"]}
LIVE = {
    "name": "live",
    "base": {"model": {"hidden": [64, 64]}},
    "grid": {**_RULES, "train.lr": [0.001 * 1.1**n for n in range(50)], "train.batch_size": [16, 32, 64, 128, 256]},
    "seeds": {"count": 10},
}
LARGE = Load(groups=200, seeds=10, points=500, layers=4)
LARGE_GRID = {**_RULES, "train.lr": [0.001 * 1.1**n for n in range(50)]}
TABS = {
    "alignment": "figure.chart[data-drawn]",
    "learning": "figure.chart[data-drawn]",
    "outcomes": "figure.chart[data-drawn]",
    "groups": "[role=tabpanel] table tbody tr",
    "trials": "[role=tabpanel] table tbody tr",
}

# Tasks of 50 ms and more, as the browser tells them.
_WATCH = """
    window.longTasks = [];
    new PerformanceObserver((list) => {
        for (const { startTime, duration } of list.getEntries()) longTasks.push({ startTime, duration });
    }).observe({ type: "longtask", buffered: true });
"""
_QUIET_SECONDS = 2


@dataclass
class Watched:
    """A page and what the browser tells of it."""

    page: Page
    session: CDPSession
    received: dict[str, float] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def open(cls, browser: Browser, address: str) -> "Iterator[Watched]":
        """A page in a profile of its own, whose cache is empty."""
        context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=address)
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.add_init_script(_WATCH)
        watched = cls(page, context.new_cdp_session(page))
        watched.session.send("Network.enable")
        watched.session.send("Performance.enable")
        watched.session.on("Network.dataReceived", watched._receive)
        yield watched
        context.close()

    def _receive(self, told: dict[str, Any]) -> None:
        self.received[told["requestId"]] = self.received.get(told["requestId"], 0) + told["encodedDataLength"]

    def visit(self, path: str, picture: str) -> dict[str, Any]:
        """Open the path; wait for the picture, then until no long task has run for a while."""
        self.received.clear()
        self.page.goto(path, wait_until="commit")
        self.page.wait_for_selector(picture)
        drawn = self.page.evaluate("performance.now()")
        self.page.wait_for_timeout(1000 * _QUIET_SECONDS)
        tasks = self.long_tasks()
        free = max([drawn, *(start + duration for start, duration in tasks)])
        return {
            "first picture, s": round(drawn / 1000, 2),
            "free to answer, s": round(free / 1000, 2),
            "received, kB": round(sum(self.received.values()) / 1000),
            **self.memory(),
            "longest task, ms": round(max([0, *(duration for _, duration in tasks)])),
        }

    def long_tasks(self) -> list[tuple[float, float]]:
        """Start and duration, in ms, of all since the page was opened."""
        found = self.page.evaluate("longTasks.map(({ startTime, duration }) => [startTime, duration])")
        return [(start, duration) for start, duration in found]

    def memory(self) -> dict[str, Any]:
        """Of the page's script after a collection, and of the process that shows it."""
        self.session.send("HeapProfiler.collectGarbage")
        metrics = {each["name"]: each["value"] for each in self.session.send("Performance.getMetrics")["metrics"]}
        return {"heap, MB": round(metrics["JSHeapUsedSize"] / 1e6, 1), "elements": round(metrics["Nodes"])}


def live(url: str, folder: Path, address: str, browser: Browser, seconds: float) -> dict[str, Any]:
    """A page for so long on each tab while trials end."""
    engine = make_engine(url)
    with Session(engine) as session, session.begin():
        submitted, _ = sweeps.submit(session, parse(LIVE), idempotency_key=None, owner=None)
        sweep_id = submitted.id
    engine.dispose()
    analyze(url)
    found: dict[str, Any] = {}
    script = Script(chunks=4, points=6, layers=3, duration=timedelta(seconds=4))
    with ThreadPoolExecutor(1) as aside:
        recorded = aside.submit(together, 1, record, url, folder, seconds * (len(TABS) + 1) + 30, script)
        time.sleep(10)  # it has begun by now
        for tab, picture in TABS.items():
            with Watched.open(browser, address) as watched:
                found[tab] = watched.visit(f"/sweeps/{sweep_id}?tab={tab}", picture)
                watched.received.clear()
                seen = len(watched.long_tasks())
                watched.page.wait_for_timeout(1000 * seconds)
                later = [duration for _, duration in watched.long_tasks()[seen:]]
                found[tab] |= {
                    "longest task while live, ms (target 200)": round(max([0, *later])),
                    "tasks above 200 ms while live": sum(duration > 200 for duration in later),
                    "received while live, kB/s": round(sum(watched.received.values()) / 1000 / seconds, 1),
                    "heap after it, MB": watched.memory()["heap, MB"],
                    "trials ended by then": watched.page.evaluate(_ENDED, sweep_id),
                }
    found["rows/s recorded meanwhile"] = round(recorded.result()[0])
    return found


_ENDED = "id => fetch(`/api/v1/sweeps/${id}`).then(a => a.json()).then(s => s.trials.succeeded ?? 0)"


def large(url: str, folder: Path, address: str, browser: Browser, seconds: float) -> dict[str, Any]:
    """Each tab of a finished sweep, and a change of what its curves are grouped by."""
    engine = make_engine(url)
    found: dict[str, Any] = {"rows": load(engine, LARGE, grid=LARGE_GRID)["traces, rows"]}
    while roll_up(engine):
        pass
    engine.dispose()
    for tab, picture in TABS.items():
        with Watched.open(browser, address) as watched:
            found[tab] = watched.visit(f"/sweeps/1?tab={tab}", picture)
            again = watched.visit(f"/sweeps/1?tab={tab}", picture)
            found[tab] |= {f"visited again: {name}": again[name] for name in ("first picture, s", "received, kB")}
            if tab == "alignment":
                found[tab]["grouped anew, s"] = round(_regroup(watched.page), 2)
    return found


def _regroup(page: Page) -> float:
    """Seconds until the curves are drawn by another axis."""
    figure = page.locator("figure.chart").nth(1)
    before = figure.get_attribute("data-drawn")
    started = time.perf_counter()
    page.get_by_label("Group by").select_option(label="lr")
    page.wait_for_function("([f, n]) => f.dataset.drawn !== n", arg=[figure.element_handle(), before])
    return time.perf_counter() - started


SECTIONS: dict[str, Callable[[str, Path, str, Browser, float], dict[str, Any]]] = {"live": live, "large": large}


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    result: dict[str, Any] = {"cores": os.cpu_count(), "memory, GB": round(psutil.virtual_memory().total / 1e9)}
    with (
        tempfile.TemporaryDirectory(prefix="alignsweep-dashboard-", dir=options.folder) as folder,
        Server.start(Path(folder)) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        for name in options.only or SECTIONS:
            with server.database() as url, serve(url, Path(folder)) as (address, _):
                result[name] = SECTIONS[name](url, Path(folder), address, browser, options.seconds)
            result[name]["load of the machine, processes"] = round(os.getloadavg()[0], 1)
            print(json.dumps({name: result[name]}, indent=1), flush=True)
        browser.close()
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", help="where the figures go as JSON")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="these sections")
    parser.add_argument("--seconds", type=float, default=20, help="how long each tab is watched while live (20)")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser (chromium of the PATH)")
    parser.add_argument("--folder", type=Path, help="where the database lies meanwhile; about 220 bytes a row")
    return parser.parse_args()


if __name__ == "__main__":
    main()
