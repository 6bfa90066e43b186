"""Simulation is never reached by accident: the verifier neither imports a platform nor knows its anchor."""

from __future__ import annotations

import ast
from pathlib import Path

import marbleops.attestation

HERE = Path(marbleops.attestation.__file__).parent


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def test_the_verifier_imports_no_platform() -> None:
    """No module beside ``platform/`` imports one of it, not even lazily."""
    for path in (*HERE.glob("*.py"), *(HERE / "snp").glob("*.py")):
        assert not [name for name in imported(path) if "attestation.platform" in name], path.name


def test_the_package_imports_nothing() -> None:
    """Importing ``attestation`` or ``attestation.platform`` brings in no issuer."""
    assert imported(HERE / "__init__.py") == set()
    assert imported(HERE / "platform" / "__init__.py") == set()
