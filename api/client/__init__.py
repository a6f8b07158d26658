"""The Python client: `from api.client import Client`."""

from api.client.client import Client
from api.client.errors import ServerRefused, ServerUnreachable
from api.client.following import Update

__all__ = ["Client", "ServerRefused", "ServerUnreachable", "Update"]
