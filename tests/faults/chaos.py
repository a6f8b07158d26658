"""The long random run: faults drawn from a seed hit the real stack while it trains; then everything is checked.

    python -m tests.faults.chaos --seed 1 --faults 200 --trials 2000
    python -m tests.faults.chaos --calm --faults 40

`--calm` waits for the recovery from each fault before the next.
Prints each fault, then how long recovery took by kind of fault, then the doctor's table. Exit status 0: every trial is
over, every invariant holds, and sweeps that were submitted twice have the same numbers, bit by bit.
Ctrl-C ends the faults, not the run.
"""

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from api.cli.console import Format, show
from api.client import ServerUnreachable
from tests.faults.injections import FAULTS, Missed, Range
from tests.faults.recovery import Held, Injection, Recoveries
from tests.faults.service import Service, serving

_TTL = timedelta(seconds=2)
_CHECKPOINTS = timedelta(seconds=1)
_PATIENCE = timedelta(minutes=10)
_LEAST_WAITING = 192
_WORKERS = 3
_LONGEST_PAUSE = timedelta(seconds=1)


@dataclass
class Chaos:
    """One run. `pairs`: sweeps submitted twice."""

    service: Service
    random: random.Random
    recoveries: Recoveries
    started_at: float = field(default_factory=time.monotonic)
    trials: int = 0
    sweeps: list[int] = field(default_factory=list)
    sacrificed: list[int] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _fault: str = ""

    def inject(self, faults: int, *, calm: bool) -> None:
        """One fault after the other, while there is enough to train."""
        names = list(FAULTS)
        weights = [weight for weight, _ in FAULTS.values()]
        at = Range(
            service=self.service, random=self.random, hit=self.hit, submit=self.submit, complaints=self.complaints
        )
        deck: list[str] = []
        while len(self.recoveries.injections) < faults:
            self.feed(_LEAST_WAITING)
            deck = deck or [*names, *self.random.choices(names, weights, k=4 * len(names))]
            self._fault = deck.pop(self.random.randrange(len(deck)))
            try:
                FAULTS[self._fault][1](at)
            except TimeoutError as error:
                self.complaints.append(f"{self._fault}: {error}")
            except (Missed, ServerUnreachable, psycopg.OperationalError):
                pass  # nothing was there to be hit, or an earlier fault kept us from it
            if calm:
                self.service.wait_for(self.recovered, _PATIENCE)
            self.service.wait(_LONGEST_PAUSE * self.random.random())

    def recovered(self) -> bool:
        """Whether everything is up, everybody works, and no trial waits for the recovery from a fault."""
        if self.waiting() == 0:
            self.feed(_LEAST_WAITING)
        try:
            service = self.service
            up = service.answers() and all(map(service.is_present, (service.dispatcher, service.second)))
            return up and len(service.held()) == _WORKERS and not any(each.open for each in self.recoveries.injections)
        except psycopg.OperationalError:
            return False

    def hit(self, target: str, held: Held, *, survives: bool = False) -> Injection:
        injection = Injection(fault=self._fault, target=target, survives=survives)
        injection.hold(held)
        self.recoveries.injections.append(injection)
        passed = injection.at - self.started_at
        say(f"{passed:7.1f} s  {self._fault}: {target} ({injection.trials} trials)")
        return injection

    def feed(self, least: int) -> None:
        """Submit one spec twice while fewer trials than this wait."""
        if self.waiting() < least:
            first = 10_000 * len(self.pairs)
            one, two = (self.submit({**_spec(first), "name": f"load-{first}-{twin}"}) for twin in "ab")
            self.pairs.append((one, two))

    def waiting(self) -> int:
        with contextlib.suppress(psycopg.OperationalError):
            return int(self.service.value("SELECT count(*) FROM trials WHERE state = 'queued'"))
        return _LEAST_WAITING

    def submit(self, spec: dict[str, Any], *, key: str | None = None, sacrificed: bool = False) -> int:
        """As a patient user: the client's own retries, and then again under the same key."""
        key = key or f"run-{len(self.sweeps) + len(self.sacrificed)}"
        while True:
            try:
                sweep = self.service.client.submit(spec, idempotency_key=key)
                break
            except ServerUnreachable:
                self.service.wait(timedelta(seconds=1))
        (self.sacrificed if sacrificed else self.sweeps).append(sweep["id"])
        self.trials += 0 if sacrificed else sweep["trial_count"]
        return int(sweep["id"])

    def settle(self) -> None:
        """Wait for all sweeps. What was poisoned by killing its worker twice is retried, as its owner would."""
        for sweep_id in self.sweeps:
            while self.service.wait_until_over(sweep_id, _PATIENCE) in ("partial", "failed"):
                failed = self.failed(sweep_id)
                say(f"sweep {sweep_id} has failed trials: {failed}; retried")
                if set(failed) != {"poison"}:
                    self.complaints.append(f"sweep {sweep_id} has failed trials: {failed}")
                self.service.client.retry(sweep_id)
        self.service.wait_for(lambda: not self.service.held(), _PATIENCE)

    def failed(self, sweep_id: int) -> dict[str, int]:
        query = "SELECT reason, count(*) AS n FROM trials WHERE sweep_id = %(id)s AND state = 'failed' GROUP BY reason"
        return {row["reason"]: row["n"] for row in self.service.rows(query, id=sweep_id)}

    def check(self) -> None:
        """Whatever does not hold becomes a complaint."""
        states = self.service.rows("SELECT sweep_id, state, count(*) AS n FROM trials GROUP BY sweep_id, state")
        for row in states:
            goal = {"succeeded", "cancelled"} if row["sweep_id"] in self.sacrificed else {"succeeded"}
            if row["state"] not in goal:
                self.complaints.append(f"sweep {row['sweep_id']}: {row['n']} trials are {row['state']}")
        if len(self.sweeps) != len(set(self.sweeps)):
            self.complaints.append("one sweep was answered to two submits")
        stored = self.service.value("SELECT count(*) FROM sweeps")
        if stored != len(self.sweeps) + len(self.sacrificed):
            self.complaints.append(f"{stored} sweeps of {len(self.sweeps) + len(self.sacrificed)} submitted")
        for one, two in self.pairs:
            rows, unlike = self.service.compare(one, two)
            if unlike or not rows:
                self.complaints.append(f"sweeps {one} and {two} differ in {unlike} of {rows} rows")

    def report(self) -> bool:
        """Print what happened; whether all is well."""
        findings = self.service.client.doctor()
        minutes = (time.monotonic() - self.started_at) / 60
        injections = self.recoveries.injections
        say(f"{len(injections)} faults, {self.trials} trials in {len(self.sweeps)} sweeps, {minutes:.1f} minutes")
        columns = ["fault", "times", "trials", "freed s", "longest", "claimed s", "longest", "trained s", "longest"]
        show(columns, [_row(name, injections) for name in FAULTS], Format.TABLE)
        for title, query in _FIGURES.items():
            say(f"{title}: " + ", ".join(f"{row['what']} {row['n']}" for row in self.service.rows(query)))
        show(
            ["", "check", "detail"],
            [["ok" if finding["ok"] else "WRONG", finding["check"], finding["detail"]] for finding in findings],
            Format.TABLE,
        )
        for complaint in self.complaints:
            say(f"WRONG: {complaint}")
        return all(finding["ok"] for finding in findings) and not self.complaints


