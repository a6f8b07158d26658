"""Links of the Markdown files in the repository lead somewhere: to a file that is there, to a heading in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN_LATER = ROOT / "docs" / "reproduction.md"
"""The report of a reproduction; until there is one, links to it wait."""

_ELSEWHERE = {"out", "build", "dist", "node_modules"}
_FENCE = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")


def documents() -> list[Path]:
    """All Markdown files, but for those of tools and builds."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(path for path in found if not any(p.startswith(".") or p in _ELSEWHERE for p in path.parts))


def prose(path: Path) -> str:
    """The file without its blocks of code."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ +(.*?)\s*$", text, re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        found[words] = found.get(words, -1) + 1
        if found[words]:
            found[f"{words}-{found[words]}"] = 0
    return set(found)


def broken(path: Path) -> Iterator[str]:
    """Links of this file that lead nowhere."""
    for link in _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(path))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if target == WRITTEN_LATER and not target.exists():
            continue
        if not target.exists() or (anchor and anchor not in anchors(prose(target))):
            yield link


@pytest.mark.parametrize("document", documents(), ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    assert list(broken(ROOT / document)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "# A\n\n[b](b.md) [c](c.md#there-it-is) [d](c.md#here) [e](#a) [f](https://x.org/y#z)\n"
    )
    (tmp_path / "c.md").write_text("## There, it is!\n\n```sh\n# here\n```\n")
    assert list(broken(tmp_path / "a.md")) == ["b.md", "c.md#here"]
