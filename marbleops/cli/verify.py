"""``verify``: the customer's one command, from the quote to the people who approved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.errors import UsageProblem
from marbleops.cli.exits import Exit
from marbleops.cli.options import TrustOptions, path_option, repository_option, trust_options
from marbleops.cli.output import BAD, GOOD, printer, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from marbleops.attestation.verdict import Check
    from marbleops.cli.output import Printer
    from marbleops.manifest.digest import Digest
    from marbleops.wire.pins import PinStore
    from marbleops.wire.verify import VerifiedDeployment

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)


@click.command()
@trust_options
@click.option(
    "--deployment", metavar="ID", help="Deployment id that must be found. Get it from somebody you trust."
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="MARBLEOPS_PINS",
    help="Where known deployments are kept. Default: ~/.config/marbleops/pins.json.",
)
@click.option(
    "--remember", is_flag=True, help="Also keep the enforced manifest in this clone, for the commit hook."
)
@repository_option
@path_option
@click.option("--save", type=_OUT, help="Also write all the evidence to this file, for verify --from.")
@click.option("--from", "saved", type=_FILE, help="Judge evidence that --save wrote, without any network.")
def verify(
    *,
    trust: TrustOptions,
    deployment: str | None,
    state: Path | None,
    remember: bool,
    repository: Path,
    manifest_path: str | None,
    save: Path | None,
    saved: Path | None,
) -> int:
    """Check a running deployment as its customer.

    Goes from a fresh quote to the root certificate, the history, the deployment id, the enforced manifest and
    the people who approved it; says what changed since the last look, what may run and who may change it. The
    first good check under --deployment is kept; every later one must continue that history.

    Exit codes: 0 it is the deployment you know; 7 genuine, but NOT PINNED; 6 not genuine, a fork, a rollback
    or another deployment; 5 nobody answers.
    """
    from marbleops.cli.verify_words import document, show
    from marbleops.wire.pins import PinStore

    if saved is not None and (save is not None or remember):
        raise UsageProblem("--from judges what was saved", next_step="leave out --save and --remember")
    pins, expected = PinStore(_pins_file(state)), _digest(deployment)
    try:
        if saved is not None:
            options, found = _offline(trust, saved, pins, expected)
        else:
            known = (repository, manifest_path) if remember else None
            options, found = _online(trust, pins, expected, remember_in=known)
    except Exception as error:
        _show_checks(printer(), getattr(error, "checks", ()))
        raise
    if save is not None:
        _save(save, found)
    out = printer()
    built, offline = options.era is not None, saved is not None
    out.document(document(found, build_checked=built, offline=offline))
    show(out, found, build_checked=built, offline=offline)
    return Exit.OK if found.pinned else Exit.NOT_PINNED


def _online(
    trust: TrustOptions,
    pins: PinStore,
    expected: Digest | None,
    *,
    remember_in: tuple[Path, str | None] | None,
) -> tuple[TrustOptions, VerifiedDeployment]:
    """Ask a running Coordinator."""
    from marbleops.cli.trust import fresh_nonce, now, resolved, trust_of
    from marbleops.wire.rest import CoordinatorClient
    from marbleops.wire.verify import verify_deployment

    options = resolved(trust)
    assert options.coordinator is not None, "resolved() saw to it"
    wanted = trust_of(options)
    with CoordinatorClient(options.coordinator) as client:
        found = verify_deployment(
            client, wanted, pins, expect_deployment=expected, nonce=fresh_nonce(), at=now()
        )
        if remember_in is not None:
            _remember(client, found, *remember_in)
    return options, found


def _offline(
    trust: TrustOptions, saved: Path, pins: PinStore, expected: Digest | None
) -> tuple[TrustOptions, VerifiedDeployment]:
    """Judge a file again; no Coordinator need be named."""
    from marbleops.cli.files import read_bytes
    from marbleops.cli.trust import now, resolved, trust_of
    from marbleops.wire.bundle import MAX_BUNDLE_BYTES, read_bundle
    from marbleops.wire.verify import verify_bundle

    options = resolved(trust) if trust.config is not None else trust
    wanted = trust_of(options)
    bundle = read_bundle(read_bytes(saved, limit=MAX_BUNDLE_BYTES))
    return options, verify_bundle(bundle, wanted, pins, expect_deployment=expected, now=now())


def _save(path: Path, found: VerifiedDeployment) -> None:
    from marbleops.cli.files import write_private
    from marbleops.wire.bundle import encode_bundle

    write_private(path, encode_bundle(found.bundle))


def _show_checks(out: Printer, checks: Iterable[Check]) -> None:
    """Show what failed; the good ones are counted, for they would push it off the screen."""
    checks = tuple(checks)
    good = sum(check.ok for check in checks)
    if good:
        out.mark(GOOD, f"{good} checks passed before (-o json lists them)")
    for check in checks:
        if not check.ok:
            out.mark(BAD, f"{check.name}: expected {visible(check.expected)}, found {visible(check.found)}")


def _digest(text: str | None) -> Digest | None:
    from marbleops.manifest.digest import Digest

    if text is None:
        return None
    try:
        return Digest.parse(text)
    except ValueError as error:
        raise UsageProblem(f"not a deployment id: {error}", where=text[:80]) from error


def _pins_file(given: Path | None) -> Path:
    if given is not None:
        return given
    file = Path.home() / ".config" / "marbleops" / "pins.json"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return file


def _remember(client: Any, found: VerifiedDeployment, folder: Path, manifest_path: str | None) -> None:
    from marbleops.cli.base import manifest_path as path_of
    from marbleops.cli.enforced import remember
    from marbleops.cli.git import repository
    from marbleops.cli.preview import known_from

    repo = repository(folder)
    enforced = client.enforced()
    if enforced is not None and enforced.manifest.digest == found.digest:
        remember(repo, known_from(enforced, path_of(repo, manifest_path)), raw=found.manifest.raw)
