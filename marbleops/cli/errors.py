"""How a command fails: what happened, where, and the next command to run.

Errors of other packages are translated here and nowhere else. A class is looked up only where its module is
already loaded, so that the table costs no imports.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from marbleops.cli.exits import Exit


class CommandError(Exception):
    """A command that ends without doing what was asked.

    ``what`` is one line for a person, ``where`` a file, address or ref, ``next_step`` the command to try.
    """

    def __init__(self, what: str, *, exit_code: Exit, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.exit_code = exit_code
        self.where = where
        self.next_step = next_step


class UsageProblem(CommandError):  # noqa: N818 - what it is, in the words of the exit code
    """What was given cannot be used: exit code 2."""

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what, exit_code=Exit.USAGE, where=where, next_step=next_step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as it is printed, in text or as JSON."""

    code: str
    exit_code: Exit
    what: str
    where: str = ""
    next_step: str = ""
    reason: str = ""
    details: tuple[dict[str, Any], ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """Return the JSON form; the keys are stable."""
        return {
            "error": {
                "code": self.code,
                "exitCode": int(self.exit_code),
                "reason": self.reason,
                "message": self.what,
                "where": self.where,
                "next": self.next_step,
                "details": list(self.details),
            }
        }


_KNOWN: tuple[tuple[str, str, Exit, str], ...] = (
    ("marbleops.manifest.errors", "ManifestError", Exit.REFUSED, "marbleops lint PATH"),
    ("marbleops.approval.policy", "PolicyError", Exit.REFUSED, "marbleops lint PATH"),
    ("marbleops.approval.errors", "EvidenceError", Exit.REFUSED, "marbleops statement --help"),
    (
        "marbleops.wire.connection",
        "CoordinatorUnreachable",
        Exit.UNREACHABLE,
        "check the address and try again",
    ),
    ("marbleops.wire.attest", "UntrustedCoordinator", Exit.UNTRUSTED, "do not use it; ask who runs it"),
    ("marbleops.wire.envelope", "CoordinatorError", Exit.REFUSED, "marbleops verify --coordinator HOST:PORT"),
    ("marbleops.attestation.platform.measure", "MeasureError", Exit.USAGE, "check enclave.json"),
    (
        "marbleops.attestation.platform.simulation",
        "PlatformError",
        Exit.USAGE,
        "marbleops simulation init DIR",
    ),
    ("marbleops.collateral.cache", "CacheError", Exit.USAGE, "choose another folder with --cache DIR"),
    ("marbleops.wire.verify", "DeploymentRefused", Exit.UNTRUSTED, "do not use it; ask who runs it"),
    ("reconciler.settings", "SettingsError", Exit.USAGE, "check the configuration file"),
    ("reconciler.disk", "DiskError", Exit.USAGE, "check the reconciler's stateDir"),
    ("marbleops.wire.bundle", "BundleError", Exit.USAGE, "ask for the file again; verify --save writes one"),
    ("marbleops.wire.pins", "PinError", Exit.USAGE, "check the --state file"),
    ("marbleops.wire.pins", "Fork", Exit.UNTRUSTED, "keep the pins file: it is part of the proof"),
    ("marbleops.wire.pins", "Rollback", Exit.UNTRUSTED, "keep the pins file: it is part of the proof"),
)


_NEXT = {
    "CHAIN_UNTRUSTED_ROOT": (
        "do not use it: no hardware vendor vouches for it. A simulation platform needs --anchor FILE "
        "--insecure-simulation"
    ),
    "gitops-not-enabled": (
        "no signed commits decide here, or nothing is set yet: marbleops manifest verify FILE HOST:PORT"
    ),
    "appraisal": "do not use it: another build than you expect. Ask who runs it for its release's era file",
}
"""The next step where the reason is known to be a certain one."""


def translate(error: Exception) -> Failure:
    """Turn any exception that reached the outermost loop into what is printed."""
    if isinstance(error, CommandError):
        return Failure(
            code=_word(error.exit_code),
            exit_code=error.exit_code,
            what=error.what,
            where=error.where,
            next_step=error.next_step,
        )
    for module, name, exit_code, next_step in _KNOWN:
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and isinstance(error, kind):
            notes: list[str] = getattr(error, "__notes__", [])  # where it happened, added on the way
            where = notes[0] if notes else ""
            return Failure(
                code=_word(exit_code),
                exit_code=exit_code,
                what=_text(error),
                where=where,
                next_step=_NEXT.get(getattr(error, "code", ""), next_step).replace("PATH", where or "PATH"),
                reason=str(getattr(error, "code", None) or getattr(error, "reason", "")),
                details=_details(error),
            )
    if isinstance(error, OSError) and error.strerror is not None:
        where = str(error.filename) if error.filename is not None else ""
        return Failure(code="usage", exit_code=Exit.USAGE, what=error.strerror, where=where)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "marbleops").startswith("marbleops"):
        return Failure(
            code="usage",
            exit_code=Exit.USAGE,
            what=f"this command needs the Python package {error.name!r}",
            next_step="pip install 'marbleops[all]'",
        )
    return Failure(code="internal", exit_code=Exit.INTERNAL, what=f"{type(error).__name__}: {_text(error)}")


def _details(error: Exception) -> tuple[dict[str, Any], ...]:
    """Return the parts of an error: the issues of a manifest, or the checks of a verification."""
    parts: tuple[Any, ...] = getattr(error, "issues", ()) or getattr(error, "checks", ())
    return tuple({name: _plain(value) for name, value in asdict(part).items()} for part in parts)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int) else str(value)


def _word(exit_code: Exit) -> str:
    return exit_code.name.lower().replace("_", "-")


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
