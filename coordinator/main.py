"""The composition root: settings to adapters to service to the two servers, and an orderly end.

Exit codes: 0 after a signal, 1 when the state, the platform or a port forbids to start or a write ended in
doubt, 2 for wrong settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog

from coordinator.adapters.gramine import Hardware
from coordinator.adapters.journal import configure_logging
from coordinator.adapters.metrics import CONTENT_TYPE, Metrics
from coordinator.adapters.system import forbid_core_files
from coordinator.api.gate import ActivationGate
from coordinator.api.listener import ListenLimits
from coordinator.api.monitoring import Sources, serve_monitoring
from coordinator.api.routes import Caller
from coordinator.api.servers import serve_mesh, serve_rest
from coordinator.api.tls import TlsLimits
from coordinator.core import Core, Options, Ports
from coordinator.domain.ownership import Rules
from coordinator.domain.phase import Phase
from coordinator.errors import CoordinatorError, ManifestRefusedError
from coordinator.opening import open_state, open_world
from coordinator.service import Service
from coordinator.settings import Settings, SettingsError, read_settings
from marbleops.manifest.digest import Digest
from marbleops.manifest.limits import MAX_MANIFEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.guard import Guard
    from coordinator.opening import World

DOUBT_SECONDS = 0.5
"""Between two looks whether a write ended in doubt."""

ACTIVATIONS_AT_ONCE = 3
EXECUTOR_THREADS = ACTIVATIONS_AT_ONCE + 1
"""Few, since an enclave reserves each: those for marbles, and one for decisions and readers beside them."""

MAX_PARKED = 2048
"""Connections of one port that are only accepted, see ``api.listener``."""

SPARE_DESCRIPTORS = 64
"""A port, for everything that is no connection."""

EMPTY_QUOTE_WARNING = (
    "INSECURE: EDG_COORDINATOR_INSECURE_EMPTY_QUOTE=1 admits marbles without any quote, as any package."
)
_log = structlog.get_logger("coordinator")


class _Server(Protocol):
    """What listens, whichever port it is."""

    @property
    def port(self) -> int: ...

    def close(self) -> None: ...

    async def wait_closed(self) -> None: ...


def main(environ: Mapping[str, str], *, hardware: Hardware | None = None) -> int:
    """Run a Coordinator until a signal ends it; return the exit code.

    Only a test gives *hardware*: the environment is the host's, and must not be able to.
    """
    forbid_core_files()
    try:
        settings = read_settings(environ, cwd=Path.cwd())
    except SettingsError as error:
        print(f"coordinator: cannot start:\n{error}", file=sys.stderr)  # noqa: T201 - before there is a log
        return 2
    configure_logging(
        debug=settings.debug_logging or settings.developer_mode, readable=settings.developer_mode
    )
    try:
        world = open_world(settings, hardware or Hardware())
        warnings = _warnings(settings, world)
        store, guard = open_state(settings, world)
        try:
            metrics = _metrics(settings, world, guard)
            service = _start_service(settings, world, guard, warnings, metrics)
            asyncio.run(_run(settings, service, guard, metrics))
        finally:
            store.close()
    except CoordinatorError as error:
        _log.error("cannot_start", reason=str(error))
        return 1
    except OSError as error:
        _log.error("cannot_start", reason=f"{error.strerror}: {error.filename or 'a port'}")
        return 1
    if guard.in_doubt:
        _log.error(
            "stopped", reason="a write ended in doubt; start again: the next process looks what is durable"
        )
        return 1
    _log.info("stopped")
    return 0


def _warnings(settings: Settings, world: World) -> tuple[str, ...]:
    empty = (EMPTY_QUOTE_WARNING,) if settings.accept_empty_quotes else ()
    warnings = (*world.platform.warnings(), *empty)
    for warning in warnings:
        _log.warning("insecure", warning=warning)
    return warnings


def _metrics(settings: Settings, world: World, guard: Guard) -> Metrics:
    metrics = Metrics(
        version=version("marbleops"),
        commit="",
        # In doubt nobody can tell the state; the process ends at once.
        phase=lambda: 0 if guard.in_doubt else int(guard.current.phase),
        label_uuid=settings.metrics_uuid,
    )
    lives = world.platform.collateral_lives
    if lives is not None:
        metrics.watch_collateral(lambda: lives(world.clock.now()))
    return metrics


def _start_service(
    settings: Settings, world: World, guard: Guard, warnings: tuple[str, ...], metrics: Metrics
) -> Service:
    ports = Ports(
        issuer=world.platform.issuer(),
        verifier=world.platform.quote_verifier(),
        clock=world.clock,
        entropy=world.entropy,
        observer=metrics,
    )
    options = Options(
        platform=world.platform.name,
        warnings=warnings,
        genesis_digest=settings.genesis_digest,
        accept_empty_quotes=settings.accept_empty_quotes,
        rules=Rules(allow_security_version_decrease=settings.allow_security_version_decrease),
        collateral=world.platform.published_collateral,
    )
    service = Service(Core(guard, ports, options))
    if settings.startup_manifest is not None:
        _set_startup_manifest(service, settings.startup_manifest)
    return service


def _set_startup_manifest(service: Service, path: Path) -> None:
    """Set EDG_STARTUP_MANIFEST where nothing was ever set; saved state always wins (quirk A28).

    A restart finds its state and goes on, whatever the file says by now; and a state that waits for recovery
    is never replaced by a file of the host's.

    Raises:
        ManifestRefusedError: it is needed, and it cannot be read or was refused.
    """
    state = service.snapshot()
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        if state.phase is Phase.ACCEPTING_MANIFEST:
            words = f"EDG_STARTUP_MANIFEST: {path}: {error.strerror or 'cannot be read'}"
            raise ManifestRefusedError(words) from error
        raw = b""
    if state.phase is Phase.ACCEPTING_MANIFEST:
        service.set_manifest(raw)
        return
    enforced = state.enforcement.manifest.digest if state.enforcement else None
    if enforced != Digest.of(raw):
        _log.warning(
            "startup_manifest_ignored",
            reason="there is saved state already, and a file does not replace it",
            file=str(Digest.of(raw)) if raw else "unreadable",
            enforced=str(enforced) if enforced else None,
            phase=state.phase.name,
        )


async def _run(settings: Settings, service: Service, guard: Guard, metrics: Metrics) -> None:
    """Serve until SIGTERM or SIGINT, or until the state is in doubt; then let running calls finish."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    limits = _limits(settings)
    gate = ActivationGate(at_once=ACTIVATIONS_AT_ONCE, waiting=settings.load.waiting_activations)
    with ThreadPoolExecutor(EXECUTOR_THREADS, thread_name_prefix="coordinator") as executor:
        loop.set_default_executor(executor)  # names are resolved by the same threads: there are no others
        caller = Caller(service, executor)
        client, mesh = settings.client, settings.mesh
        servers: dict[str, _Server] = {
            "clientPort": await serve_rest(
                caller, host=client.host, port=client.port, limits=limits, observer=metrics
            ),
            "meshPort": await serve_mesh(
                caller, host=mesh.host, port=mesh.port, limits=limits, gate=gate, observer=metrics
            ),
        }
        if settings.monitoring is not None:
            sources = Sources(
                metrics=metrics.page,
                metrics_type=CONTENT_TYPE,
                events=metrics.events,
                obstacle=lambda: obstacle(service, guard),
            )
            servers["monitoringPort"] = await serve_monitoring(
                sources, host=settings.monitoring.host, port=settings.monitoring.port
            )
        _announce(settings, service, {name: server.port for name, server in servers.items()})
        async with asyncio.TaskGroup() as group:
            for name, server in servers.items():
                group.create_task(_until(stop, server), name=name)
            group.create_task(end_in_doubt(stop, guard), name="doubt")


