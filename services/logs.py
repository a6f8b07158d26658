"""What processes log: JSON lines on standard error, without secrets."""

import re
import sys
from typing import Any

import structlog

from services.tokens import PREFIX

_TOKEN = re.compile(rf"{PREFIX}[\w-]{{20,}}|(?<=[Bb]earer )[^\s\"']+")


def configure(*secrets: str | None) -> None:
    """From now on everything logged goes there. `secrets` never do, nor anything that looks like a token of the API."""
    known = [secret for secret in secrets if secret]

    def redact(_logger: object, _method: str, line: Any) -> str:
        text = str(line)
        for secret in known:
            text = text.replace(secret, "***")
        return _TOKEN.sub("***", text)

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            redact,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
