"""Ask a Coordinator, but only after its quote was checked; and say loudly when that quote is simulated."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from marbleops.cli.errors import UsageProblem
from marbleops.cli.files import read_bytes
from marbleops.cli.output import notices

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.cli.options import TrustOptions
    from marbleops.wire.rest import CoordinatorClient, Trust
    from reconciler.settings import Target

NONCE_BYTES = 32
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
MAX_SMALL_FILE = 256 * 1024
SIMULATION_BANNER = (
    "SIMULATION - no hardware protection: anybody who has the platform's files can forge this answer"
)


def now() -> datetime:
    """Return the time at which certificates and collateral are judged."""
    return datetime.now(tz=UTC)


def fresh_nonce() -> bytes:
    """Return a nonce that no earlier quote can hold."""
    return secrets.token_bytes(NONCE_BYTES)


def resolved(options: TrustOptions) -> TrustOptions:
    """Fill in what a reconciler's configuration says; what stands on the command line wins.

    A configuration that names the simulation platform has accepted it: the banner is printed all the same.

    Raises:
        UsageProblem: no Coordinator is named, or the configuration is refused.
    """
    if options.config is None:
        if options.coordinator is None:
            raise UsageProblem(
                "no Coordinator given", next_step="add --coordinator HOST:PORT, or --config FILE"
            )
        return options
    target = target_of(options.config, options.target)
    coordinator = target.coordinator
    anchor = options.anchor or coordinator.anchor
    return replace(
        options,
        coordinator=options.coordinator or coordinator.address,
        era=options.era or coordinator.era,
        anchor=anchor,
        insecure_simulation=options.insecure_simulation or (options.anchor is None and anchor is not None),
        root=options.root or coordinator.pinned_root,
    )


def target_of(config: Path, name: str | None) -> Target:
    """Return a target of a reconciler's configuration.

    Raises:
        UsageProblem: the configuration is refused, or has no such target.
    """
    from reconciler.settings import SettingsError, read_settings

    try:
        return read_settings(config).target(name)
    except SettingsError as error:
        raise UsageProblem(str(error), where=str(config)) from error


def trust_of(options: TrustOptions) -> Trust:
    """Turn resolved options into what must hold.

    Raises:
        UsageProblem: a simulation anchor without ``--insecure-simulation``, or a file of another kind.
    """
    from marbleops.attestation.anchors import Anchors
    from marbleops.wire.connection import Address
    from marbleops.wire.era import read_era
    from marbleops.wire.rest import Trust

    if options.coordinator is not None:
        try:
            Address.parse(options.coordinator)
        except ValueError as error:
            raise UsageProblem(str(error), next_step="write --coordinator HOST:PORT") from error
    if options.anchor is None and options.insecure_simulation:
        raise UsageProblem(
            "--insecure-simulation needs the platform's --anchor", next_step="add --anchor FILE"
        )
    if options.anchor is None:
        anchors = Anchors.intel()
    else:
        if not options.insecure_simulation:
            raise UsageProblem(
                "this anchor is no hardware vendor's: its quotes prove nothing about hardware",
                where=str(options.anchor),
                next_step="add --insecure-simulation if you mean to accept that",
            )
        notices().line(SIMULATION_BANNER, style="bold yellow")
        anchors = Anchors.simulation(_certificate_der(options.anchor))
    if options.root is not None and not _FINGERPRINT.fullmatch(options.root):
        raise UsageProblem(
            "not a fingerprint",
            where=options.root[:80],
            next_step="write sha256: and 64 hex digits",
        )
    reference = None
    if options.era is not None:
        try:
            reference = read_era(read_bytes(options.era, limit=MAX_SMALL_FILE).decode("utf-8"))
        except ValueError as error:
            raise UsageProblem(f"not an era file: {error}", where=str(options.era)) from error
    return Trust(anchors=anchors, reference=reference, pinned_root=options.root, collateral=None)


def attested_client(options: TrustOptions) -> CoordinatorClient:
    """Return a client for a Coordinator whose quote was just checked.

    Raises:
        UsageProblem: no ``--coordinator``.
        CoordinatorUnreachable: nobody answers.
        UntrustedCoordinator: it is not what the options ask for.
    """
    from marbleops.wire.rest import CoordinatorClient

    options = resolved(options)
    assert options.coordinator is not None, "resolved() saw to it"
    trust = trust_of(options)
    client = CoordinatorClient(options.coordinator)
    client.attest(trust, nonce=fresh_nonce(), at=now())
    return client


def _certificate_der(file: Path) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    raw = read_bytes(file, limit=MAX_SMALL_FILE)
    try:
        loaded = (
            x509.load_pem_x509_certificate(raw)
            if raw.startswith(b"-----")
            else x509.load_der_x509_certificate(raw)
        )
    except ValueError as error:
        raise UsageProblem("not an X.509 certificate", where=str(file)) from error
    return loaded.public_bytes(Encoding.DER)
