"""Where figures go: checked before anything is drawn, or trained."""

import re
import sys
from pathlib import Path

import typer

from api.client import Sweep

STDOUT = Path("-")


def writable(path: Path) -> Path:
    """The path, if it ends in a format that figures have, and asks for nothing but a sweep's name and id.

    Raises typer.BadParameter.
    """
    from matplotlib.backend_bases import FigureCanvasBase  # here: matplotlib takes its time

    if path.suffix[1:].lower() not in FigureCanvasBase.filetypes:
        raise typer.BadParameter(f"{path}: the name of a figure ends in .png, .svg or .pdf")
    for asked in re.findall(r"\{.*?\}", str(path)):
        if asked not in ("{name}", "{id}"):
            raise typer.BadParameter(f"there is no {asked}, only {{name}} and {{id}}")
    return path


def writable_or_stdout(path: Path | None) -> Path | None:
    """The same, or standard output, as PNG, which is nothing for a terminal."""
    if path == STDOUT and sys.stdout.isatty():
        raise typer.BadParameter("a figure is not for a terminal: name a file, or say --terminal")
    return path if path in (None, STDOUT) else writable(path)


def named(figure: Path, sweep: Sweep) -> Path:
    """With the sweep's name and id in it; of the name, what is no path."""
    name = re.sub(r"[^\w.-]+", "-", sweep.name).lstrip(".") or "sweep"
    return Path(str(figure).replace("{id}", str(sweep.id)).replace("{name}", name))


def save(sweep: Sweep, path: Path, *, overlay: bool = False) -> None:
    """Draw a sweep."""
    figure = sweep.plot.overlay() if overlay else sweep.plot.all()
    if path == STDOUT:
        figure.savefig(sys.stdout.buffer, format="png", dpi=110)
    else:
        figure.savefig(path, dpi=110)
