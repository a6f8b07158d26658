"""The one error root. Layers above translate: `api/errors.py` to HTTP, the CLI to exit codes."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with what a user sent, or worth a warning.

    `pointer` is an RFC 6901 JSON pointer into the document; `hint` says what to write instead. `line` and `column`,
    from 1, are where the text of the document has what the pointer points to, when there is a text.
    """

    pointer: str
    code: str
    message: str
    hint: str | None = None
    line: int | None = None
    column: int | None = None


class DomainError(Exception):
    """Something a caller can act on. The message is written for the user."""


class InvalidSpec(DomainError):
    """The document cannot become a sweep; `problems` lists everything wrong with it at once."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(f"{problem.pointer or '/'}: {problem.message}" for problem in self.problems)


class InvalidBody(InvalidSpec):
    """The same of what is no spec."""


class InvalidQuery(DomainError):
    """The query string asks for what cannot be; `problems` lists what is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(problem.message for problem in self.problems)


class NotFound(DomainError):
    def __init__(self, noun: str, identifier: object) -> None:
        super().__init__(noun, identifier)
        self.noun = noun
        self.identifier = identifier

    def __str__(self) -> str:
        return f"there is no {self.noun} {self.identifier}"


class Conflict(DomainError):
    """The request contradicts the present state; `allowed` names the actions that state permits."""

    def __init__(self, message: str, allowed: list[str] | None = None) -> None:
        super().__init__(message, allowed)
        self.message = message
        self.allowed = allowed or []

    def __str__(self) -> str:
        return self.message


class Forbidden(DomainError):
    """The caller is known, and may not do this."""


class EditedMeanwhile(DomainError):
    """The editable fields are not what the caller believes them to be."""


class QueryRejected(DomainError):
    """PostgreSQL refused or cancelled a user's SQL; `sqlstate` is its five-character code."""

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message, sqlstate)
        self.message = message
        self.sqlstate = sqlstate

    def __str__(self) -> str:
        return self.message


class InvalidArchive(DomainError):
    """The file is no archive of a sweep, or not a whole one."""


class DatabaseUnavailable(DomainError):
    """The database went away. It may come back."""


class DataUnavailable(DomainError):
    """A data set is not on this machine. The trial fails with reason `user_error`: a retry cannot help."""


class Unclaimable(DomainError):
    """Trials of this sweep cannot be handed to a worker, now or later."""

    def __init__(self, sweep_id: int, why: str) -> None:
        super().__init__(f"trials of sweep {sweep_id} cannot be claimed: {why}")
        self.sweep_id = sweep_id


class StoreUnavailable(DomainError):
    """The store of snapshots and checkpoints cannot be reached, or has no room. It may come back."""


class ExecutorLost(DomainError):
    """The executor can never train again: its process must end and start anew."""


class EmbeddedDatabaseInUse(DomainError):
    """Another process serves the embedded PostgreSQL of this data folder."""


def json_pointer(path: tuple[Any, ...]) -> str:
    """RFC 6901 pointer of a path of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
