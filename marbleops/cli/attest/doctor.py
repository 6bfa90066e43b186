"""``attest doctor``: each thing that a quote of this machine needs, and what to do where it lacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from marbleops.attestation.anchors import Anchors
from marbleops.attestation.collateral import Collateral, CollateralError
from marbleops.attestation.explain.codes import CODES
from marbleops.attestation.explain.dates import documents_of
from marbleops.attestation.explain.envelope import Envelope, Form
from marbleops.attestation.verdict import Tee
from marbleops.cli.attest import inputs, machine
from marbleops.cli.exits import Exit
from marbleops.cli.output import BAD, GOOD, NOTE, printer, visible

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.attestation.evidence import Endorsements
    from marbleops.attestation.verdict import Verdict

_REPORT_DATA = b"marbleops attest doctor"
_FETCH = "marbleops collateral fetch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; ``to_do`` is there for every one that is not well."""

    name: str
    kind: str
    words: str
    to_do: str = ""


@dataclass(slots=True)
class Examination:
    """What is found and asked on the way."""

    at: datetime
    findings: list[Finding] = field(default_factory=list)
    evidence: bytes | None = None
    endorsements: Endorsements | None = None
    anchors: Anchors | None = None

    def note(self, name: str, kind: str, words: str, to_do: str = "") -> None:
        """Write a finding down."""
        self.findings.append(Finding(name=name, kind=kind, words=words, to_do=to_do))


def doctor(
    *,
    simulation_dir: Path | None,
    enclave: Path | None,
    collateral: Path | None,
    cache: Path | None,
    manifest: Path | None,
    system_root: Path,
) -> int:
    """Examine the machine, or the simulation in *simulation_dir*.

    Raises:
        UsageProblem: a file cannot be used.
        PlatformError: *simulation_dir* is no simulation platform.
    """
    seen = Examination(at=datetime.now(tz=UTC))
    if simulation_dir is not None:
        _simulated(seen, simulation_dir, enclave)
    else:
        _hardware(seen, system_root)
    if collateral is not None:
        _read(seen, collateral)
    _life(seen)
    if cache is not None:
        _cache(seen, cache)
    verdict = _verify(seen, manifest)
    if manifest is not None:
        _admit(seen, verdict, manifest)
    out = printer()
    out.document({"findings": [_document(one) for one in seen.findings]})
    for one in seen.findings:
        out.mark(one.kind, f"{one.name}: {visible(one.words)}")
        if one.to_do:
            out.line(f"  to do: {visible(one.to_do)}", style="cyan")
    return Exit.REFUSED if any(one.kind == BAD for one in seen.findings) else Exit.OK


def _document(one: Finding) -> dict[str, Any]:
    return {"name": one.name, "state": one.kind, "found": one.words, "toDo": one.to_do or None}


def _simulated(seen: Examination, folder: Path, enclave: Path | None) -> None:
    from marbleops.attestation.platform.measure import measure
    from marbleops.attestation.platform.simulation import SimulationPlatform

    simulated = SimulationPlatform.open(folder)
    seen.anchors, seen.endorsements = simulated.anchors(), simulated.collateral()
    seen.note("platform", NOTE, f"a simulation in {folder}: it protects nothing")
    if enclave is None:
        seen.note("quote", NOTE, "not asked for", "add --enclave ENCLAVE.JSON")
        return
    seen.evidence = simulated.issuer(measure(enclave)).quote(_REPORT_DATA)
    seen.note("quote", GOOD, f"the platform quotes: {len(seen.evidence)} bytes")


def _hardware(seen: Examination, root: Path) -> None:
    found = machine.look(root)
    if found.kinds:
        seen.note("platform", GOOD, ", ".join(found.kinds))
    else:
        to_do = (
            "enable SGX in the BIOS and load the driver (Linux 5.11 or later), or use a confidential guest"
        )
        seen.note("platform", BAD, "no /dev/attestation, /dev/sgx_*, /dev/tdx_guest or /dev/sev-guest", to_do)
    if found.sgx_host:
        words = "answers at /var/run/aesmd/aesm.socket" if found.aesm else "is not there"
        to_do = "" if found.aesm else "install sgx-aesm-service with the DCAP quote provider, and start aesmd"
        seen.note("quoting service", GOOD if found.aesm else BAD, words, to_do)
    try:
        seen.evidence = machine.quote_of(found, _REPORT_DATA)
    except machine.NoQuoteError as error:
        kind = NOTE if found.sgx_host else BAD
        seen.note("quote", kind, str(error), error.to_do)
    else:
        seen.note("quote", GOOD, f"the platform quotes: {len(seen.evidence)} bytes")


