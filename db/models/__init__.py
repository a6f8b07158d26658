"""The tables. Importing this package registers all of them with `Base.metadata`."""

from db.models.attempt import Attempt
from db.models.base import Base
from db.models.checkpoint import Checkpoint
from db.models.event import Event
from db.models.group import Group, GroupParam
from db.models.imported import Import
from db.models.pack import Pack
from db.models.phases import LayerPhases, PhasesDue, TrialPhases
from db.models.rollup import GroupCurve, GroupTrace, RollupDue
from db.models.signing_key import SigningKey
from db.models.snapshot import ComparisonDue, ParameterCosine, Snapshot
from db.models.sweep import Sweep, SweepEnds, SweepError
from db.models.token import Token
from db.models.trace import LayerSummary, Metric, OrderParameter, Trace, TrialSummary
from db.models.trial import Trial
from db.models.webhook import Webhook, WebhookDelivery
from db.models.worker import Dispatcher, Worker

__all__ = [
    "Attempt",
    "Base",
    "Checkpoint",
    "ComparisonDue",
    "Dispatcher",
    "Event",
    "Group",
    "GroupCurve",
    "GroupParam",
    "GroupTrace",
    "Import",
    "LayerPhases",
    "LayerSummary",
    "Metric",
    "OrderParameter",
    "Pack",
    "ParameterCosine",
    "PhasesDue",
    "RollupDue",
    "SigningKey",
    "Snapshot",
    "Sweep",
    "SweepEnds",
    "SweepError",
    "Token",
    "Trace",
    "Trial",
    "TrialPhases",
    "TrialSummary",
    "Webhook",
    "WebhookDelivery",
    "Worker",
]
