"""The Python client: `from api.client import Client`."""

from api.client.client import Client, ServerRefused, ServerUnreachable

__all__ = ["Client", "ServerRefused", "ServerUnreachable"]
