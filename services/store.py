"""Documents by the hash of their content, in a folder or in any store that fsspec reaches (s3://, gs://, ...)."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import fsspec

from services.domain.errors import DomainError, NotFound, StoreUnavailable

SHELVES = 256
"""Documents lie in so many folders, by the first byte of their hash."""


@dataclass(frozen=True)
class Store:
    """`url`: a local path or an fsspec URL. A document is written once, whole or not at all, and checked when read."""

    url: str
    _files: Any = field(init=False, repr=False)
    _root: str = field(init=False)

    def __post_init__(self) -> None:
        files, root = fsspec.core.url_to_fs(self.url)
        object.__setattr__(self, "_files", files)
        object.__setattr__(self, "_root", root.rstrip("/"))

    def put(self, content: bytes) -> str:
        """Keep the document; returns its SHA-256 in hex. Kept again, it is as if new. Raises StoreUnavailable."""
        name = hashlib.sha256(content).hexdigest()
        path = self._path(name)
        with _translated():
            self._files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            unfinished = f"{path}.{secrets.token_hex(4)}"
            try:
                self._files.pipe_file(unfinished, content)
                self._files.mv(unfinished, path)
            except Exception:
                with suppress(Exception):  # there may be nothing, or no way, to remove
                    self._files.rm_file(unfinished)
                raise
        return name

    def get(self, name: str) -> bytes:
        """The document of this hash. Raises StoreUnavailable, and NotFound where it is missing or spoilt."""
        with _translated():
            try:
                content: bytes = self._files.cat_file(self._path(name))
            except FileNotFoundError:
                raise NotFound("document", name) from None
        if hashlib.sha256(content).hexdigest() != name:
            self.delete(name)  # so that it may be put again
            raise NotFound("intact document", name)
        return content

    def has(self, name: str) -> bool:
        """Whether there is a document of this hash. Raises StoreUnavailable."""
        with _translated():
            return bool(self._files.exists(self._path(name)))

    def delete(self, name: str) -> None:
        """Remove the document of this hash, if it is there. Raises StoreUnavailable."""
        with _translated(), suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def older(self, shelf: int, age: timedelta) -> list[str]:
        """What has lain on one of the `SHELVES` for longer than this, unfinished documents too."""
        folder = f"{self._root}/{shelf:02x}"
        before = datetime.now(UTC) - age
        with _translated():
            try:
                paths = self._files.ls(folder, detail=False)
            except FileNotFoundError:
                return []
            return sorted(path.rsplit("/", 1)[1] for path in paths if _aware(self._files.modified(path)) < before)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name[:2]}/{name}"


def _aware(moment: datetime) -> datetime:
    """Some file systems leave out that they mean UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextmanager
def _translated() -> Iterator[None]:
    """Failures of any file system as our own. Their libraries agree on OSError at the most."""
    try:
        yield
    except DomainError:
        raise
    except Exception as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
