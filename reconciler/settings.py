"""Read the configuration: strict JSON, one schema, errors with file, line and column.

``schemas/reconciler.v1.schema.json`` rules the shape; these types carry the meaning. Nothing is read from the
environment.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import jsonschema

from marbleops.manifest.digest import Digest
from marbleops.manifest.position import format_path, position_of
from reconciler import limits
from reconciler.disk import DiskError, read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator

_LATER = "comes with the production reconciler"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class SettingsError(Exception):
    """The configuration is refused; the text says where and why."""


class PlatformKind(StrEnum):
    """Who vouches for a Coordinator's quote."""

    SIMULATION = "simulation"
    INTEL = "intel"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySettings:
    """Where the manifest comes from. ``local`` is the folder if the repository is on this machine.

    ``proposals`` asks to look for approvals on the heads of pull and merge requests too.
    """

    url: str
    branch: str
    local: Path | None
    ca: Path | None
    proposals: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSettings:
    """A Coordinator and what it must prove."""

    address: str
    platform: PlatformKind
    anchor: Path | None
    era: Path | None
    pinned_root: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One path of one branch, and the Coordinator that is to enforce it.

    ``fingerprint`` changes with any setting of the target: it stands for the *generation* of conditions.
    """

    name: str
    repository: RepositorySettings
    path: str | None
    interval: float
    coordinator: CoordinatorSettings
    approvals: Path | None
    folder: Path
    fingerprint: str

    @property
    def cache(self) -> Path:
        """The bare repository that fetches fill."""
        return self.folder / "cache.git"

    @property
    def status_file(self) -> Path:
        """Where the status is written."""
        return self.folder / "status.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration."""

    state: Path
    health: tuple[str, int] | None
    ready_file: Path | None
    targets: tuple[Target, ...]

    def target(self, name: str | None) -> Target:
        """Find a target by name; ``None`` means the only one.

        Raises:
            SettingsError: there is none, or *name* is left out and there are several.
        """
        names = ", ".join(target.name for target in self.targets)
        if name is None:
            if len(self.targets) != 1:
                raise SettingsError(f"name one of the targets: {names}")
            return self.targets[0]
        for target in self.targets:
            if target.name == name:
                return target
        raise SettingsError(f"no target {name!r}; there are: {names}")


def read_settings(path: Path) -> Settings:
    """Read the configuration file *path*.

    Raises:
        SettingsError: not readable, not strict JSON, not of the schema's shape, or not supported yet.
    """
    try:
        raw = read_bounded(path, limits.MAX_CONFIG_BYTES)
    except DiskError as error:
        raise SettingsError(str(error)) from error
    if raw is None:
        raise SettingsError(f"{path}: no such file")
    document = _parse(raw, path)
    _check_shape(document, raw, path)
    try:
        return _settings(document, path.absolute().parent)
    except _AtError as error:
        raise SettingsError(_place(path, raw, error.at, str(error))) from error


