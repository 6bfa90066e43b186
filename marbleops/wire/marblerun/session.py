"""A connection to a Coordinator on which MarbleRun's calls are made, and what it trusts.

Three ways to begin, as in MarbleRun's command line (marblerun-api-cli-k8s 2, trust logic):
``attest`` checks a fresh quote and pins the root certificate it vouches for; ``pin`` takes a root certificate
that was attested before; ``trust_on_first_use`` and ``trust_nobody`` are what ``--insecure`` asks for.
Nothing is sent before one of them.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote as percent

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from marbleops.attestation.collateral import Collateral, CollateralError
from marbleops.wire.attest import MAX_CHAIN_CHARACTERS, UntrustedCoordinator, attest_certificate
from marbleops.wire.connection import (
    MAX_ANSWER_BYTES,
    MAX_STRANGER_BYTES,
    Address,
    PinnedHttps,
    UnexpectedCertificate,
)
from marbleops.wire.envelope import CoordinatorError, Reading, data_object, open_envelope

if TYPE_CHECKING:
    from datetime import datetime

    from marbleops.attestation.verdict import Verdict
    from marbleops.wire.attest import Standing, Trust
    from marbleops.wire.identity import ClientIdentity

CONNECT_SECONDS = 5.0
CALL_SECONDS = 60.0
MAX_CERTIFICATES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """The Coordinator's intermediate and root certificate."""

    intermediate: x509.Certificate
    root: x509.Certificate

    @classmethod
    def from_pem(cls, pem: bytes) -> Certificates:
        """Read intermediate, then root.

        Raises:
            ValueError: not both of them, in this order, and nothing else.
        """
        try:
            found = x509.load_pem_x509_certificates(pem)
        except x509.InvalidVersion as error:
            raise ValueError(str(error)) from error
        if len(found) != 2:
            raise ValueError(f"expected intermediate and root certificate, found {len(found)}")
        intermediate, root = found
        if intermediate.issuer != root.subject:
            raise ValueError("the first certificate is not issued by the second")
        return cls(intermediate=intermediate, root=root)

    @property
    def pem(self) -> bytes:
        """Both as PEM, intermediate first."""
        return self.intermediate.public_bytes(Encoding.PEM) + self.root_pem

    @property
    def root_pem(self) -> bytes:
        """The root as PEM."""
        return self.root.public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What a Coordinator showed first: its certificates, its quote and, unless unverified, the verdict."""

    certificates: Certificates
    quote: bytes = field(repr=False)
    verdict: Verdict | None


class Session:
    """One Coordinator to call. Not for several threads at once."""

    def __init__(self, address: str, *, identity: ClientIdentity | None = None) -> None:
        self.address = Address.parse(address)
        self._https = PinnedHttps(
            self.address, connect_timeout=CONNECT_SECONDS, timeout=CALL_SECONDS, identity=identity
        )
        self._limit: int | None = None
        self.root: x509.Certificate | None = None
        self.standing: Standing | None = None
        """What the attested quote says of phase and manifest, until a call of this session changes it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._https.close()

    def attest(self, trust: Trust, *, nonce: bytes, at: datetime) -> Introduction:
        """Check a quote over *nonce* and pin the root certificate it vouches for.

        Raises:
            UntrustedCoordinator: evidence, enclave, certificate or host name is not the wanted one.
            CoordinatorUnreachable, CoordinatorError: no answer, or none of the interface's form.
        """
        try:
            return self._attest(trust, nonce, at)
        except BaseException:
            self._forget()
            raise

    def _attest(self, trust: Trust, nonce: bytes, at: datetime) -> Introduction:
        presented, answer = self._ask_for_quote(nonce)
        collateral = trust.collateral or self._collateral()
        attested = attest_certificate(
            presented, answer, trust=trust, collateral=collateral, nonce=nonce, at=at
        )
        certificates = _certificates(answer)
        self.pin(certificates.root)
        self.standing = attested.standing
        return Introduction(certificates=certificates, quote=_quote_bytes(answer), verdict=attested.verdict)

    def require_phase(self, *phases: int) -> None:
        """Refuse to send to a Coordinator whose quote says that it stands elsewhere.

        Whoever has the root key of one deployment could otherwise show the quote of that one and take what is
        meant for another (ADR 8).

        Raises:
            CoordinatorError: MarbleRun's own words for it.
        """
        if self.standing is not None and self.standing.phase not in phases:
            raise CoordinatorError(500, "error", "server is not in expected state")
        self.standing = None

    def trust_on_first_use(self, *, nonce: bytes) -> Introduction:
        """Pin whatever root certificate the Coordinator names, without a look at its quote.

        Raises:
            UntrustedCoordinator: it names none, or one that is not for this host.
            CoordinatorUnreachable, CoordinatorError: no answer, or none of the interface's form.
        """
        try:
            presented, answer = self._ask_for_quote(nonce)
            certificates = _certificates(answer)
            if certificates.root.public_bytes(Encoding.DER) != presented:
                words = "the connection presents another certificate than the root that is named"
                raise UntrustedCoordinator(words, code="certificate-mismatch")
            self.pin(certificates.root)
            return Introduction(certificates=certificates, quote=_quote_bytes(answer), verdict=None)
        except BaseException:
            self._forget()
            raise

    def pin(self, root: x509.Certificate) -> None:
        """Speak only to a server that presents *root* and whose name stands in it.

        Raises:
            UntrustedCoordinator: this host does not stand in the certificate.
        """
        check_host(root, self.address.host)
        self.root = root
        self._https.pin = root.public_bytes(Encoding.DER)
        self._limit = MAX_ANSWER_BYTES

    def trust_nobody(self) -> None:
        """Speak to whoever answers; for questions whose answer does not matter."""
        self._limit = MAX_STRANGER_BYTES

    def get(self, path: str) -> Any:
        """GET a call of version 2 and return its data.

        Raises:
            CoordinatorError: refused, or not of the interface's form.
            CoordinatorUnreachable: no whole answer.
            UntrustedCoordinator: another certificate than the pinned one.
        """
        return self._call("GET", path, None)

    def post(self, path: str, value: Any = None) -> Any:
        """POST *value* as JSON; as ``get``."""
        return self._call("POST", path, json.dumps(value).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> Any:
        if self._limit is None:
            raise RuntimeError("a session says whom it trusts before it calls")
        try:
            answer = self._https.request(
                method, f"/api/v2/{path}", body, repeatable=body is None, limit=self._limit
            )
        except UnexpectedCertificate as error:
            raise UntrustedCoordinator(str(error), code="certificate-changed") from error
        return open_envelope(answer)

    def _ask_for_quote(self, nonce: bytes) -> tuple[bytes, Any]:
        presented = self._https.fresh()
        # The connection of this certificate must also carry the quote.
        self._https.pin = presented
        self._limit = MAX_STRANGER_BYTES
        query = percent(base64.urlsafe_b64encode(nonce).decode())
        return presented, self.get(f"quote?nonce={query}" if nonce else "quote")

    def _forget(self) -> None:
        """Trust nobody after a failure: no call may follow on a connection that was not attested."""
        self._https.close()
        self._https.pin = self._limit = self.root = self.standing = None

    def _collateral(self) -> Collateral:
        # Untrusted carriage: its own signatures and the anchor decide what it is worth.
        try:
            return Collateral.from_json(json.dumps(self.get("collateral")))
        except (CollateralError, RecursionError) as error:
            raise CoordinatorError(200, "malformed", f"collateral: {error}") from error
        except CoordinatorError as error:
            if error.http != 405:
                raise
            words = "this Coordinator serves no collateral to judge its quote by (MarbleRun's does not)"
            raise UntrustedCoordinator(words, code="no-collateral") from error


def check_host(certificate: x509.Certificate, host: str) -> None:
    """Check that *host* stands among the certificate's names, as a TLS client does.

    Raises:
        UntrustedCoordinator: it does not; the text names what does.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = [str(one) for one in names.get_values_for_type(x509.IPAddress)]
        domains = [one.lower() for one in names.get_values_for_type(x509.DNSName)]
    except (x509.ExtensionNotFound, ValueError):
        addresses, domains = [], []
    try:
        if str(ipaddress.ip_address(host)) in addresses:
            return
    except ValueError:
        wanted = host.lower().removesuffix(".")
        _, _, parent = wanted.partition(".")
        if wanted in domains or (parent and f"*.{parent}" in domains):
            return
    valid = ", ".join((*domains, *addresses)) or "no host"
    raise UntrustedCoordinator(
        f"the Coordinator's certificate is for {valid}, not for {host}", code="host-name"
    )


def _certificates(answer: Any) -> Certificates:
    pem = data_object(answer).get("cert")
    if not isinstance(pem, str) or len(pem) > MAX_CHAIN_CHARACTERS:
        raise UntrustedCoordinator("the answer holds no certificate chain", code="malformed")
    try:
        return Certificates.from_pem(pem.encode())
    except ValueError as error:
        raise UntrustedCoordinator(f"the certificate chain: {error}", code="certificate-chain") from error


def _quote_bytes(answer: Any) -> bytes:
    encoded = data_object(answer).get("quote")
    with Reading():
        return base64.b64decode(encoded or "", validate=True)
