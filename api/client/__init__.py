"""The Python client: `from api.client import Client`."""

from api.client.client import Client
from api.client.errors import ServerRefused, ServerUnreachable
from api.client.following import Update
from api.client.sweeps import Sweep

__all__ = ["Client", "ServerRefused", "ServerUnreachable", "Sweep", "Update"]
