"""What `make` would install, and from where."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def installs(*settings: str) -> list[str]:
    command = ["make", "--dry-run", "--always-make", "run", "VENV=/nowhere", *settings]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return [line for line in ran.stdout.splitlines() if "pip install" in line]


def test_the_index_of_torch_is_asked_for_torch_alone() -> None:
    """One that is slow, or refuses to answer, would be asked for each of a hundred packages."""
    torch, rest = installs("TORCH_INDEX=https://example.org/cpu")
    assert torch.endswith("--no-deps --index-url https://example.org/cpu torch torchvision")
    assert "example.org" not in rest
    assert rest.endswith("-e '.[service]'")
    assert installs() == [rest]