_FIGURES = {
    "packs": "SELECT concat_ws(' ', state, reason) AS what, count(*) AS n FROM packs GROUP BY state, reason ORDER BY 1",
    "fenced chunks": "SELECT 'refused' AS what, coalesce(sum(fenced), 0) AS n FROM packs",
    "attempts": "SELECT coalesce(reason, 'open') AS what, count(*) AS n FROM attempts GROUP BY reason ORDER BY 1",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--trials", type=int, default=2000, help="at least so many")
    parser.add_argument("--calm", action="store_true", help="wait for the recovery from each fault")
    parser.add_argument("--home", type=Path, help="kept afterwards; else a temporary folder")
    asked = parser.parse_args()
    say(f"seed {asked.seed}, {asked.faults} faults, at least {asked.trials} trials")
    with contextlib.ExitStack() as stack:
        home = asked.home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        service = stack.enter_context(serving(home, ttl=_TTL, checkpoint_every=_CHECKPOINTS))
        recoveries = Recoveries(ask=service.rows)
        service.watch = recoveries.look
        chaos = Chaos(service=service, random=random.Random(asked.seed), recoveries=recoveries)
        chaos.feed(_LEAST_WAITING)
        service.wait_for(lambda: service.value("SELECT count(*) FROM packs") >= _WORKERS, _PATIENCE)
        with contextlib.suppress(KeyboardInterrupt):  # enough
            chaos.inject(asked.faults, calm=asked.calm)
        service.repair()
        while chaos.trials < asked.trials:
            chaos.feed(least=2**31)
        say("no more faults")
        chaos.settle()
        chaos.check()
        return 0 if chaos.report() else 1


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _spec(first_seed: int) -> dict[str, Any]:
    """128 small trials, of which those with lr 1e6 diverge at once."""
    rules = ["bp", "dfa", "fa", "bp", "dfa", "fa", "shallow", "bp"]
    rates = [1e-3, 1e-3, 1e-3, 2e-3, 2e-3, 2e-3, 1e-3, 1e6]
    return {
        "base": {
            "model": {"hidden": [32], "activation": "relu"},
            "train": {"epochs": 60},
            "trace": {"points_per_decade": 8},
        },
        "zip": {"rule.name": rules, "train.lr": rates},
        "seeds": {"count": 16, "base": first_seed},
        "fail_fast": {"identical_errors": None},  # a trial whose worker we kill twice is no reason to pause
    }


def _row(fault: str, injections: list[Injection]) -> list[Any]:
    own = [injection for injection in injections if injection.fault == fault]
    after = [
        sorted(seconds for injection in own if (seconds := getattr(injection, measure)) is not None)
        for measure in ("freed_after", "claimed_after", "trained_after")
    ]
    spread = [value for times in after for value in ((statistics.median(times), times[-1]) if times else (None, None))]
    return [fault, len(own), sum(injection.trials for injection in own), *spread]


if __name__ == "__main__":
    sys.exit(main())
