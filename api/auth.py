"""Who may call. Without a configured token the server answers loopback clients only; with one, every call needs it."""

import ipaddress
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.deps import Transaction
from services import tokens
from services.settings import Settings

_bearer = HTTPBearer(auto_error=False, description="Needed when the server was started with ALIGNSWEEP_TOKEN.")


def owner(
    request: Request, session: Transaction, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> str | None:
    """The caller's name, None where no token is asked for. Raises 401."""
    settings: Settings = request.app.state.settings
    if settings.token is None:
        return None
    name = tokens.owner_of(session, given.credentials) if given else None
    if name is None:
        raise HTTPException(401, "A valid token is needed", headers={"WWW-Authenticate": "Bearer"})
    return name


Owner = Annotated[str | None, Depends(owner)]


def refusal(settings: Settings) -> str | None:
    """Why a server with these settings must not start, or None."""
    if settings.token is None and not is_loopback(settings.host):
        return (
            f"refusing to listen on {settings.host} without a token: set ALIGNSWEEP_TOKEN, or ALIGNSWEEP_HOST=127.0.0.1"
        )
    return None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