class _AtError(Exception):
    def __init__(self, at: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.at = at


def _parse(raw: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for name, value in pairs:
            if name in table:
                raise SettingsError(f"{path}: {name!r} is written twice")
            table[name] = value
        return table

    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path}:{error.lineno}:{error.colno}: {error.msg}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: not JSON in UTF-8") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path}:1:1: expected a JSON object")
    return document


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    text = resources.files("marbleops").joinpath("schemas/reconciler.v1.schema.json").read_text("utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def _check_shape(document: dict[str, Any], raw: bytes, path: Path) -> None:
    errors = sorted(_validator().iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
    if errors:
        found = [place for error in errors for place in _explained(error)]
        raise SettingsError("\n".join(_place(path, raw, at, message) for at, message in found[:8]))


def _explained(error: jsonschema.ValidationError) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Say where a violation is and what is wrong; a name that is not known points at itself."""
    at = tuple(error.absolute_path)
    if error.validator != "additionalProperties" or not isinstance(error.schema, dict):
        yield at, error.message
        return
    known: list[str] = sorted(error.schema["properties"])
    given: dict[str, Any] = dict(error.instance)  # type: ignore[arg-type]  # the keyword is for objects
    for name in sorted(set(given) - set(known)):
        nearest = difflib.get_close_matches(name[:80], known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
        yield (*at, name), f"unknown name ({hint})"


def _place(path: Path, raw: bytes, at: tuple[str | int, ...], message: str) -> str:
    position = position_of(raw, at)
    place = f"{path}:{position[0]}:{position[1]}" if position else str(path)
    name = format_path(at)
    return f"{place}: {name}: {message}" if name else f"{place}: {message}"


def _settings(document: dict[str, Any], base: Path) -> Settings:
    state = base / document["stateDir"]
    targets = tuple(
        _target(entry, index=index, base=base, state=state) for index, entry in enumerate(document["targets"])
    )
    names = [target.name.lower() for target in targets]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise _AtError(("targets", index, "name"), "another target has this name")
    health = document.get("health")
    return Settings(
        state=state,
        health=None if health is None else _address(health),
        ready_file=None if "readyFile" not in document else base / document["readyFile"],
        targets=targets,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if int(port) > 65535:
        raise _AtError(("health",), "a port is at most 65535")
    return host, int(port)


def _target(entry: dict[str, Any], *, index: int, base: Path, state: Path) -> Target:
    at = ("targets", index)
    interval = duration(entry.get("interval", "30s"))
    if not 0.1 <= interval <= 86400:
        raise _AtError((*at, "interval"), "expected between 100ms and 24h")
    path = entry.get("path")
    if path is not None and any(part in {".", "..", ".git"} for part in path.split("/")):
        raise _AtError((*at, "path"), "no segment may be '.', '..' or '.git'")
    coordinator = entry["coordinator"]
    platform = coordinator["platform"]
    optional = {
        name: base / value[key]
        for name, value, key in (
            ("anchor", platform, "anchor"),
            ("era", coordinator, "era"),
            ("approvals", entry, "approvalsDir"),
        )
        if key in value
    }
    return Target(
        name=entry["name"],
        repository=_repository(entry["repository"], at=(*at, "repository"), base=base),
        path=path,
        interval=interval,
        coordinator=CoordinatorSettings(
            address=coordinator["address"],
            platform=PlatformKind(platform["kind"]),
            anchor=optional.get("anchor"),
            era=optional.get("era"),
            pinned_root=coordinator.get("pinnedRoot"),
        ),
        approvals=optional.get("approvals"),
        folder=state / entry["name"],
        fingerprint=str(Digest.of(json.dumps(entry, sort_keys=True).encode())),
    )


def _repository(entry: dict[str, Any], *, at: tuple[str | int, ...], base: Path) -> RepositorySettings:
    url: str = entry["url"]
    branch: str = entry.get("branch", "main")
    if ".." in branch or "//" in branch or branch.endswith(("/", ".", ".lock")) or "@{" in branch:
        raise _AtError((*at, "branch"), "not a branch name")
    ca = base / entry["ca"] if "ca" in entry else None
    proposals: bool = entry.get("proposals", False)
    parts = urlsplit(url)
    if "://" not in url:
        if re.match(r"[^/]+@?[^/]*:", url):
            raise _AtError((*at, "url"), f"ssh {_LATER}")
        return RepositorySettings(
            url=str(base / url), branch=branch, local=base / url, ca=ca, proposals=proposals
        )
    if parts.scheme in {"ssh", "git+ssh"}:
        raise _AtError((*at, "url"), f"ssh {_LATER}")
    if parts.scheme not in {"https", "file"}:
        raise _AtError(
            (*at, "url"), f"{parts.scheme}:// is not supported; write https://, file:// or a folder"
        )
    if "@" in parts.netloc:
        raise _AtError((*at, "url"), f"a user name in the URL: authentication {_LATER}")
    if parts.scheme == "file":
        local = Path(unquote(parts.path))
        return RepositorySettings(url=url, branch=branch, local=local, ca=ca, proposals=proposals)
    return RepositorySettings(url=url, branch=branch, local=None, ca=ca, proposals=proposals)


def duration(text: str) -> float:
    """Read a Go duration such as ``1m30s``, already known to fit the schema's pattern."""
    return sum(
        float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", text)
    )
