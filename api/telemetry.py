"""Telemetry in Prometheus' text format."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.domain.states import TrialState
from services.telemetry import Telemetry


def render(telemetry: Telemetry) -> bytes:
    """One exposition."""
    registry = CollectorRegistry()
    registry.register(_Reading(telemetry))
    return generate_latest(registry)


class _Reading(Collector):
    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def collect(self) -> Iterator[Metric]:
        now = self._telemetry
        trials = GaugeMetricFamily("alignsweep_trials", "Trials by state.", labels=["state"])
        for state in TrialState:
            trials.add_metric([state], now.trials.get(state, 0))
        yield trials
        yield GaugeMetricFamily(
            "alignsweep_oldest_waiting_seconds",
            "Since the trial that has waited longest was submitted; 0 when none waits.",
            value=now.oldest_waiting_seconds or 0,
        )
        yield GaugeMetricFamily("alignsweep_packs_running", "Packs that run now.", value=now.packs_running)
        yield GaugeMetricFamily("alignsweep_dispatchers", "Dispatchers alive.", value=now.dispatchers)
        yield CounterMetricFamily("alignsweep_packs", "Packs ever claimed.", value=now.packs)
        yield CounterMetricFamily(
            "alignsweep_fenced_chunks", "Late results refused because their lease was lost.", value=now.fenced_chunks
        )
        yield CounterMetricFamily(
            "alignsweep_rescued_packs", "Packs taken back after their lease expired.", value=now.rescued_packs
        )
        yield CounterMetricFamily("alignsweep_rows", "Rows of measurements recorded.", value=now.rows)
        yield CounterMetricFamily("alignsweep_model_steps", "Updates of all trials recorded.", value=now.model_steps)
        labels = ["dispatcher", "worker", "node"]
        pace = GaugeMetricFamily("alignsweep_worker_steps_per_second", "Updates per second of its pack.", labels=labels)
        silent = GaugeMetricFamily("alignsweep_worker_silent_seconds", "Since its last heartbeat.", labels=labels)
        for worker in now.workers:
            names = [worker.dispatcher, worker.name, worker.node]
            pace.add_metric(names, worker.steps_per_second or 0)
            silent.add_metric(names, worker.silent_seconds)
        yield pace
        yield silent
