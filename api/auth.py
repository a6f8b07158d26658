"""Who may call, and what. Without a configured token the server answers loopback clients only; with one, every call
needs one. Each route declares what it needs, as a dependency: a scope, and to change something that exists, to be its
owner.
"""

import ipaddress
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.deps import Id, looked_up
from api.limits import Limiter
from services import owners, tokens
from services.domain.access import ANYONE, Caller, Scope
from services.domain.errors import Forbidden
from services.settings import Settings

_bearer = HTTPBearer(auto_error=False, description="Needed when the server was started with ALIGNSWEEP_TOKEN.")


async def identify(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Who calls. Raises 401, and 429 when the caller, or an address that shows no valid token, calls too often.

    The token is looked up in a transaction of its own: no connection is held while a body comes in.
    """
    settings: Settings = request.app.state.settings
    limiter: Limiter = request.app.state.limiter
    address = _address(request)
    if settings.token is None:
        limiter.admit(address)
        return ANYONE
    limiter.require_room(address)
    known = None
    if given is not None:
        known = await looked_up(request, lambda session: tokens.authenticate(session, given.credentials))
    if known is None:
        limiter.admit(address)
        raise HTTPException(401, "A valid token is needed", headers={"WWW-Authenticate": "Bearer"})
    limiter.admit(known.token_id)
    request.state.caller = known
    return known


Identified = Annotated[Caller, Depends(identify)]


def owner(caller: Identified) -> str | None:
    """The caller's name, None where no token is asked for."""
    return caller.owner


Owner = Annotated[str | None, Depends(owner)]


class Needs:
    """A route's declaration: callers without the scope are refused with 403."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, caller: Identified) -> None:
        if not caller.may(self.scope):
            raise Forbidden(f"this needs a token with the scope {self.scope}")


async def own_sweep(request: Request, sweep_id: Id, caller: Identified) -> None:
    """Refuses with 403 callers who are neither owners of the sweep nor admins."""
    await looked_up(request, lambda session: owners.require_sweep(session, caller, sweep_id))


async def own_trial(request: Request, trial_id: Id, caller: Identified) -> None:
    """The same for the sweep of the trial."""
    await looked_up(request, lambda session: owners.require_trial(session, caller, trial_id))


async def one_of_few(request: Request, caller: Identified) -> AsyncIterator[None]:
    """The request is one of the few long ones that a caller may have in flight. Raises 429."""
    limiter: Limiter = request.app.state.limiter
    with limiter.flight(caller.token_id or _address(request)):
        yield


READ, SUBMIT, SQL, ADMIN = (Depends(Needs(scope)) for scope in (Scope.READ, Scope.SUBMIT, Scope.SQL, Scope.ADMIN))
OWN_SWEEP = [SUBMIT, Depends(own_sweep)]
OWN_TRIAL = [SUBMIT, Depends(own_trial)]
FEW = Depends(one_of_few, scope="function")
FEW_STREAMS = Depends(one_of_few, scope="request")
"""The same until the answer has left."""


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


def _address(request: Request) -> str | None:
    return request.client.host if request.client else None
