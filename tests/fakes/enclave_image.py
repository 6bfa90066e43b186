"""The tree that becomes /opt/coordinator, put together as deploy/gramine/Dockerfile does."""

from __future__ import annotations

import re
import shutil
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy" / "gramine"
_IGNORED = shutil.ignore_patterns("__pycache__")


def locked_packages() -> dict[str, str]:
    """Return each requirement of the image with the whole of its lines."""
    return blocks((DEPLOY / "requirements.txt").read_text())


def blocks(text: str) -> dict[str, str]:
    """Split a lock file into its requirements, by name."""
    found = re.findall(r"^([a-z0-9.-]+)(==.*\n(?:    .*\n)*)", text, re.MULTILINE)
    return dict(found)


def assemble(tree: Path) -> Path:
    """Fill *tree* with the program, its packages and nothing else."""
    for package in ("coordinator", "marbleops"):
        shutil.copytree(ROOT / package, tree / package, ignore=_IGNORED)
    for name in (*locked_packages(), "marbleops"):
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            inside = file.parts[0] not in ("..", "__pycache__") and "__pycache__" not in file.parts
            if (inside and file.suffix not in (".pth", ".py")) or (inside and name != "marbleops"):
                target = tree / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)
    for name in (DEPLOY / "left-out.txt").read_text().split():
        left_out = tree / name
        if left_out.is_dir():
            shutil.rmtree(left_out)
        else:
            left_out.unlink(missing_ok=True)
    (tree / "__main__.py").write_text("import coordinator.__main__\n")
    return tree
