"""``collateral``: fetch what vendors publish about platforms, carry it offline, see how it stands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.collateral_sources import (
    FILE,
    SourceOptions,
    anchor_options,
    cache_option,
    needs_of,
    open_cache,
    open_provider,
    platform_named,
    read_anchors,
    source_options,
)
from marbleops.cli.errors import CommandError, UsageProblem
from marbleops.cli.exits import Exit
from marbleops.cli.files import read_bytes
from marbleops.cli.output import BAD, GOOD, NOTE, notices, printer, visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from marbleops.collateral.assemble import AmdPlatform, IntelPlatform
    from marbleops.collateral.documents import Update
    from marbleops.collateral.provider import CollateralProvider, Held
    from marbleops.collateral.status import EntryStatus


@click.group()
def collateral() -> None:
    """Fetch, carry and watch what Intel and AMD publish about platforms.

    Evidence is judged by it: TCB info, QE identity, certificates and revocation lists.
    """


@collateral.command()
@click.option("--evidence", type=FILE, help="A quote or SNP report: fetch what it needs.")
@click.option("--fmspc", metavar="HEX", help="In place of --evidence: the family of Intel platforms.")
@click.option("--ca", type=click.Choice(["processor", "platform"]), help="With --fmspc: who issued the PCK.")
@click.option("--tee", type=click.Choice(["sgx", "tdx"]), default="sgx", help="With --fmspc. Default: sgx.")
@click.option(
    "--product", type=click.Choice(["Milan", "Genoa", "Turin"]), help="For SNP reports of version 2."
)
@click.option(
    "--update",
    type=click.Choice(["standard", "early"]),
    default="standard",
    help="Which of Intel's TCB sets.",
)
@click.option(
    "--save", metavar="PATH", type=click.Path(path_type=Path), help="Write it where `attest` reads it."
)
@click.option("--again", is_flag=True, help="Ask the sources although documents are held or a wait is on.")
@click.option(
    "--keep", is_flag=True, help="Stay, and renew at half of each document's life, until interrupted."
)
@cache_option
@source_options
def fetch(
    *,
    evidence: Path | None,
    fmspc: str | None,
    ca: str | None,
    tee: str,
    product: str | None,
    update: str,
    save: Path | None,
    again: bool,
    keep: bool,
    folder: Path | None,
    reach: SourceOptions,
) -> int:
    """Fetch the documents that judge a platform's evidence.

    What is held and not past half of its life is not asked for again. --save writes one JSON file for Intel
    (`attest verify --collateral`), in a folder under the name that a Coordinator looks for there, and a
    folder for AMD (`attest verify --certs`).

    Exit codes: 0 everything is held and current, 2 the evidence or an option is not usable, 5 something is
    not to be had: every source is listed with its answer.
    """
    from marbleops.cli.trust import now
    from marbleops.collateral.documents import Update

    platform = platform_named(evidence, fmspc, ca, tee, product)
    wanted, provider = Update(update), open_provider(folder, reach)
    held = _gather(provider, platform, wanted, now(), again=again)
    saved = None if save is None else _save(platform, held, save)
    out = printer()
    out.document(
        {"documents": [_held_document(one) for one in held], "saved": None if saved is None else str(saved)}
    )
    for one in held:
        _print_held(one)
    if saved is not None:
        out.mark(GOOD, f"saved to {visible(str(saved))}")
    if keep:
        _keep(provider, platform, wanted, saved, held)
    return Exit.OK


@collateral.command("export")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--sign-key", type=FILE, help="Ed25519 private key (PEM or OpenSSH) to sign the bundle with.")
@cache_option
def export(file: Path, sign_key: Path | None, folder: Path | None) -> int:
    """Write every current document of the cache to one FILE, for a site without a network.

    Exit codes: 0 written, 2 nothing to export, or the key or a path is not usable.
    """
    from marbleops.cli.trust import now
    from marbleops.collateral import bundle, limits
    from marbleops.collateral.cache import replace_file

    at = now()
    key = None
    if sign_key is not None:
        try:
            key = bundle.load_signing_key(read_bytes(sign_key, limit=limits.MAX_KEY_FILE_BYTES))
        except bundle.BundleError as error:
            raise UsageProblem(str(error), where=str(sign_key)) from error
    cache = open_cache(folder)
    current = [entry for entry in cache.entries()[0] if entry.usable(at)]
    if not current:
        raise UsageProblem(
            "the cache holds no current document",
            where=str(cache.directory),
            next_step="marbleops collateral fetch",
        )
    raw = bundle.export_bundle(current, created=at, signing_key=key)
    replace_file(file, raw, mode=0o644)
    packed = bundle.read_bundle(raw)
    first = min(entry.document.expires for entry in current)
    out = printer()
    out.document(
        {
            "file": str(file),
            "documents": len(current),
            "digest": packed.digest,
            "signer": None if packed.signer is None else packed.signer.hex(),
            "firstExpiry": first.isoformat(),
        }
    )
    out.mark(GOOD, f"{len(current)} documents in {visible(str(file))}, the first expires {_day(first)}")
    out.line(f"  digest {packed.digest}")
    out.line(f"  {_signed_by(packed.signer)}")
    return Exit.OK


@collateral.command("import")
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--signer", type=FILE, help="Public key (PEM or OpenSSH) that must have signed the bundle.")
@cache_option
@anchor_options
def import_(
    file: Path, signer: Path | None, folder: Path | None, anchor: Path | None, insecure_simulation: bool
) -> int:
    """Take the documents of a bundle into the cache, except where newer ones are held.

    The vendors' signatures are checked here and again whenever a document is used; --signer says in addition
    who must have packed the bundle.

    Exit codes: 0 taken, 2 a file is not usable, 6 the bundle is damaged, of another signer, or holds what
    its vendor has not signed.
    """
    from marbleops.collateral import bundle, limits

    key = None
    if signer is not None:
        try:
            key = bundle.load_signer(read_bytes(signer, limit=limits.MAX_KEY_FILE_BYTES))
        except bundle.BundleError as error:
            raise UsageProblem(str(error), where=str(signer)) from error
    anchors = read_anchors(anchor, insecure_simulation=insecure_simulation)
    try:
        packed = bundle.read_bundle(read_bytes(file, limit=limits.MAX_BUNDLE_BYTES), signer=key)
    except bundle.BundleError as error:
        raise CommandError(
            f"the bundle is refused: {error}",
            exit_code=Exit.UNTRUSTED,
            where=str(file),
            next_step="get it again from whoever exported it; compare the digest that export printed",
        ) from error
    done = bundle.import_bundle(packed, open_cache(folder), anchors=anchors)
    out = printer()
    out.document(
        {
            "digest": packed.digest,
            "signer": None if packed.signer is None else packed.signer.hex(),
            "created": packed.created.isoformat(),
            "stored": [str(key) for key in done.stored],
            "kept": [{"document": str(key), "reason": why} for key, why in done.kept],
            "refused": [{"document": str(key), "reason": why} for key, why in done.refused],
        }
    )
    out.line(f"packed {_day(packed.created)}, {_signed_by(packed.signer)}")
    for one in done.stored:
        out.mark(GOOD, str(one))
    for one, why in done.kept:
        out.mark(NOTE, f"{one}: kept what is held, the bundle {why}")
    for one, why in done.refused:
        out.mark(BAD, f"{one}: {visible(why)}")
    return Exit.UNTRUSTED if done.refused else Exit.OK


@collateral.command()
@cache_option
def status(folder: Path | None) -> int:
    """Show what the cache holds, how long it lasts, and which sources failed last.

    Exit codes: 0, also where something has expired (look at `state` in the JSON answer), 2 no such cache.
    """
    from marbleops.cli.trust import now
    from marbleops.collateral.status import cache_status

    at = now()
    found = cache_status(open_cache(folder, must_exist=True), at)
    out = printer()
    out.document(
        {"documents": [_status_document(one) for one in found.entries], "damaged": list(found.damaged)}
    )
    rows = [
        (
            str(one.key),
            one.state.value,
            _life(one.seconds_to_expiry),
            _day(one.fetched_at),
            visible(one.source),
        )
        for one in found.entries
    ]
    out.table(("DOCUMENT", "STATE", "EXPIRES", "FETCHED", "SOURCE"), rows)
    for one in found.entries:
        if one.failures:
            retry = "" if one.retry_at is None else f", next attempt {_day(one.retry_at)}"
            out.mark(BAD, f"{one.key}: the last attempt failed{retry}")
        for cause in one.failures:
            out.line(f"    {visible(cause)}")
    for name in found.damaged:
        out.mark(BAD, f"{visible(name)} is damaged; the next fetch replaces it")
    if not found.entries and not found.damaged:
        out.line("the cache is empty")
    return Exit.OK


def _gather(
    provider: CollateralProvider,
    platform: IntelPlatform | AmdPlatform,
    update: Update,
    at: datetime,
    *,
    again: bool,
) -> list[Held]:
    """Get every document, also after a failure: one look must tell everything that is missing."""
    from marbleops.collateral.provider import CollateralUnavailableError, Effort

    held, missing = [], []
    effort = Effort.ALWAYS if again else Effort.IF_DUE
    for key in needs_of(platform, update):
        try:
            held.append(provider.get(key, at, effort))
        except CollateralUnavailableError as error:
            missing.append(str(error))
    if missing:
        raise CommandError(
            "\n".join(
                (f"{len(missing)} of {len(held) + len(missing)} documents are not to be had", *missing)
            ),
            exit_code=Exit.UNREACHABLE,
            next_step="repair or add a source (--source URL), then: marbleops collateral fetch --again ...",
        )
    return held


def _keep(
    provider: CollateralProvider,
    platform: IntelPlatform | AmdPlatform,
    update: Update,
    saved: Path | None,
    held: Sequence[Held],
) -> None:
    """Renew what is due, again and again; what fails is told and tried later."""
    import time

    from marbleops.cli.errors import translate
    from marbleops.cli.trust import now

    needs = needs_of(platform, update)
    sys.stdout.flush()
    while True:
        at = now()
        time.sleep((provider.step(at, needs) - at).total_seconds())
        try:
            renewed = _gather(provider, platform, update, now(), again=False)
        except CommandError as error:
            notices().failure(translate(error))
            continue
        before = {one.entry for one in held}
        for one in renewed:
            if one.stale is not None or one.entry not in before:
                _print_held(one)
        sys.stdout.flush()
        if saved is not None and {one.entry for one in renewed} != before:
            _save(platform, renewed, saved)
        held = renewed


def _save(platform: IntelPlatform | AmdPlatform, held: Sequence[Held], path: Path) -> Path:
    from marbleops.collateral.assemble import IntelPlatform, amd_files, intel_collateral
    from marbleops.collateral.cache import replace_file

    documents = [one.document for one in held]
    if isinstance(platform, IntelPlatform):
        if path.is_dir():
            path /= f"{platform.fmspc}{'.tdx' if platform.tee == 'tdx' else ''}.json"
        replace_file(path, intel_collateral(documents).to_json().encode(), mode=0o644)
        return path
    path.mkdir(parents=True, exist_ok=True)
    for name, content in amd_files(documents).items():
        replace_file(path / name, content, mode=0o644)
    return path


def _print_held(held: Held) -> None:
    out, document = printer(), held.document
    number = "" if document.number is None else f", number {document.number}"
    text = f"{document.key}: issued {_day(document.issued)}, expires {_day(document.expires)}{number}"
    if held.stale is None:
        out.mark(GOOD, text)
        return
    out.mark(NOTE, f"{text}; no newer one:")
    for line in str(held.stale).splitlines()[1:]:
        out.line(f"    {visible(line)}")


def _held_document(held: Held) -> dict[str, Any]:
    document = held.document
    return {
        **document.key.to_json(),
        "source": held.entry.source,
        "issued": document.issued.isoformat(),
        "expires": document.expires.isoformat(),
        "number": document.number,
        "stale": None if held.stale is None else list(held.stale.failure.causes),
    }


def _status_document(one: EntryStatus) -> dict[str, Any]:
    return {
        **one.key.to_json(),
        "state": one.state.value,
        "source": one.source,
        "fetchedAt": one.fetched_at.isoformat(),
        "age": one.age,
        "issued": one.issued.isoformat(),
        "expires": one.expires.isoformat(),
        "secondsToExpiry": one.seconds_to_expiry,
        "dueAt": one.due_at.isoformat(),
        "number": one.number,
        "failures": list(one.failures),
        "retryAt": None if one.retry_at is None else one.retry_at.isoformat(),
    }


def _signed_by(signer: bytes | None) -> str:
    return "not signed" if signer is None else f"signed by Ed25519 key {signer.hex()}"


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _life(seconds: int) -> str:
    amount = abs(seconds)
    text = (
        f"{amount // 86400} d"
        if amount >= 2 * 86400
        else f"{amount // 3600} h"
        if amount >= 7200
        else f"{amount // 60} min"
    )
    return f"in {text}" if seconds >= 0 else f"{text} ago"
