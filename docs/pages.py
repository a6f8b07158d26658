"""What mkdocs does not know by itself: pages and files outside docs/, and a report that may not be there yet."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "ARCHITECTURE.md": "architecture.md"}
"""Pages of the repository's root, and what they are called on the site."""
CARRIED = ["docker-compose.yml", "deploy/ray-cluster.yaml", "deploy/kuberay.yaml"]
"""Files that pages link to; the site has copies."""
REPORT = "reproduction.md"
NO_REPORT = (
    "# What was reproduced\n\nNothing yet, here: `make reproduce` runs the experiments and writes their report.\n"
)

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside docs/."""
    for source, name in PAGES.items():
        text = _LINK.sub(_from_root, (ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, name, content=text))
    for source in CARRIED:
        files.append(File.generated(config, f"files/{source}", abs_src_path=str(ROOT / source)))
    if files.get_file_from_path(REPORT) is None:
        files.append(File.generated(config, REPORT, content=NO_REPORT))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links that leave docs/ go to the site's copies."""
    return _LINK.sub(_from_docs, markdown)


def _from_root(link: re.Match[str]) -> str:
    """A link of a page in the root, as one of a page in docs/."""
    image, text, target = link.groups()
    if "://" in target or target.startswith("#"):
        return link[0]
    if target.startswith("docs/"):
        return f"{image}[{text}]({target.removeprefix('docs/')})"
    return _copied(link, target)


def _from_docs(link: re.Match[str]) -> str:
    target = link[3]
    return _copied(link, target.removeprefix("../")) if target.startswith("../") else link[0]


def _copied(link: re.Match[str], target: str) -> str:
    """A link to something in the root: to its copy, or, where there is none, its text alone."""
    image, text, _ = link.groups()
    path, hash_, anchor = target.partition("#")
    if path in PAGES:
        return f"{image}[{text}]({PAGES[path]}{hash_}{anchor})"
    return f"{image}[{text}](files/{path})" if path in CARRIED else f"`{text}`"
