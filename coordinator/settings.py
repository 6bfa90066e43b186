"""The start configuration: MarbleRun's ``EDG_*`` variables and a few of ours (marblerun-core section 12).

Every wrong variable is reported at once, each with what to write instead. A variable of MarbleRun's that
would change what is enforced, and that this version does not know how to obey, stops the start: silence would
be a wrong result.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from marbleops.manifest.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class PlatformName(StrEnum):
    """What the Coordinator runs on. There is no default."""

    SIMULATION = "simulation"
    GRAMINE = "gramine"


_NAME = re.compile(r"[A-Za-z0-9._:*-]{1,253}", re.ASCII)
_PLATFORM = "EDG_COORDINATOR_PLATFORM"
_KUBERNETES = (
    "EDG_STORE_BACKEND",
    "EDG_K8S_STATE_NAME",
    "EDG_K8S_SERVICE_NAME",
    "EDG_K8S_KEK_MAP",
    "EDG_K8S_NAMESPACE",
    "EDG_KUBERNETES_SERVICE_HOST",
    "EDG_KUBERNETES_SERVICE_PORT",
    "EDG_DISTRIBUTED_COORDINATOR",
    "EDG_ENTERPRISE_LICENSED_FEATURES",
)
_AZURE = (
    "EDG_AZURE_HSM_VAULT_URL",
    "EDG_AZURE_HSM_KEY_NAME",
    "EDG_AZURE_HSM_KEY_VERSION",
    "EDG_MAA_URL",
    "EDG_AZURE_CLIENT_ID",
    "EDG_AZURE_TENANT_ID",
    "EDG_AZURE_CLIENT_SECRET",
    "EDG_AZURE_FEDERATED_TOKEN_FILE",
    "EDG_AZURE_AUTHORITY_HOST",
)
_SIMULATED = "EDG_COORDINATOR_SIMULATION_DIR"
_ONLY_ON = {
    PlatformName.SIMULATION: (_SIMULATED, "EDG_COORDINATOR_INSECURE_EMPTY_QUOTE"),
    PlatformName.GRAMINE: ("EDG_COORDINATOR_COLLATERAL",),
}
_UNSUPPORTED = {**dict.fromkeys(_KUBERNETES, "Kubernetes"), **dict.fromkeys(_AZURE, "Azure")}
_LOG_LEVELS = ("debug", "info", "warn", "error", "dpanic", "panic", "fatal")
"""Those of zap, which MarbleRun logs with; what is above ``error`` is shown as ``error``."""
DEFAULT_CONNECTIONS = 480
"""A port. Two ports and the rest of the process stay below the usual 1024 descriptors."""
DEFAULT_WAITING = DEFAULT_CONNECTIONS
_MAX_NUMBER = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen. An empty host is every address."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """What strangers may take of this process."""

    connections: int
    """Open at one time on each port; further ones wait in the kernel's queue."""
    connections_per_source: int
    """Of those, at most as many for one IPv4 address or one IPv6 /64."""
    waiting_activations: int
    """Calls that wait for their turn; further ones are told to come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the host decides about one Coordinator process."""

    mesh: Address
    client: Address
    dns_names: tuple[str, ...]
    seal_directory: Path
    platform: PlatformName
    simulation_directory: Path | None
    collateral: Path | None
    ready_file: Path | None
    startup_manifest: Path | None
    genesis_digest: Digest | None
    accept_empty_quotes: bool
    allow_reset: bool
    allow_security_version_decrease: bool
    developer_mode: bool
    debug_logging: bool
    http_error_log_level: str
    monitoring: Address | None
    metrics_uuid: bool
    load: LoadSettings


class SettingsError(Exception):
    """One or more wrong variables; the text has a line for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def process_environment() -> Mapping[str, str]:
    """Return this process's environment; the only place that reads it."""
    return os.environ


def read_settings(environ: Mapping[str, str], *, cwd: Path) -> Settings:
    """Read the start configuration; an empty variable counts as unset.

    Raises:
        SettingsError: with every problem found.
    """
    reader = _Reader(environ, cwd)
    reader.refuse_unsupported()
    platform = reader.platform()
    settings = Settings(
        mesh=reader.address("EDG_COORDINATOR_MESH_ADDR", ":2001"),
        client=reader.address("EDG_COORDINATOR_CLIENT_ADDR", ":4433"),
        dns_names=reader.names("EDG_COORDINATOR_DNS_NAMES", "localhost"),
        seal_directory=reader.seal_directory(),
        platform=platform,
        simulation_directory=reader.optional_path("EDG_COORDINATOR_SIMULATION_DIR"),
        collateral=reader.optional_path("EDG_COORDINATOR_COLLATERAL"),
        ready_file=reader.optional_path("EDG_COORDINATOR_READY_FILE"),
        startup_manifest=reader.optional_path("EDG_STARTUP_MANIFEST"),
        genesis_digest=reader.digest("EDG_COORDINATOR_GENESIS_DIGEST"),
        accept_empty_quotes=reader.flag("EDG_COORDINATOR_INSECURE_EMPTY_QUOTE"),
        allow_reset=reader.flag("EDG_COORDINATOR_ALLOW_RESET"),
        allow_security_version_decrease=reader.flag("EDG_COORDINATOR_ALLOW_SECURITY_VERSION_DECREASE"),
        developer_mode=reader.flag("EDG_COORDINATOR_DEV_MODE"),
        debug_logging=reader.flag("EDG_DEBUG_LOGGING"),
        http_error_log_level=reader.level("EDG_HTTP_ERROR_LOG_LEVEL", "error"),
        monitoring=reader.optional_address("EDG_COORDINATOR_PROMETHEUS_ADDR"),
        metrics_uuid=reader.flag("EDG_COORDINATOR_METRICS_UUID"),
        load=_load(reader),
    )
    if reader.problems:
        raise SettingsError(tuple(reader.problems))
    return settings


