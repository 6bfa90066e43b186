"""The options of ``collateral``: which platform, which sources, which cache; and what they open."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from marbleops.cli.errors import UsageProblem
from marbleops.cli.files import read_bytes
from marbleops.cli.output import notices

if TYPE_CHECKING:
    from collections.abc import Callable

    from marbleops.attestation.anchors import Anchors
    from marbleops.collateral.assemble import AmdPlatform, IntelPlatform
    from marbleops.collateral.cache import CollateralCache
    from marbleops.collateral.documents import Key, Update
    from marbleops.collateral.provider import CollateralProvider

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MAX_EVIDENCE_FILE = 64 * 1024
_MAX_ANCHOR_FILE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Which sources to ask, in which order, and how to reach them."""

    sources: tuple[str, ...]
    tls_ca: Path | None
    proxy: str | None
    anchor: Path | None
    insecure_simulation: bool


def cache_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--cache``: the folder of the cache."""
    return click.option(
        "--cache",
        "folder",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="MARBLEOPS_COLLATERAL_CACHE",
        help="Folder of the cache. Default: ~/.cache/marbleops/collateral.",
    )(function)


def anchor_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--anchor`` and ``--insecure-simulation``."""
    anchor = click.option(
        "--anchor", type=FILE, help="Root certificate of a simulation platform; needs --insecure-simulation."
    )
    simulation = click.option(
        "--insecure-simulation", is_flag=True, help="Take what a simulation platform signed for Intel's."
    )
    return anchor(simulation(function))


def source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of :class:`SourceOptions` and hand them to *function* as ``reach``."""
    options: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
        click.option(
            "--source",
            "sources",
            metavar="URL",
            multiple=True,
            envvar="MARBLEOPS_COLLATERAL_SOURCES",
            help="A source, [pcs:|pccs:|kds:]URL; may be repeated, asked in this order."
            " Default: Intel's PCS and AMD's KDS.",
        ),
        click.option(
            "--tls-ca", type=FILE, help="Authorities for the sources' TLS, in place of the system's."
        ),
        click.option("--proxy", metavar="HOST:PORT", help="HTTP proxy to reach https sources through."),
        anchor_options,
    ]

    @wraps(function)
    def with_sources(**values: Any) -> Any:
        names = ("sources", "tls_ca", "proxy", "anchor", "insecure_simulation")
        return function(reach=SourceOptions(**{name: values.pop(name) for name in names}), **values)

    decorated: Callable[..., Any] = with_sources
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def platform_named(
    evidence: Path | None, fmspc: str | None, ca: str | None, tee: str, product: str | None
) -> IntelPlatform | AmdPlatform:
    """Return the platform that the evidence or the options name."""
    from marbleops.attestation.snp.report import ProductLine
    from marbleops.attestation.verdict import Tee
    from marbleops.collateral.assemble import IntelPlatform, UnknownPlatformError, platform_of

    if (evidence is None) == (fmspc is None):
        raise UsageProblem("give either --evidence FILE or --fmspc HEX with --ca")
    if evidence is not None:
        line = None if product is None else ProductLine(product)
        try:
            return platform_of(read_bytes(evidence, limit=_MAX_EVIDENCE_FILE), line)
        except UnknownPlatformError as error:
            raise UsageProblem(
                str(error),
                where=str(evidence),
                next_step="name it: --fmspc HEX --ca platform|processor --tee sgx|tdx (SNP: --product)",
            ) from error
    if fmspc is None or ca is None:
        raise UsageProblem(
            "--fmspc needs --ca: processor for desktop and E3 chips, platform for Xeon Scalable"
        )
    return IntelPlatform(tee=Tee(tee), fmspc=fmspc.upper(), ca=ca)


def needs_of(platform: IntelPlatform | AmdPlatform, update: Update) -> tuple[Key, ...]:
    """Return the documents that a platform needs."""
    from marbleops.collateral.assemble import IntelPlatform
    from marbleops.collateral.documents import DocumentError

    try:
        return platform.needs(update) if isinstance(platform, IntelPlatform) else platform.needs()
    except DocumentError as error:
        raise UsageProblem(
            str(error), next_step="a FMSPC is 12 hexadecimal digits, such as 00906ED50000"
        ) from error


def open_provider(folder: Path | None, reach: SourceOptions) -> CollateralProvider:
    """Open the cache with the sources that were named, or with Intel's and AMD's own."""
    from marbleops.collateral.provider import CollateralProvider
    from marbleops.collateral.sources import DEFAULT_SOURCES, Source
    from marbleops.collateral.transport import Transport

    served = []
    for text in reach.sources:
        try:
            served.append(Source.parse(text))
        except ValueError as error:
            raise UsageProblem(f"not a source: {error}", where=text[:200]) from error
    transport = Transport(ca_file=reach.tls_ca, proxy=_proxy(reach.proxy))
    anchors = read_anchors(reach.anchor, insecure_simulation=reach.insecure_simulation)
    return CollateralProvider(open_cache(folder), served or DEFAULT_SOURCES, transport, anchors=anchors)


def _proxy(text: str | None) -> tuple[str, int] | None:
    from marbleops.wire.connection import Address

    if text is None:
        return None
    try:
        address = Address.parse(text, default_port=3128)
    except ValueError as error:
        raise UsageProblem(str(error), where="--proxy") from error
    return address.host, address.port


def read_anchors(anchor: Path | None, *, insecure_simulation: bool) -> Anchors:
    """Return Intel's anchors, or those of the simulation platform that was named."""
    from marbleops.attestation.anchors import AnchorError, Anchors

    if (anchor is None) == insecure_simulation:
        raise UsageProblem("--anchor and --insecure-simulation go together")
    if anchor is None:
        return Anchors.intel()
    notices().line(
        "SIMULATION - no hardware protection: anybody who has the platform's files can forge this."
    )
    try:
        return Anchors.simulation(read_bytes(anchor, limit=_MAX_ANCHOR_FILE))
    except AnchorError as error:
        raise UsageProblem(str(error), where=str(anchor)) from error


def open_cache(folder: Path | None, *, must_exist: bool = False) -> CollateralCache:
    """Open the cache that was named, or the user's own."""
    from marbleops.collateral.cache import CacheError, CollateralCache

    if folder is None:
        base = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(base) if base else Path.home() / ".cache") / "marbleops" / "collateral"
    if must_exist and not folder.is_dir():
        raise UsageProblem("there is no cache", where=str(folder), next_step="marbleops collateral fetch")
    try:
        return CollateralCache(folder)
    except CacheError as error:
        raise UsageProblem(str(error), next_step="choose another folder with --cache DIR") from error
