"""Who calls, and what they may do. Whoever may read reads everything; owners and admins change what exists."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a token is good for. `submit` and `sql` read as well; `admin` may do everything."""

    READ = "read"
    SUBMIT = "submit"
    SQL = "sql"
    ADMIN = "admin"


_GRANTS = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.SUBMIT: frozenset({Scope.READ, Scope.SUBMIT}),
    Scope.SQL: frozenset({Scope.READ, Scope.SQL}),
    Scope.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who sent a request. `owner` and `token_id` are None where the server asks for no token."""

    owner: str | None
    token_id: int | None
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        return any(scope in _GRANTS[held] for held in self.scopes)

    def may_change(self, owner: str | None) -> bool:
        """Whether what belongs to this owner is theirs to change. What nobody owns is the admins'."""
        return self.may(Scope.ADMIN) or (self.may(Scope.SUBMIT) and owner is not None and owner == self.owner)


ANYONE = Caller(owner=None, token_id=None, scopes=frozenset(Scope))
"""The caller of a server that asks for no token."""