def _load(reader: _Reader) -> LoadSettings:
    connections = reader.number("EDG_COORDINATOR_MAX_CONNECTIONS", DEFAULT_CONNECTIONS)
    most = max(1, connections * 3 // 4)
    return LoadSettings(
        connections=connections,
        connections_per_source=reader.number("EDG_COORDINATOR_MAX_CONNECTIONS_PER_SOURCE", most),
        waiting_activations=reader.number("EDG_COORDINATOR_MAX_WAITING_ACTIVATIONS", DEFAULT_WAITING),
    )


class _Reader:
    """Reads variables and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str], cwd: Path) -> None:
        self._environ = environ
        self._cwd = cwd
        self.problems: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self._environ.get(name) or default

    def refuse_unsupported(self) -> None:
        self.problems.extend(
            f"{name} is set, but {what} is not supported yet: unset it"
            for name, what in _UNSUPPORTED.items()
            if self.text(name, "") not in ("", "0")
        )

    def platform(self) -> PlatformName:
        text = self.text(_PLATFORM, "")
        if text not in set(PlatformName):
            found = f"is {text[:80]!r}" if text else "is not set"
            self.problems.append(
                f"{_PLATFORM} {found}: set it to 'gramine' (in an enclave) or 'simulation' (insecure, no "
                "hardware); there is no default"
            )
            return PlatformName.SIMULATION  # nothing starts with problems
        platform = PlatformName(text)
        if platform is PlatformName.SIMULATION and not self.text(_SIMULATED, ""):
            self.problems.append(
                f"{_SIMULATED} is not set: set it to the directory of the simulated platform"
            )
        others = _ONLY_ON[
            PlatformName.SIMULATION if platform is PlatformName.GRAMINE else PlatformName.GRAMINE
        ]
        self.problems.extend(
            f"{name} is set, but {_PLATFORM} is '{platform}', which has no use for it: unset it"
            for name in others
            if self.text(name, "") not in ("", "0")
        )
        return platform

    def address(self, name: str, default: str) -> Address:
        text = self.text(name, default)
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            self.problems.append(f"{name} is {text!r}: set it to host:port, for example 127.0.0.1:0")
            return Address(host="", port=0)
        return Address(host=host.removeprefix("[").removesuffix("]"), port=int(port))

    def optional_address(self, name: str) -> Address | None:
        return self.address(name, "") if self.text(name, "") else None

    def number(self, name: str, default: int) -> int:
        text = self.text(name, str(default))
        if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= _MAX_NUMBER:
            return int(text)
        self.problems.append(f"{name} is {text[:80]!r}: set it to a number from 1 to {_MAX_NUMBER}")
        return default

    def level(self, name: str, default: str) -> str:
        text = self.text(name, default).lower()
        if text not in _LOG_LEVELS:
            self.problems.append(f"{name} is {text[:80]!r}: set it to one of {', '.join(_LOG_LEVELS)}")
        return "error" if text in _LOG_LEVELS[4:] else text

    def names(self, name: str, default: str) -> tuple[str, ...]:
        names = tuple(self.text(name, default).split(","))
        if not all(_NAME.fullmatch(one) for one in names):
            self.problems.append(
                f"{name} is {','.join(names)[:80]!r}: set it to DNS names and addresses, a,b,c"
            )
        return names

    def flag(self, name: str) -> bool:
        text = self.text(name, "0")
        if text not in {"0", "1"}:
            self.problems.append(f"{name} is {text!r}: set it to 1 or 0")
        return text == "1"

    def digest(self, name: str) -> Digest | None:
        text = self.text(name, "")
        if not text:
            return None
        try:
            return Digest.parse(text)
        except ValueError:
            self.problems.append(
                f"{name} is {text[:80]!r}: set it to sha256:<64 hex> as `marbleops digest` prints it"
            )
            return None

    def optional_path(self, name: str) -> Path | None:
        text = self.text(name, "")
        return self._cwd / text if text else None

    def seal_directory(self) -> Path:
        path = self.optional_path("EDG_COORDINATOR_SEAL_DIR")
        if path is not None:
            return path
        return self._cwd / self.text("EDG_CWD", ".") / "marblerun-coordinator-data"