def _limits(settings: Settings) -> TlsLimits:
    """Turn the settings into limits, and ask the kernel for the descriptors that waiting connections take."""
    load = settings.load
    parked = _descriptors() // 2 - load.connections - SPARE_DESCRIPTORS
    return TlsLimits(
        noise=settings.http_error_log_level,
        listen=ListenLimits(
            connections=load.connections,
            connections_per_source=min(load.connections, load.connections_per_source),
            parked=max(0, min(MAX_PARKED, parked)),
        ),
    )


def _descriptors() -> int:
    """Return how many descriptors this process may have, after asking for as many as it can use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * (MAX_PARKED + SPARE_DESCRIPTORS) + 4096
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if found == resource.RLIM_INFINITY else found


def obstacle(service: Service, guard: Guard) -> str | None:
    """Say why marbles are not served; None: they are."""
    if guard.in_doubt:
        return "a write ended in doubt; this process ends"
    view = service.status()
    return None if view.phase is Phase.ACCEPTING_MARBLES else f"state {int(view.phase)}: {view.message}"


async def end_in_doubt(stop: asyncio.Event, guard: Guard) -> None:
    """End a process that cannot say what is durable: whoever supervises it starts one that looks."""
    while not stop.is_set() and not guard.in_doubt:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), DOUBT_SECONDS)
    _log.info("stopping", reason="doubt" if guard.in_doubt else "signal")
    stop.set()


async def _until(stop: asyncio.Event, server: _Server) -> None:
    try:
        await stop.wait()
    finally:
        server.close()
    await server.wait_closed()


def _announce(settings: Settings, service: Service, ports: Mapping[str, int]) -> None:
    root = Digest.of(service.snapshot().authorities.root.certificate_der)
    _log.info("serving", **ports, root=str(root), phase=service.status().phase.name)
    if settings.ready_file is not None:
        _write_ready_file(settings.ready_file, {"pid": os.getpid(), **ports, "root": str(root)})


def _write_ready_file(path: Path, document: Mapping[str, object]) -> None:
    """Write the ready file in one step: who sees it sees all of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)  # of a process that had our number and was killed
    # Never through a link that somebody put there, and never writable for others whatever the umask is.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, 0o644), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(json.dumps(document) + "\n")
    draft.replace(path)
