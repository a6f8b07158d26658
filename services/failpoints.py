"""Named places, around each commit, where tests let this process fail. They do nothing unless the environment says so:

    ALIGNSWEEP_FAILPOINTS="claim.after_commit=kill@3;record.before_commit=sleep:2"

`kill` (SIGKILL), `stop` (SIGSTOP), `raise` (OSError), `sleep:SECONDS`; `@n`: only the n-th time.
"""

import os
import signal
import time
from collections import Counter

_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """This place has been reached. Raises OSError, or does not return, where a test wants it so."""
    wanted = os.environ.get("ALIGNSWEEP_FAILPOINTS")
    if not wanted:
        return
    _reached[name] += 1
    for point in wanted.split(";"):
        place, _, action = point.partition("=")
        what, _, nth = action.partition("@")
        if place == name and (not nth or int(nth) == _reached[name]):
            _fail(name, what)


def _fail(name: str, what: str) -> None:
    kind, _, seconds = what.partition(":")
    match kind:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "sleep":
            time.sleep(float(seconds))
        case "raise":
            raise OSError(f"failpoint {name}")
        case _:
            raise ValueError(f"ALIGNSWEEP_FAILPOINTS: there is no action {what!r}")
