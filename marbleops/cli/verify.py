"""``verify``: the customer's one command, from the quote to the people who approved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.exits import Exit
from marbleops.cli.options import TrustOptions, path_option, repository_option, trust_options
from marbleops.cli.output import BAD, GOOD, NOTE, printer, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from marbleops.attestation.verdict import Check
    from marbleops.cli.output import Printer
    from marbleops.wire.verify import VerifiedDeployment


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
def verify(
    *,
    trust: TrustOptions,
    deployment: str | None,
    state: Path | None,
    remember: bool,
    repository: Path,
    manifest_path: str | None,
) -> int:
    """Check a running deployment as its customer.

    Goes from a fresh quote to the root certificate, the history, the deployment id, the enforced manifest and
    the people who approved it. The first good check under --deployment is kept; every later one must continue
    that history.

    Exit codes: 0 it is the deployment you know; 7 genuine, but NOT PINNED; 6 not genuine, a fork, a rollback
    or another deployment; 5 nobody answers.
    """
    from marbleops.cli.trust import fresh_nonce, now, resolved, trust_of
    from marbleops.wire.pins import PinStore
    from marbleops.wire.rest import CoordinatorClient
    from marbleops.wire.verify import verify_deployment

    options = resolved(trust)
    assert options.coordinator is not None, "resolved() saw to it"
    wanted = trust_of(options)
    pins = PinStore(_pins_file(state))
    with CoordinatorClient(options.coordinator) as client:
        try:
            found = verify_deployment(
                client, wanted, pins, expect_deployment=_digest(deployment), nonce=fresh_nonce(), at=now()
            )
        except Exception as error:
            _show_checks(printer(), getattr(error, "checks", ()))
            raise
        if remember:
            _remember(client, found, repository, manifest_path)
    out = printer()
    out.document({"verdict": "verified" if found.pinned else "not-pinned", **_document(found, options)})
    _show(out, found, options)
    return Exit.OK if found.pinned else Exit.NOT_PINNED


def _document(found: VerifiedDeployment, options: TrustOptions) -> dict[str, Any]:
    from marbleops.approval.decision import counted_to_json
    from marbleops.approval.policy import read_policy
    from marbleops.approval.satisfiability import satisfiability_words

    source = found.source
    return {
        "deployment": str(found.deployment),
        "root": found.root,
        "lineage": found.lineage,
        "version": found.version,
        "digest": str(found.digest),
        "pinned": found.pinned,
        "trustDomain": found.attested.verdict.trust_domain,
        "buildChecked": options.era is not None,
        "position": len(found.records) - 1,
        "head": str(found.head),
        "class": found.records[-1].change_class,
        "weakens": list(found.weakens),
        "approvals": [counted_to_json(counted) for counted in found.approvals],
        "source": {"url": source.url, "revision": source.revision} if source is not None else None,
        "mayChange": list(satisfiability_words(read_policy(found.manifest))),
        "checks": [
            {"name": check.name, "ok": check.ok, "expected": check.expected, "found": check.found}
            for check in found.checks
        ],
    }


def _show(out: Printer, found: VerifiedDeployment, options: TrustOptions) -> None:
    from marbleops.approval.policy import read_policy
    from marbleops.approval.satisfiability import satisfiability_words

    if out.as_json:
        return
    verdict = found.attested.verdict
    domain = "SIMULATED quote, no hardware" if verdict.trust_domain != "intel" else "genuine SGX"
    out.mark(GOOD, f"{domain}, TCB {verdict.status or 'unknown'}")
    if options.era is not None:
        out.mark(GOOD, "the Coordinator is the build that the era file names")
    else:
        out.mark(NOTE, "which build of the Coordinator it is was not checked (--era)")
    out.mark(GOOD, f"root certificate {found.root}")
    out.mark(GOOD, f"history of {len(found.records)} transitions, unbroken, signed by the root")
    out.mark(GOOD if found.pinned else NOTE, f"deployment {found.deployment}")
    out.mark(GOOD, f"enforces version {found.version} of {visible(found.lineage)}, manifest {found.digest}")
    for counted in found.approvals:
        out.mark(GOOD, f"approved by {visible(counted.user)} ({counted.kind}, {counted.fingerprint})")
    for words in found.weakens:
        out.mark(NOTE, f"this version weakened: {visible(words)}")
    if found.source is not None:
        source = f"{visible(found.source.url)} {visible(found.source.revision)}"
        out.mark(NOTE, f"from {source} (the reconciler's claim)")
    for words in satisfiability_words(read_policy(found.manifest)):
        out.mark(NOTE, visible(words))
    if not found.pinned:
        out.line(
            "NOT PINNED: nobody said which deployment to expect, so this may be anybody's.", style="bold red"
        )
        out.line(f"  next: ask its owner for the id, then add --deployment {found.deployment}", style="cyan")


def _show_checks(out: Printer, checks: Iterable[Check]) -> None:
    """Show what failed; the good ones are counted, for they would push it off the screen."""
    checks = tuple(checks)
    good = sum(check.ok for check in checks)
    if good:
        out.mark(GOOD, f"{good} checks passed before (-o json lists them)")
    for check in checks:
        if not check.ok:
            out.mark(BAD, f"{check.name}: expected {visible(check.expected)}, found {visible(check.found)}")


def _digest(text: str | None) -> Any:
    from marbleops.cli.errors import UsageProblem
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
