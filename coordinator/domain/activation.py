"""May this evidence be this marble, and what does it get (marblerun-core 4.4, 4.5, 5.5).

``admit`` decides on a verified quote, ``parameters`` renders what an admitted marble receives, ``count``
writes it into the ledger. The order of refusals is MarbleRun's: evidence before budget, both before UUID and
CSR. A manifest's infrastructures change nothing, as their contents do not in MarbleRun; unlike there, they do
not hide the reason of a refusal either (A13).
"""

from __future__ import annotations

import uuid as uuids
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from coordinator.domain import rendering, secrets
from coordinator.domain.leaf import issue_leaf
from coordinator.domain.secrets import is_made_for_each_marble
from coordinator.domain.ttls import ttls_config
from coordinator.errors import (
    ActivationFailedError,
    InvalidMarbleRequestError,
    MarblePhaseError,
    MarbleRefusedError,
)
from marbleops.attestation.appraisal import ReferenceValues, appraise
from marbleops.attestation.binding import marble_report_data
from marbleops.attestation.verdict import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from coordinator.domain.making import Making
    from coordinator.domain.state import Ledger, State
    from marbleops.attestation.verdict import Verdict
    from marbleops.manifest.model import File, Manifest, Marble, Package

MAX_MARBLE_TYPE_CHARS = 1024
MAX_PARAMETERS_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""Names and contents together: what a gRPC client takes as one message, less what the encoding adds."""


_BRIEF_TEMPLATES_BYTES = 64 * 1024
_BRIEF_KEY_PAIRS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationRequest:
    """What a marble asks with; ``peer_certificate`` is the one of its TLS connection."""

    marble_type: str
    uuid: str
    csr: bytes = field(repr=False)
    peer_certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A marble whose evidence is good. ``attested`` is what a quote proved about the package."""

    marble_type: str
    marble: Marble
    attested: tuple[tuple[str, str, int], int] | None
    uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedParameters:
    """Files, environment and arguments for one marble. Not in the repr."""

    files: Mapping[str, bytes] = field(repr=False)
    env: Mapping[str, bytes] = field(repr=False)
    argv: tuple[str, ...]


def is_brief(manifest: Manifest, marble_type: str) -> bool:
    """Say whether an activation takes milliseconds: small templates, few keys, and none of RSA.

    A type that the manifest does not have is refused, which is brief.
    """
    marble = manifest.marbles.get(marble_type)
    if marble is None:
        return True
    made = [one.type for one in manifest.secrets.values() if is_made_for_each_marble(one)]
    given = marble.parameters
    templates = sum(len(file.data) for file in (*given.files.values(), *given.env.values()))
    return "cert-rsa" not in made and len(made) <= _BRIEF_KEY_PAIRS and templates <= _BRIEF_TEMPLATES_BYTES


def admit(state: State, request: ActivationRequest, verdict: Verdict | None) -> Admission:
    """Decide whether the marble is what the manifest asks for; *verdict* None is an accepted empty quote.

    Raises:
        MarblePhaseError: nothing is enforced yet.
        MarbleRefusedError: unknown type, wrong evidence, wrong package, or no activation left.
        InvalidMarbleRequestError: the UUID cannot be read.
    """
    enforcement = state.enforcement
    if enforcement is None:
        raise MarblePhaseError
    marble = enforcement.manifest.marbles.get(request.marble_type)
    if marble is None:
        raise MarbleRefusedError("unknown marble type requested")
    package = enforcement.packages.get(marble.package)
    if package is None:
        raise MarbleRefusedError(f'undefined package "{marble.package}"')
    attested = None if verdict is None else _appraise(marble.package, package, request, verdict)
    check_budget(state.ledger, request.marble_type, marble)
    return Admission(
        marble_type=request.marble_type, marble=marble, attested=attested, uuid=parse_uuid(request.uuid)
    )


def check_budget(ledger: Ledger, marble_type: str, marble: Marble) -> None:
    """Refuse an activation beyond ``MaxActivations``.

    Raises:
        MarbleRefusedError: none is left.
    """
    if 0 < marble.max_activations <= ledger.activations.get(marble_type, 0):
        raise MarbleRefusedError(
            f'reached max activations count ({marble.max_activations}) for marble type "{marble_type}"'
        )


def count(ledger: Ledger, admission: Admission) -> Ledger:
    """Return the ledger after *admission*; the same ledger if there is nothing to remember.

    Raises:
        MarbleRefusedError: another activation took the last one.
    """
    check_budget(ledger, admission.marble_type, admission.marble)
    if admission.marble.max_activations > 0:
        activations = dict(ledger.activations)
        activations[admission.marble_type] = activations.get(admission.marble_type, 0) + 1
        ledger = replace(ledger, activations=MappingProxyType(activations))
    if admission.attested is not None:
        build, version = admission.attested
        if version > ledger.attested.get(build, -1):
            ledger = replace(ledger, attested=MappingProxyType({**ledger.attested, build: version}))
    return ledger


