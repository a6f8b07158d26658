"""Where time and memory go: of processes by their id, and of one engine's statements by their name."""

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
from sqlalchemy import Engine, TextClause, event

from services import comparisons, measurements, presence, queue_sql

_MODULES: tuple[ModuleType, ...] = (queue_sql, measurements, presence, comparisons)


def resident(pid: int | None = None) -> float:
    """Resident memory now, MB."""
    return round(psutil.Process(pid).memory_info().rss / 1e6, 1)


def peak(pid: int) -> float:
    """Resident memory at its highest so far, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), 1)


def cpu_seconds(pid: int | None = None) -> float:
    """CPU time of a process."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def cpu_by_process(pid: int) -> dict[int, float]:
    """CPU seconds of a process and of its children, by process id."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children()]
    found: dict[int, float] = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found[process.pid] = cpu_seconds(process.pid)
    return found


def spent(before: dict[int, float], pid: int) -> float:
    """CPU seconds since `before` of the process and its children, without children that are gone."""
    return sum(seconds - before.get(child, 0.0) for child, seconds in cpu_by_process(pid).items())


@dataclass
class Split:
    """Wall seconds by name, and how often."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    longest: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] += seconds
        self.calls[name] += 1
        self.longest[name] = max(self.longest[name], seconds)

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, watched."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.add(name, time.perf_counter() - started)

        return watched

    def clear(self) -> None:
        for table in (self.seconds, self.calls, self.longest):
            table.clear()

    def shares(self, of: float, top: int = 8) -> dict[str, str]:
        """The greatest, as a share of so many seconds, with milliseconds per call."""
        ranked = sorted(self.seconds, key=lambda name: -self.seconds[name])[:top]
        return {
            name: f"{self.seconds[name] / of:.1%}, {1000 * self.seconds[name] / self.calls[name]:.2f} ms x "
            f"{self.calls[name]}"
            for name in ranked
        }


def statements(engine: Engine) -> Split:
    """Watch the engine from now on: its statements by the name they have in the code, commits, and pings.

    The time of a statement is that between its sending and its answer, with the conversion of its parameters.
    """
    split = Split()
    names = {
        id(value): name for module in _MODULES for name, value in vars(module).items() if isinstance(value, TextClause)
    }
    begun = [0.0]

    @event.listens_for(engine, "before_cursor_execute")
    def before(*_: Any) -> None:
        begun[0] = time.perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def after(_connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        clause = getattr(context.compiled, "statement", None)
        name = names.get(id(clause)) or " ".join(statement.split()[:3])
        split.add(name, time.perf_counter() - begun[0])

    for name in ("do_commit", "do_ping", "do_rollback"):
        setattr(engine.dialect, name, split.timed(name, getattr(engine.dialect, name)))
    return split
