"""Documents by the hash of their content, in a folder or in any store that fsspec reaches (s3://, gs://, ...)."""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

import fsspec

from services.domain.errors import NotFound


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
        """Keep the document; returns its SHA-256 in hex. Keeping it again changes nothing."""
        name = hashlib.sha256(content).hexdigest()
        path = self._path(name)
        if not self._files.exists(path):
            self._files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            unfinished = f"{path}.{secrets.token_hex(4)}"
            self._files.pipe_file(unfinished, content)
            self._files.mv(unfinished, path)
        return name

    def get(self, name: str) -> bytes:
        """The document of this hash. Raises NotFound where it is missing or not what its name says."""
        try:
            content: bytes = self._files.cat_file(self._path(name))
        except FileNotFoundError:
            raise NotFound("document", name) from None
        if hashlib.sha256(content).hexdigest() != name:
            raise NotFound("intact document", name)
        return content

    def _path(self, name: str) -> str:
        return f"{self._root}/{name[:2]}/{name}"