def parameters(state: State, admission: Admission, *, csr: bytes, making: Making) -> RenderedParameters:
    """Issue the marble's certificate and render its files, environment and arguments.

    Raises:
        ActivationFailedError: the CSR is unusable, a secret is not there yet, a template cannot be rendered,
        or the result is too large for an answer; the activation is not counted then.
    """
    enforcement = state.enforcement
    assert enforcement is not None
    leaf = issue_leaf(
        state.authorities,
        csr=csr,
        uuid=admission.uuid,
        marble_type=admission.marble_type,
        at=making.at,
        random=making.random,
    )
    credentials = rendering.Credentials(authorities=state.authorities, leaf=leaf)
    current, previous = _secrets(state, admission, making)
    reserved = rendering.reserved_env(credentials)
    connections = ttls_config(
        enforcement.manifest,
        admission.marble,
        leaf=leaf,
        marble_root=state.authorities.marble_root,
        secrets=current,
    )
    if connections is not None:
        reserved["MARBLE_TTLS_CONFIG"] = connections
    resolve = rendering.resolver(
        credentials, enforcement.manifest.secrets, current=current, previous=previous
    )
    given = admission.marble.parameters
    room = MAX_PARAMETERS_BYTES - sum(len(argument.encode()) for argument in given.argv)
    room = _reserve(room, len(connections or b""))
    files, room = _render_all(given.files, rendering.render_file, resolve, room)
    env, _ = _render_all(given.env, rendering.render_env, resolve, room)
    return RenderedParameters(files=files, env={**env, **reserved}, argv=given.argv)


def _render_all(
    entries: Mapping[str, File],
    render: Callable[[str, File, rendering.Resolve], bytes],
    resolve: rendering.Resolve,
    room: int,
) -> tuple[dict[str, bytes], int]:
    """Render *entries* within *room* bytes; return them and the room that is left."""
    rendered = {}
    for name, file in sorted(entries.items()):
        rendered[name] = render(name, file, resolve)
        room = _reserve(room, len(name.encode()) + len(rendered[name]))
    return rendered, room


def _reserve(room: int, size: int) -> int:
    if size > room:
        raise ActivationFailedError(
            f"customizing marble parameters: they have more than {MAX_PARAMETERS_BYTES} bytes together"
        )
    return room - size


def parse_uuid(text: str) -> str:
    """Read a UUID in the forms MarbleRun takes and return its canonical text.

    The nil UUID is refused: MarbleRun gives it the shared placeholders (marblerun-core A1).

    Raises:
        InvalidMarbleRequestError: not a UUID.
    """
    plain = text
    if len(plain) == 45 and plain[:9].lower() == "urn:uuid:":
        plain = plain[9:]
    elif len(plain) == 38:
        plain = plain[1:-1]
    dashes = [index for index, char in enumerate(plain) if char == "-"]
    shaped = (len(plain) == 36 and dashes == [8, 13, 18, 23]) or (len(plain) == 32 and not dashes)
    digits = plain.replace("-", "")
    if not shaped or not all(char in "0123456789abcdefABCDEF" for char in digits):
        raise InvalidMarbleRequestError(
            "invalid UUID: expected 36 characters such as 01234567-89ab-4cde-8f01-23456789abcd"
        )
    parsed = uuids.UUID(digits)
    if parsed.int == 0:
        raise InvalidMarbleRequestError("invalid UUID: the nil UUID names no marble")
    return str(parsed)


def _appraise(
    name: str, package: Package, request: ActivationRequest, verdict: Verdict
) -> tuple[tuple[str, str, int], int] | None:
    reference = ReferenceValues(
        debug=package.debug,
        unique_id=package.unique_id,
        signer_id=package.signer_id,
        product_id=package.product_id,
        security_version=package.security_version,
        accepted_tcb_statuses=package.accepted_tcb_statuses,
        accepted_advisories=package.accepted_advisories,
    )
    appraisal = appraise(verdict, reference, report_data=marble_report_data(request.peer_certificate))
    if not appraisal.accepted:
        raise MarbleRefusedError(f"invalid quote: {appraisal.reason} (package {name!r})")
    report = verdict.report
    if not isinstance(report, Report):
        raise MarbleRefusedError("invalid quote: no report of an SGX enclave")
    if package.signer_id is None or package.product_id is None:
        return None
    return (name, report.signer_id.hex(), report.product_id), report.security_version


def _secrets(
    state: State, admission: Admission, making: Making
) -> tuple[secrets.MarbleSecrets, secrets.MarbleSecrets]:
    """Give the secrets as this marble sees them: under the current root secret and under the previous one."""
    enforcement = state.enforcement
    assert enforcement is not None
    kept = enforcement.secrets
    marble_name = "" if admission.marble.disable_secret_binding else admission.marble_type
    current, previous = (
        secrets.for_marble(
            enforcement.manifest.secrets,
            stored,
            root_secret=root,
            uuid=admission.uuid,
            marble_name=marble_name,
            issuer=state.authorities.marble_root,
            making=making,
        )
        for stored, root in (
            (state.current_secrets, kept.root),
            (kept.previous, kept.previous_root),
        )
    )
    return current, previous
