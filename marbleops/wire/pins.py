"""What a client keeps of a deployment: its id, and the newest history head it has seen.

A Coordinator is accepted again only if its history contains the kept head at the kept position (approvals.md
section 6). Another record there is a *fork*, a history that ends before it a *rollback*; both are for people,
so nothing is forgotten by itself. Only what was pinned is kept: a first look without an id keeps nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marbleops.approval import jsonread
from marbleops.approval.record import record_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from marbleops.manifest.digest import Digest

MAX_PINS_BYTES = 1024 * 1024
_FORMAT = 1
_MAX_DEPLOYMENTS = 4096


class PinError(Exception):
    """The pins cannot be read. They are not started afresh: that would forget what they protect."""


class Fork(Exception):  # noqa: N818  the name of the condition in approvals.md
    """The history holds another record at the kept position."""

    def __init__(self, pin: Pin, found: Digest) -> None:
        super().__init__(
            f"fork: record {pin.position} of {pin.deployment} was {pin.head} and is now {found}; "
            "two signed heads of one position are proof against whoever runs it"
        )
        self.pin = pin
        self.found = found


class Rollback(Exception):  # noqa: N818
    """The history ends before the kept position."""

    def __init__(self, pin: Pin, length: int) -> None:
        super().__init__(
            f"rollback: record {pin.position} of {pin.deployment} was seen, "
            f"the history now ends at {length - 1}"
        )
        self.pin = pin
        self.length = length


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One deployment as last seen."""

    deployment: Digest
    root: str
    position: int
    head: Digest


def check_history(pin: Pin, encoded: Sequence[bytes]) -> None:
    """Compare a whole history (from record 0) with what was kept.

    Raises:
        Rollback: it is shorter than what was seen.
        Fork: it is another one.
    """
    if pin.position >= len(encoded):
        raise Rollback(pin, len(encoded))
    found = record_hash(encoded[pin.position])
    if found != pin.head:
        raise Fork(pin, found)


class PinStore:
    """The pins in one file, readable by its owner only, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, deployment: Digest) -> Pin | None:
        """Return what is kept of *deployment*."""
        return self._read()[0].get(deployment)

    def deployment_at(self, address: str) -> Digest | None:
        """Return the deployment that was last accepted at *address*."""
        return self._read()[1].get(address)

    def check(self, deployment: Digest, encoded: Sequence[bytes]) -> bool:
        """Compare a history with what is kept; False where nothing is kept of *deployment*.

        Raises:
            Fork, Rollback: see ``check_history``.
        """
        pin = self.get(deployment)
        if pin is None:
            return False
        check_history(pin, encoded)
        return True

    def update(self, pin: Pin, *, address: str, encoded: Sequence[bytes]) -> None:
        """Keep *pin*, the end of the history *encoded*, never moving a position back, also for *address*.

        What another process has kept since ``check`` counts too, unless this history is only the older one.

        Raises:
            Fork: another process has kept a record that this history contradicts.
            PinError: the file cannot be read or written.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                pins, addresses = self._read()
                before = pins.get(pin.deployment)
                if before is not None and before.position < len(encoded):
                    check_history(before, encoded)
                if before is None or before.position < pin.position:
                    pins[pin.deployment] = pin
                addresses[address] = pin.deployment
                self._write(pins, addresses)
        except OSError as error:
            raise PinError(f"{self._path}: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> tuple[dict[Digest, Pin], dict[str, Digest]]:
        try:
            with self._path.open("rb") as file:
                self._check_owner(os.fstat(file.fileno()))
                raw = file.read(MAX_PINS_BYTES + 1)
        except FileNotFoundError:
            return {}, {}
        except OSError as error:
            raise PinError(f"{self._path}: {error.strerror}") from error
        if len(raw) > MAX_PINS_BYTES:
            raise PinError(f"{self._path}: larger than {MAX_PINS_BYTES} bytes")
        try:
            return _decode(json.loads(raw))
        except (ValueError, RecursionError) as error:
            raise PinError(f"{self._path}: {error}") from error

    def _check_owner(self, found: os.stat_result) -> None:
        # Whoever can write here can make this client forget, or believe in another deployment.
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in (os.geteuid(), 0):
            mode = stat.S_IMODE(found.st_mode)
            raise PinError(
                f"{self._path}: others can write it (mode {mode:04o}, owner {found.st_uid}); look at what it "
                "holds, then make it yours: chmod 600"
            )

    def _write(self, pins: dict[Digest, Pin], addresses: dict[str, Digest]) -> None:
        encoded = json.dumps(_encode(pins, addresses), indent=2, sort_keys=True).encode() + b"\n"
        temporary = self._path.with_name(f".{self._path.name}.new")
        temporary.unlink(missing_ok=True)  # of a process that died; nobody else writes under the lock
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor, not a path
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def _encode(pins: dict[Digest, Pin], addresses: dict[str, Digest]) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "deployments": {
            str(pin.deployment): {"root": pin.root, "position": pin.position, "head": str(pin.head)}
            for pin in pins.values()
        },
        "addresses": {address: str(deployment) for address, deployment in addresses.items()},
    }


def _decode(value: object) -> tuple[dict[Digest, Pin], dict[str, Digest]]:
    outer = jsonread.members(value, required=("format", "deployments", "addresses"))
    if outer["format"] != _FORMAT:
        raise jsonread.JsonShapeError("format: of another version of this program")
    pins: dict[Digest, Pin] = {}
    for name, row in _bounded(outer["deployments"], "deployments").items():
        given = jsonread.members(row, required=("root", "position", "head"))
        deployment = jsonread.digest(name, name="deployments")
        pins[deployment] = Pin(
            deployment=deployment,
            root=jsonread.text(given["root"], name="root", max_chars=80),
            position=jsonread.integer(given["position"], name="position"),
            head=jsonread.digest(given["head"], name="head"),
        )
    addresses = _bounded(outer["addresses"], "addresses")
    return pins, {address: jsonread.digest(kept, name="addresses") for address, kept in addresses.items()}


def _bounded(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > _MAX_DEPLOYMENTS:
        raise jsonread.JsonShapeError(f"{name}: expected an object of bounded size")
    return value
