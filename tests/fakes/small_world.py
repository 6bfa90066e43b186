"""A Coordinator's service in memory: real domain, guard and sealing, and a platform that only pretends."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from coordinator.adapters.memory import MemoryStore
from coordinator.adapters.sealer import AesGcmSealer, SealingKeys
from coordinator.core import Core, Options, Ports
from coordinator.domain import pki
from coordinator.domain.activation import ActivationRequest
from coordinator.domain.phase import Phase
from coordinator.domain.state import State
from coordinator.guard import load
from coordinator.service import Service
from coordinator.vault import Vault, VaultPorts, open_vault
from marbleops.attestation.binding import marble_report_data
from marbleops.attestation.verdict import INSECURE_SIMULATION, Code, Report, TcbStatus, Verdict
from tests.fakes import shop

if TYPE_CHECKING:
    from coordinator.guard import Guard
    from coordinator.ports import Store

NAMES = ("localhost", "coordinator.example", "10.1.2.3")


@dataclass(slots=True)
class FakeEntropy:
    """A counter, hashed: deterministic, and never the same twice."""

    label: str = ""
    drawn: int = 0

    def bytes(self, count: int) -> bytes:
        """Return the next *count* bytes."""
        self.drawn += 1
        return hashlib.shake_256(f"{self.label}/{self.drawn}".encode()).digest(count)


@dataclass(slots=True)
class FakeClock:
    """Goes on by a second each time it is read."""

    time: datetime = field(default_factory=lambda: datetime(2026, 11, 23, 12, 0, tzinfo=UTC))

    def now(self) -> datetime:
        """Return the next second."""
        self.time += timedelta(seconds=1)
        return self.time


class FakePlatform:
    """Quotes are plain text ``signer product version debug report-data``; what reads so verifies."""

    def quote(self, report_data: bytes) -> bytes:
        """Quote this Coordinator."""
        return quote_text(report_data, signer=bytes(32), product=3, version=3)

    def verify(self, evidence: bytes, at: datetime) -> Verdict:
        """Read the text."""
        assert at.tzinfo is not None
        try:
            signer, product, version, debug, report_data = evidence.decode().split(" ")
        except ValueError:
            return _verdict(Code.EVIDENCE_HEADER, None)
        report = Report(
            unique_id=bytes(32),
            signer_id=bytes.fromhex(signer),
            product_id=int(product),
            security_version=int(version),
            debug=debug == "True",
            report_data=bytes.fromhex(report_data).ljust(64, b"\0"),
            cpu_svn=bytes(16),
            misc_select=0,
            attributes=bytes(16),
            isv_family_id=bytes(16),
            isv_ext_prod_id=bytes(16),
            config_id=bytes(64),
            config_svn=0,
        )
        return _verdict(Code.OK, report)


def quote_text(
    report_data: bytes, *, signer: bytes, product: int, version: int, debug: bool = False
) -> bytes:
    """Write a pretended quote."""
    return f"{signer.hex()} {product} {version} {debug} {report_data.hex()}".encode()


def _verdict(code: Code, report: Report | None) -> Verdict:
    return Verdict(
        code=code,
        status=TcbStatus.UP_TO_DATE if report else None,
        advisories=(),
        report=report,
        checks=(),
        trust_domain=INSECURE_SIMULATION,
        detail="pretended",
    )


@dataclass(slots=True)
class SmallWorld:
    """Opens Coordinators over one store, again and again: each ``open`` is a restart."""

    store: Store = field(default_factory=MemoryStore)
    keys: SealingKeys = field(default_factory=lambda: SealingKeys(unique=b"u" * 32, product=b"p" * 32))
    options: Options = field(default_factory=lambda: Options(platform="simulation"))
    entropy: FakeEntropy = field(default_factory=FakeEntropy)
    clock: FakeClock = field(default_factory=FakeClock)
    root: pki.KeyPair | None = None
    aside: dict[str, Store] = field(default_factory=dict)

    def vault(self) -> Vault:
        """Open the vault."""
        return open_vault(self.vault_ports())

    def vault_ports(self) -> VaultPorts:
        """Return the world as the vault sees it."""
        return VaultPorts(
            store=self.store,
            platform=AesGcmSealer(self.keys, self.entropy),
            entropy=self.entropy,
            memory=MemoryStore,
            set_aside=self._set_aside,
        )

    def _set_aside(self, suffix: str) -> Store:
        self.aside[suffix] = self.store
        self.store = MemoryStore()
        return self.store

    def fresh(self) -> State:
        """Return a fresh state; the root is made once, for speed."""
        if self.root is None:
            self.root = pki.create_root(names=NAMES, at=self.clock.now(), random=self.entropy.bytes)
        authorities = pki.renew(self.root, names=NAMES, at=self.clock.now(), random=self.entropy.bytes)
        return State(phase=Phase.ACCEPTING_MANIFEST, authorities=authorities)

    def load(self) -> Guard:
        """Open the store."""
        return load(self.fresh(), self.vault())

    def open(self, guard: Guard | None = None) -> Service:
        """Start a service on the store."""
        platform = FakePlatform()
        ports = Ports(issuer=platform, verifier=platform, clock=self.clock, entropy=self.entropy)
        return Service(Core(guard or self.load(), ports, self.options))

    def enforce_genesis(self, raw: bytes | None = None) -> tuple[Service, bytes]:
        """Start a service and enforce a first manifest."""
        service, raw = self.open(), raw or shop.manifest()
        decision = service.update(raw, shop.genesis_evidence(raw), dry_run=False, source=None)
        assert decision.outcome == "applied", decision.summary
        return service, raw


CERTIFICATE = b"the marble's TLS certificate"


def activation(
    marble: str = "backend", *, uuid: str = "02030400-0000-4000-8000-0000000000AB", csr: bytes = b""
) -> ActivationRequest:
    """Return a marble's request."""
    return ActivationRequest(marble_type=marble, uuid=uuid, csr=csr, peer_certificate=CERTIFICATE)


def marble_quote(marble: str = "backend", *, version: int = 1, debug: bool = False) -> bytes:
    """Return a marble's pretended quote."""
    product = {"backend": shop.PRODUCT, "frontend": 16}[marble]
    return quote_text(
        marble_report_data(CERTIFICATE), signer=shop.SIGNER, product=product, version=version, debug=debug
    )


def make_csr() -> bytes:
    """Return a marble's certificate request, without names."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(_MARBLE_KEY, hashes.SHA384()).public_bytes(Encoding.DER)


_MARBLE_KEY = ec.derive_private_key(20261123, ec.SECP384R1())