def _given(collateral: Path | None) -> inputs.Given:
    return inputs.Given(collateral=collateral, certs=None, root=None, at=None, allow_debug=True)


def _read(seen: Examination, file: Path) -> None:
    try:
        seen.endorsements = inputs.read_endorsements(_given(file))
    except CollateralError as error:
        seen.note("collateral", BAD, f"{file} cannot be used: {error}", _FETCH)


def _life(seen: Examination) -> None:
    given = seen.endorsements
    if not isinstance(given, Collateral):
        seen.note("collateral", NOTE, "none was given, so nothing is verified", "add --collateral FILE")
        return
    documents = documents_of(given, Tee.SGX) if '"SGX"' in given.tcb_info else documents_of(given, Tee.TDX)
    stale = [one for one in documents if not one.current(seen.at)]
    for one in stale:
        seen.note(
            "collateral", BAD, f"{one.name} was good until {one.ends}", f"{_FETCH}; look at the clock, too"
        )
    ends = [one.ends for one in documents if one.ends is not None]
    if not stale and ends:
        left = (min(ends) - seen.at).days
        seen.note("collateral", GOOD, f"fresh for another {left} days")


def _cache(seen: Examination, folder: Path) -> None:
    from marbleops.collateral.cache import CacheError, CollateralCache
    from marbleops.collateral.status import State, cache_status

    try:
        status = cache_status(CollateralCache(folder), seen.at)
    except CacheError as error:
        seen.note("cache", BAD, str(error), "give the folder that the Coordinator uses")
        return
    for name in status.damaged:
        seen.note("cache", BAD, f"{name} is damaged", f"delete it, then {_FETCH}")
    for entry in status.entries:
        if entry.state is State.EXPIRED:
            seen.note("cache", BAD, f"{entry.key} expired at {entry.expires}", _FETCH)
        for cause in entry.failures[:1]:
            seen.note("cache", NOTE, f"{entry.key} could not be renewed: {cause}", "look at that source")
    if not status.entries:
        seen.note("cache", BAD, "it is empty", _FETCH)
    elif all(entry.state is not State.EXPIRED for entry in status.entries) and not status.damaged:
        seen.note("cache", GOOD, f"{len(status.entries)} documents, none expired")


def _verify(seen: Examination, manifest: Path | None) -> Verdict | None:
    if seen.evidence is None or seen.endorsements is None:
        return None
    anchors = seen.anchors or Anchors.intel()
    found = Envelope(form=Form.RAW, evidence=seen.evidence)
    verdict = inputs.verdict_on(_given(None), found, seen.endorsements, anchors, at=seen.at)
    if not verdict.accepted:
        seen.note("verification", BAD, f"{verdict.code}: {verdict.detail}", CODES[verdict.code].to_do)
        return verdict
    seen.note("verification", GOOD, f"verifies, TCB status {verdict.status}")
    if verdict.report is not None and verdict.report.debug and manifest is None:
        seen.note("debug", NOTE, "it is a debug enclave: its host can read it", "build it without debug")
    return verdict


def _admit(seen: Examination, verdict: Verdict | None, manifest: Path) -> None:
    from marbleops.attestation.explain.nearest import nearest
    from marbleops.cli.attest.packages import read_packages

    closest = nearest(verdict, read_packages(manifest)) if verdict is not None else None
    if closest is None:
        seen.note(
            "manifest", NOTE, "not compared: there is no verdict on an enclave, or no package", "see above"
        )
        return
    if closest.admitted:
        seen.note("manifest", GOOD, f"package {closest.package} admits it")
        return
    words = "; ".join(f"{one.name} is {one.found}, not {one.expected}" for one in closest.differs)
    to_do = (
        closest.impossible or "marbleops attest explain QUOTE --manifest shows the change that would admit it"
    )
    seen.note("manifest", BAD, f"closest package {closest.package}: {words}", to_do)
