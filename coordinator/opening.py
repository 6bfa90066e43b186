"""Opening the saved state: the platform's keys, the vault, the replayed history, or recovery.

What opens and verifies goes on. What the platform's keys do not open waits for recovery. What was altered or
contradicts itself stops the start: the Coordinator never guesses (marblerun-core 8.3, quirk A8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from coordinator.adapters.gramine import Hardware, open_gramine
from coordinator.adapters.memory import MemoryStore
from coordinator.adapters.sealer import AesGcmSealer
from coordinator.adapters.sqlite import SqliteStore
from coordinator.adapters.system import SystemClock, SystemEntropy
from coordinator.audit import audit
from coordinator.domain import pki
from coordinator.domain.phase import Phase
from coordinator.domain.state import State
from coordinator.errors import CorruptStateError, ForeignSealError, PlatformError, SealError
from coordinator.guard import Guard, load
from coordinator.migration import migrated
from coordinator.settings import PlatformName
from coordinator.vault import VaultPorts, locked_vault, open_vault

if TYPE_CHECKING:
    from datetime import datetime

    from coordinator.adapters.platform import Platform
    from coordinator.settings import Settings

_log = structlog.get_logger("coordinator")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The adapters of one process, without the store."""

    platform: Platform
    sealer: AesGcmSealer
    clock: SystemClock
    entropy: SystemEntropy


def open_world(settings: Settings, hardware: Hardware) -> World:
    """Open the platform that *settings* name, and never another.

    Raises:
        PlatformError: there is none, or it may not be used.
    """
    clock, entropy = SystemClock(), SystemEntropy()
    if settings.platform is PlatformName.GRAMINE:
        platform = _enclave(settings, hardware, clock.now())
    else:
        platform = _simulation(settings, hardware, clock.now())
    return World(
        platform=platform,
        sealer=AesGcmSealer(platform.sealing_keys(), entropy),
        clock=clock,
        entropy=entropy,
    )


def _enclave(settings: Settings, hardware: Hardware, at: datetime) -> Platform:
    platform = open_gramine(hardware, settings.collateral, at=at)
    verdict = platform.attestation.verdict
    _log.info(
        "self_attestation",
        code=None if verdict is None else verdict.code,
        status=None if verdict is None else verdict.status,
        advisories=[] if verdict is None else list(verdict.advisories),
        trust_domain=hardware.anchors.trust_domain,
        **dict(platform.sealing_keys().circumstances),
    )
    return platform


def _simulation(settings: Settings, hardware: Hardware, at: datetime) -> Platform:
    if hardware.directory.is_enclave():
        raise PlatformError(
            f"EDG_COORDINATOR_PLATFORM is 'simulation', but {hardware.directory.path} is there: an enclave "
            "never runs on a simulated platform. Set it to 'gramine'"
        )
    assert settings.simulation_directory is not None
    try:
        # Not above: the image for enclaves has no such module (deploy/gramine).
        from coordinator.adapters import simulation  # noqa: PLC0415
    except ImportError as error:
        raise PlatformError("this build has no simulated platform; it is one for enclaves") from error
    return simulation.open_platform(settings.simulation_directory, at=at)


def open_state(settings: Settings, world: World) -> tuple[SqliteStore, Guard]:
    """Open and verify the saved state, or find that it waits for recovery.

    With EDG_COORDINATOR_ALLOW_RESET=1 what does not open is set aside, never overwritten, and the Coordinator
    starts fresh; a state that verifies is never reset.

    Raises:
        CorruptStateError, SealError: what is there was altered, or contradicts itself.
        StoreError: it cannot be read.
    """
    store = SqliteStore(settings.seal_directory)
    try:
        return store, _open(settings, world, store)
    except BaseException:
        store.close()
        raise


def _open(settings: Settings, world: World, store: SqliteStore) -> Guard:
    ports = _vault_ports(world, store)
    try:
        return _load(settings, world, ports)
    except (CorruptStateError, SealError) as error:
        if settings.allow_reset:
            _log.warning("reset", reason=str(error))
            ports.set_aside(world.clock.now().strftime("%Y%m%dT%H%M%SZ"))
            return _load(settings, world, ports)
        if isinstance(error, ForeignSealError):
            _log.warning("recovery", reason=str(error), advice=_advice(ports))
            return Guard(_fresh(settings, world, Phase.RECOVERY), None, locked_vault(ports))
        raise


def _load(settings: Settings, world: World, ports: VaultPorts) -> Guard:
    """Open with the platform's keys; a state of version 0.1 is brought under a data key first."""
    vault = open_vault(ports)
    fresh = _fresh(settings, world, Phase.ACCEPTING_MANIFEST)
    try:
        if vault.is_legacy:
            _log.info("migrating", reason="version 0.1 saved this state: it is sealed anew under a data key")
            vault = migrated(vault)
        guard = load(fresh, vault)
        audit(guard.current, vault)
    except ForeignSealError as error:  # the key of the whole is open: a part under another one is no whole
        raise SealError(str(error)) from error
    vault.ensure_wrapped()
    return guard


def _vault_ports(world: World, store: SqliteStore) -> VaultPorts:
    def set_aside(suffix: str) -> SqliteStore:
        moved = store.set_aside(suffix)
        _log.warning("set_aside", kept_as=[path.name for path in moved])
        return store

    return VaultPorts(
        store=store, platform=world.sealer, entropy=world.entropy, memory=MemoryStore, set_aside=set_aside
    )


_HOW = "marbleops recover SECRET HOST:PORT --key KEY (POST /api/v2/recover)"


def _advice(ports: VaultPorts) -> str:
    facts = locked_vault(ports).facts
    if facts is None or facts.recovery is None:
        return f"upload the secrets of the recovery keys: {_HOW}"
    if not facts.recovery.needed:
        return "the manifest has no recovery keys: only what sealed this state can open it"
    needed, count = facts.recovery.needed, len(facts.recovery.hashes)
    return f"upload {needed} of {count} recovery secrets: {_HOW}"


def _fresh(settings: Settings, world: World, phase: Phase) -> State:
    at, random = world.clock.now(), world.entropy.bytes
    root = pki.create_root(names=settings.dns_names, at=at, random=random, marking=world.platform.marking)
    return State(phase=phase, authorities=pki.renew(root, names=settings.dns_names, at=at, random=random))
