"""The Python client: `from alignsweep import Client`."""

from api.client import Client, ServerRefused, ServerUnreachable, Sweep, Update

__all__ = ["Client", "ServerRefused", "ServerUnreachable", "Sweep", "Update"]
