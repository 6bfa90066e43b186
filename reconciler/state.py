"""What a target remembers between runs: which Coordinator it speaks for and what that last enforced.

Kept against one danger only: giving the first manifest twice, to a Coordinator that lost its state or is
another one (approvals.md section 5, ``CoordinatorChanged``). Everything else is found again in Git and at
the Coordinator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.disk import DiskError, read_json, write_json
from reconciler.system import timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.settings import Target

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """The kept values. ``generation`` counts the different settings this target has had."""

    root: str | None = None
    deployment: str | None = None
    version: int | None = None
    digest: str | None = None
    commit: str | None = None
    generation: int = 1
    settings: str = ""

    @property
    def enforced_before(self) -> bool:
        """Whether a manifest was ever seen enforced."""
        return self.version is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A person's word that the Coordinator with this root is the right one from now on."""

    root: str


def read_state(target: Target) -> TargetState:
    """Read the state of *target*; a first run starts empty, changed settings start a new generation.

    Raises:
        DiskError: the file is damaged. It is never guessed: that could set a first manifest twice.
    """
    document = read_json(target.folder / "state.json")
    if document is None:
        return TargetState(settings=target.fingerprint)
    if document.get("format") != _FORMAT:
        raise DiskError(f"{target.folder / 'state.json'}: written by another version")
    try:
        state = TargetState(
            **{name: document.get(name) for name in ("root", "deployment", "version", "digest", "commit")},
            generation=int(document["generation"]),
            settings=str(document["settings"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DiskError(f"{target.folder / 'state.json'}: damaged") from error
    if state.settings != target.fingerprint:
        return replace(state, settings=target.fingerprint, generation=state.generation + 1)
    return state


def write_state(target: Target, state: TargetState) -> None:
    """Keep *state*, durably. Raises OSError."""
    document = {
        "format": _FORMAT,
        "root": state.root,
        "deployment": state.deployment,
        "version": state.version,
        "digest": state.digest,
        "commit": state.commit,
        "generation": state.generation,
        "settings": state.settings,
    }
    write_json(target.folder / "state.json", document)


def read_acceptance(target: Target) -> Acceptance | None:
    """Read the acceptance that waits for *target*, if any.

    Raises:
        DiskError: the file is damaged.
    """
    document = read_json(target.folder / "accept.json")
    if document is None:
        return None
    root = document.get("root")
    if not isinstance(root, str):
        raise DiskError(f"{target.folder / 'accept.json'}: damaged")
    return Acceptance(root=root)


def write_acceptance(target: Target, acceptance: Acceptance, *, at: datetime) -> None:
    """Leave *acceptance* for the reconciler, which takes it in its next run."""
    target.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(target.folder / "accept.json", {"root": acceptance.root, "at": timestamp(at)})


def drop_acceptance(target: Target) -> None:
    """Remove the acceptance that was taken."""
    (target.folder / "accept.json").unlink(missing_ok=True)
