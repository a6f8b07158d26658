"""Examples below the help of a command."""


def examples(*lines: str) -> str:
    """An epilog: each example is a paragraph of its own, which is what stays on a line."""
    return "\n\n".join(["Examples:" if len(lines) > 1 else "Example:", *(f"$ {line}" for line in lines)])
