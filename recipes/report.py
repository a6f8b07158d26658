"""The report: one HTML file that needs nothing else, its tables as Markdown, every figure as PNG and SVG, and JSON."""

import base64
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from ruamel.yaml import YAML

from recipes.catalogue import Size
from recipes.findings import Finding
from recipes.running import Reproduction

_CLAIMS = {"paper": "The paper's experiments", "beyond": "Beyond the paper"}


def write(reproductions: Sequence[Reproduction], size: Size, folder: Path) -> Path:
    """Write `report.html`, `report.md`, `findings.json` and `figures/`; returns the path of the HTML."""
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for reproduction in reproductions:
        if reproduction.figure is not None:
            _save(reproduction.figure, figures / reproduction.recipe.id.lower())
    sweeps = {source.id: source.worker_seconds for r in reproductions for source in r.sources.values()}
    content = {
        "reproductions": reproductions,
        "shelves": {
            title: mine
            for shelf, title in _CLAIMS.items()
            if (mine := [r for r in reproductions if r.recipe.shelf == shelf])
        },
        "counts": Counter(finding.verdict for r in reproductions for finding in r.findings),
        "size": size,
        "trained": sum(seconds or 0 for seconds in sweeps.values()),
        "now": datetime.now(UTC),
    }
    environment = _environment(figures)
    for name in ("report.html", "report.md"):
        (folder / name).write_text(environment.get_template(f"{name}.j2").render(content), encoding="utf-8")
    (folder / "findings.json").write_text(json.dumps(_plain(reproductions), indent=1) + "\n", encoding="utf-8")
    return folder / "report.html"


def number(value: float | None) -> str:
    """Three digits that matter, as people write them."""
    if value is None:
        return ""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.1e}"


def interval(finding: Finding) -> str:
    """From the lower to the upper end, and whether these are the runs' own."""
    if finding.low is None:
        return ""
    ends = f"{number(finding.low)} to {number(finding.high)}"
    return f"{ends} (runs)" if finding.of_all else ends


def duration(seconds: float | None) -> str:
    """In the unit that fits."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _environment(figures: Path) -> Environment:
    environment = Environment(
        loader=PackageLoader("recipes", "templates"),
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and ".html" in name,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "duration": duration,
        "yaml": _yaml,
        "picture": lambda reproduction: _picture(figures / f"{reproduction.recipe.id.lower()}.png"),
    }
    return environment


def _save(figure: Figure, stem: Path) -> None:
    figure.savefig(stem.with_suffix(".png"), dpi=130)
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})


def _picture(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _yaml(document: object) -> str:
    yaml, text = YAML(), BytesIO()
    yaml.default_flow_style = None
    yaml.width = 100
    yaml.dump(document, text)
    return text.getvalue().decode()


def _plain(reproductions: Sequence[Reproduction]) -> list[dict[str, Any]]:
    return [
        {
            "id": reproduction.recipe.id,
            "title": reproduction.recipe.title,
            "verdict": reproduction.verdict,
            "findings": [asdict(finding) for finding in reproduction.findings],
            "sweeps": {name: source.id for name, source in reproduction.sources.items()},
            "questions": dict(reproduction.questions),
        }
        for reproduction in reproductions
    ]
