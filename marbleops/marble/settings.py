"""A marble's settings from its environment: MarbleRun's variables, and an optional pin of ours.

Ruled by marblerun-api-cli-k8s 3.1. Everything is read once; a wrong value is refused with its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from marbleops.wire.connection import Address

if TYPE_CHECKING:
    from collections.abc import Mapping

COORDINATOR_ADDR = "EDG_MARBLE_COORDINATOR_ADDR"
TYPE = "EDG_MARBLE_TYPE"
DNS_NAMES = "EDG_MARBLE_DNS_NAMES"
UUID_FILE = "EDG_MARBLE_UUID_FILE"
COORDINATOR_ROOT = "EDG_MARBLE_COORDINATOR_ROOT"
"""Ours: a PEM file with the root certificate that the Coordinator must have."""

_DEFAULT_PORT = 2001


class SettingsError(ValueError):
    """A variable is missing or cannot be used; the text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarbleSettings:
    """What a marble knows before it is activated."""

    coordinator: Address
    marble_type: str
    dns_names: tuple[str, ...]
    uuid_file: Path
    coordinator_root: Path | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, directory: Path) -> MarbleSettings:
        """Read the settings; *directory* is where a UUID is kept if nothing else is said.

        Raises:
            SettingsError: ``EDG_MARBLE_TYPE`` is missing, or a value is no good.
        """
        marble_type = environ.get(TYPE, "")
        if not marble_type:
            raise SettingsError(f"{TYPE} is not set: it says which marble of the manifest this is")
        try:
            address = Address.parse(
                environ.get(COORDINATOR_ADDR) or f"localhost:{_DEFAULT_PORT}", default_port=_DEFAULT_PORT
            )
        except ValueError as error:
            raise SettingsError(f"{COORDINATOR_ADDR}: {error}") from error
        names = tuple(name.strip() for name in (environ.get(DNS_NAMES) or "localhost").split(","))
        if not all(names) or not all(name.isascii() for name in names):
            raise SettingsError(f"{DNS_NAMES}: expected DNS names and IP addresses, separated by commas")
        kept = environ.get(UUID_FILE)
        root = environ.get(COORDINATOR_ROOT)
        return cls(
            coordinator=address,
            marble_type=marble_type,
            dns_names=names,
            uuid_file=Path(kept) if kept else Path(environ.get("EDG_CWD") or directory) / "uuid",
            coordinator_root=Path(root) if root else None,
        )
