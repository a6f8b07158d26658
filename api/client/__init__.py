"""The Python client: `from api.client import Client`."""

from api.client.client import Client
from api.client.errors import ServerRefused, ServerUnreachable

__all__ = ["Client", "ServerRefused", "ServerUnreachable"]
