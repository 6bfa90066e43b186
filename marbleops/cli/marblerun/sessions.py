"""MarbleRun's trust logic for its verbs (marblerun-api-cli-k8s 2), with its weak points closed.

*Attested* commands check a fresh quote against the era file and pin the root it vouches for. *Cached* ones
take the certificate that ``manifest set`` or ``manifest verify`` kept. Nothing is ever downloaded, no file
can switch verification off, and the nonce is random unless one is given.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from marbleops.cli.errors import CommandError, UsageProblem
from marbleops.cli.exits import Exit
from marbleops.cli.files import read_bytes, write_private
from marbleops.cli.marblerun.advice import RECOVERY, refused, state_of
from marbleops.cli.marblerun.options import ClientOptions, client_options
from marbleops.cli.output import notices
from marbleops.cli.trust import MAX_SMALL_FILE, fresh_nonce, now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marbleops.attestation.appraisal import ReferenceValues
    from marbleops.attestation.collateral import Collateral
    from marbleops.wire.attest import Trust
    from marbleops.wire.identity import ClientIdentity
    from marbleops.wire.marblerun.session import Certificates, Introduction, Session

MAX_COLLATERAL = 16 * 1024 * 1024
INSECURE_WARNING = "--insecure: the Coordinator is NOT verified; anybody could be answering"
ERA_HELP = (
    "get the era file of the Coordinator's release from somebody you trust and give it with --era-config "
    "FILE (or save it as ./era-config.json), it is never downloaded silently; for a simulation platform give "
    "--anchor FILE --insecure-simulation"
)
_UNTRUSTED = {
    "host-name": "call it by a name in its certificate, or add yours to its EDG_COORDINATOR_DNS_NAMES",
    "no-quote": "MarbleRun's simulation has no quotes; --insecure takes its word for everything",
    "no-collateral": "give Intel's collateral for its platform with --collateral FILE",
    "manifest-mismatch": "marbleops manifest get HOST (shows the one that is enforced)",
}
"""What to do about a Coordinator that is not trusted, where it is not simply to stay away from it."""


@contextmanager
def attested_session(host: str) -> Iterator[tuple[Session, Introduction]]:
    """Open a session on a Coordinator whose quote was just checked; unchecked under ``--insecure``.

    Raises:
        UsageProblem: the flags do not say what to check against.
        CommandError: it is not the wanted Coordinator, or nobody answers.
    """
    options = client_options()
    nonce = options.nonce.encode() if options.nonce is not None else fresh_nonce()
    with _session(host, None) as session:
        if options.insecure:
            notices().line(INSECURE_WARNING, style="bold yellow")
            introduction = session.trust_on_first_use(nonce=nonce)
        else:
            introduction = session.attest(_trust(options), nonce=nonce, at=now())
            _tell_verdict(introduction)
        if options.save_sgx_quote is not None:
            _save_quote(options, introduction)
        yield session, introduction


@contextmanager
def cached_session(host: str, identity: ClientIdentity | None = None) -> Iterator[Session]:
    """Open a session on the Coordinator whose certificate is kept; on anybody under ``--insecure``.

    Raises:
        UsageProblem: no certificate is kept yet.
        CommandError: another one is presented, or nobody answers.
    """
    options = client_options()
    with _session(host, identity) as session:
        if options.insecure:
            notices().line(INSECURE_WARNING, style="bold yellow")
            session.trust_nobody()
        else:
            session.pin(load_cache(options).root)
        try:
            yield session
        except Exception as error:
            if getattr(error, "code", "") != "certificate-changed":
                raise
            raise _changed(host, options) from error


def load_cache(options: ClientOptions) -> Certificates:
    """Read the kept certificates.

    Raises:
        UsageProblem: there are none, or the file holds something else.
    """
    from marbleops.wire.marblerun.session import Certificates

    file = options.coordinator_cert
    if not file.exists():
        raise UsageProblem(
            "no verified Coordinator certificate is kept here yet",
            where=str(file),
            next_step="marbleops manifest verify FILE HOST:PORT checks and keeps it; manifest set does too",
        )
    try:
        return Certificates.from_pem(read_bytes(file, limit=MAX_SMALL_FILE))
    except ValueError as error:
        raise UsageProblem(str(error), where=str(file)) from error


def check_cache() -> None:
    """Refuse to keep certificates in a file that holds something else, before anything is changed.

    Raises:
        UsageProblem: the file is another one, like a user's certificate.
    """
    from marbleops.wire.marblerun.session import Certificates

    file = client_options().coordinator_cert
    if not file.exists():
        return
    try:
        Certificates.from_pem(read_bytes(file, limit=MAX_SMALL_FILE))
    except ValueError as error:
        raise UsageProblem(
            "this file would be overwritten, and holds no Coordinator's certificates",
            where=str(file),
            next_step="give another --coordinator-cert, or remove the file",
        ) from error


def save_cache(introduction: Introduction) -> None:
    """Keep the certificates of a Coordinator for the cached commands."""
    if introduction.verdict is None:
        notices().line(
            "the certificate that is kept for later commands was NOT verified", style="bold yellow"
        )
    write_private(client_options().coordinator_cert, introduction.certificates.pem)


@contextmanager
def _session(host: str, identity: ClientIdentity | None) -> Iterator[Session]:
    from marbleops.wire.attest import UntrustedCoordinator
    from marbleops.wire.envelope import CoordinatorError
    from marbleops.wire.marblerun.session import Session

    try:
        session = Session(host, identity=identity)
    except ValueError as error:
        raise UsageProblem(str(error), next_step="write HOST:PORT, like localhost:4433") from error
    with session:
        try:
            yield session
        except CoordinatorError as error:
            raise refused(error, host, session) from error
        except UntrustedCoordinator as error:
            step = _UNTRUSTED.get(error.code)
            if step is None:
                raise  # with all its checks
            step = step.replace("HOST", host)
            raise CommandError(error.reason, exit_code=Exit.UNTRUSTED, where=host, next_step=step) from error


def _trust(options: ClientOptions) -> Trust:
    from marbleops.cli.options import TrustOptions
    from marbleops.cli.trust import trust_of

    shared = TrustOptions(anchor=options.anchor, insecure_simulation=options.insecure_simulation)
    reference = _reference(options)
    if reference is None and options.anchor is None:
        raise UsageProblem("nothing says which Coordinator build to expect", next_step=ERA_HELP)
    return replace(trust_of(shared), reference=reference, collateral=_collateral(options))


def _reference(options: ClientOptions) -> ReferenceValues | None:
    """Read the era file; flags on the command line win over what it says."""
    from marbleops.wire.era import read_era

    if options.era_config is None:
        if options.accepted_tcb_statuses or options.accepted_advisories:
            raise UsageProblem("accepted statuses and advisories belong to an era file", next_step=ERA_HELP)
        return None
    text = read_bytes(options.era_config, limit=MAX_SMALL_FILE)
    where = str(options.era_config)
    try:
        reference = read_era(text.decode("utf-8"))
    except ValueError as error:
        step = ERA_HELP
        if b"InsecureSkipVerify" in text:
            step = (
                "remove InsecureSkipVerify: a file may not switch verification off (--insecure does, aloud)"
            )
        raise UsageProblem(f"not an era file: {error}", where=where, next_step=step) from error
    if reference.unique_id is None and not (reference.product_id and reference.security_version):
        # marblerun-api-cli-k8s 2, check 3: zero is what an enclave has whose builder never thought of it.
        raise UsageProblem("ProductID and SecurityVersion must not be 0 without a UniqueID", where=where)
    if options.accepted_tcb_statuses is not None:
        reference = replace(reference, accepted_tcb_statuses=options.accepted_tcb_statuses)
    if options.accepted_advisories is not None:
        reference = replace(reference, accepted_advisories=options.accepted_advisories)
    return reference


def _collateral(options: ClientOptions) -> Collateral | None:
    from marbleops.attestation.collateral import Collateral, CollateralError

    if options.collateral is None:
        return None
    try:
        return Collateral.from_json(read_bytes(options.collateral, limit=MAX_COLLATERAL).decode("utf-8"))
    except (CollateralError, ValueError, RecursionError) as error:
        raise UsageProblem(f"not collateral: {error}", where=str(options.collateral)) from error


def _tell_verdict(introduction: Introduction) -> None:
    verdict = introduction.verdict
    if verdict is None or verdict.status is None or verdict.status.value == "UpToDate":
        return
    advisories = f" ({', '.join(verdict.advisories)})" if verdict.advisories else ""
    notices().line(f"the Coordinator's platform is {verdict.status.value}{advisories}: accepted as you asked")


def _save_quote(options: ClientOptions, introduction: Introduction) -> None:
    assert options.save_sgx_quote is not None, "asked for"
    if not introduction.quote:
        raise CommandError(
            "the Coordinator has no quote to save (it runs without SGX)",
            exit_code=Exit.REFUSED,
            where=str(options.save_sgx_quote),
        )
    write_private(options.save_sgx_quote, introduction.quote)


def _changed(host: str, options: ClientOptions) -> CommandError:
    """Explain why the kept certificate does not fit: most often, recovery mode."""
    if _says_recovery(host):
        what = (
            "the Coordinator is not verified: it presents another certificate than the one you keep. It says "
            "(unproven) that it is in recovery mode, where it serves a temporary one until it is recovered"
        )
        step = f"marbleops recover SECRET {host} --key KEY; the kept certificate fits again after that"
    else:
        what = "the Coordinator presents another certificate than the one you keep: it is a new deployment"
        what += ", another Coordinator, or an impostor"
        step = f"marbleops manifest verify FILE {host} (checks it, and keeps its certificate if it is right)"
    return CommandError(
        what, exit_code=Exit.UNTRUSTED, where=f"{host} ({options.coordinator_cert})", next_step=step
    )


def _says_recovery(host: str) -> bool:
    from marbleops.wire.marblerun.session import Session

    with Session(host) as session:
        session.trust_nobody()
        return state_of(session) == RECOVERY
