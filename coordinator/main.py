"""The composition root: settings to adapters to service to the two servers, and an orderly end.

Exit codes: 0 after a signal, 1 when the state, the platform or a port forbids to start or a write ended in
doubt, 2 for wrong settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from coordinator.adapters.dcap import DcapVerifier
from coordinator.adapters.journal import configure_logging
from coordinator.api.routes import Caller
from coordinator.api.servers import serve_mesh, serve_rest
from coordinator.core import Core, Options, Ports
from coordinator.domain.phase import Phase
from coordinator.errors import (
    CoordinatorError,
    ManifestRefusedError,
    WrongPhaseError,
)
from coordinator.opening import open_state, open_world
from coordinator.service import Service
from coordinator.settings import SIMULATION, Settings, SettingsError, read_settings
from marbleops.attestation.platform.simulation import PlatformError
from marbleops.manifest.digest import Digest
from marbleops.manifest.limits import MAX_MANIFEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.api.tls import TlsServer
    from coordinator.guard import Guard
    from coordinator.opening import World

DOUBT_SECONDS = 0.5
"""Between two looks whether a write ended in doubt."""

EXECUTOR_THREADS = 3
"""Few, since an enclave reserves each: one decision at a time, and room for marbles and readers beside it."""

SIMULATION_WARNING = (
    "INSECURE SIMULATION: this Coordinator runs on a simulated platform. Its quotes, its sealing and the "
    "quotes it accepts protect nothing."
)
EMPTY_QUOTE_WARNING = (
    "INSECURE: EDG_COORDINATOR_INSECURE_EMPTY_QUOTE=1 admits marbles without any quote, as any package."
)
_log = structlog.get_logger("coordinator")


def main(environ: Mapping[str, str]) -> int:
    """Run a Coordinator until a signal ends it; return the exit code."""
    try:
        settings = read_settings(environ, cwd=Path.cwd())
    except SettingsError as error:
        print(f"coordinator: cannot start:\n{error}", file=sys.stderr)  # noqa: T201 - before there is a log
        return 2
    configure_logging(debug=settings.developer_mode)
    warnings = (SIMULATION_WARNING, *((EMPTY_QUOTE_WARNING,) if settings.accept_empty_quotes else ()))
    for warning in warnings:
        _log.warning("insecure", warning=warning)
    try:
        world = open_world(settings)
        store, guard = open_state(settings, world)
        try:
            asyncio.run(_run(settings, _start_service(settings, world, guard, warnings), guard))
        finally:
            store.close()
    except (CoordinatorError, PlatformError) as error:
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


def _start_service(settings: Settings, world: World, guard: Guard, warnings: tuple[str, ...]) -> Service:
    ports = Ports(
        issuer=world.platform.issuer(),
        verifier=DcapVerifier(world.platform.verifier(), world.platform.collateral),
        clock=world.clock,
        entropy=world.entropy,
    )
    options = Options(
        platform=SIMULATION,
        warnings=warnings,
        genesis_digest=settings.genesis_digest,
        accept_empty_quotes=settings.accept_empty_quotes,
        collateral=lambda: world.platform.collateral().to_json(),
    )
    service = Service(Core(guard, ports, options))
    if settings.startup_manifest is not None:
        if (
            service.status().phase is not Phase.ACCEPTING_MANIFEST
        ):  # fatal as in MarbleRun (A28), but in words
            raise WrongPhaseError("EDG_STARTUP_MANIFEST is set, but there is saved state already: unset it")
        service.set_manifest(_read_startup_manifest(settings.startup_manifest))
    return service


def _read_startup_manifest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ManifestRefusedError("EDG_STARTUP_MANIFEST names a file that cannot be read") from error


async def _run(settings: Settings, service: Service, guard: Guard) -> None:
    """Serve both ports until SIGTERM or SIGINT, or until the state is in doubt."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with ThreadPoolExecutor(EXECUTOR_THREADS, thread_name_prefix="coordinator") as executor:
        caller = Caller(service, executor)
        rest = await serve_rest(caller, host=settings.client.host, port=settings.client.port)
        mesh = await serve_mesh(caller, host=settings.mesh.host, port=settings.mesh.port)
        root = Digest.of(service.snapshot().authorities.root.certificate_der)
        _log.info(
            "serving", client=rest.port, mesh=mesh.port, root=str(root), phase=service.status().phase.name
        )
        if settings.ready_file is not None:
            _announce(settings.ready_file, rest=rest.port, mesh=mesh.port, root=root)
        async with asyncio.TaskGroup() as group:
            group.create_task(_until(stop, rest), name="rest")
            group.create_task(_until(stop, mesh), name="mesh")
            group.create_task(end_in_doubt(stop, guard), name="doubt")


async def end_in_doubt(stop: asyncio.Event, guard: Guard) -> None:
    """End a process that cannot say what is durable: whoever supervises it starts one that looks."""
    while not stop.is_set() and not guard.in_doubt:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), DOUBT_SECONDS)
    stop.set()


async def _until(stop: asyncio.Event, server: TlsServer) -> None:
    try:
        await stop.wait()
    finally:
        server.close()
    await server.wait_closed()


def _announce(path: Path, *, rest: int, mesh: int, root: Digest) -> None:
    """Write the ready file in one step: who sees it sees all of it."""
    text = json.dumps({"pid": os.getpid(), "meshPort": mesh, "clientPort": rest, "root": str(root)})
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)  # of a process that had our number and was killed
    # Never through a link that somebody put there, and never writable for others whatever the umask is.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, 0o644), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text + "\n")
    draft.replace(path)
