"""The simulation platform: a directory that stands for one machine with a software TEE (attestation.md 5).

It proves nothing to anyone and says so: in its certificates, in each quote, in every verdict under its
anchor. It is used only where somebody names it; the verifier never imports it and knows no anchor of it.

A directory holds ``anchor.der`` and ``collateral.json``, which may be handed out, and ``platform.key``, which
is the machine: whoever reads it can quote as any enclave. ``microcode`` appears when that is updated: then
enclaves seal with other keys. Certificates are derived from the key, so that any number of processes may open
the directory read-only at the same time.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from marbleops.attestation.anchors import Anchors
from marbleops.attestation.collateral import Collateral, CollateralError
from marbleops.attestation.limits import MAX_COLLATERAL_BYTES
from marbleops.attestation.platform.softpcs import SoftPcs
from marbleops.attestation.platform.softpki import Pki, build_pki, derive
from marbleops.attestation.platform.softquote import SimulatedIssuer, SimulatedTdIssuer, build_collateral
from marbleops.attestation.verdict import INSECURE_SIMULATION, Tee

if TYPE_CHECKING:
    from pathlib import Path

    from marbleops.attestation.platform.base import EnclaveIdentity, QuoteIssuer, TdIdentity

ANCHOR_FILE: Final = "anchor.der"
COLLATERAL_FILE: Final = "collateral.json"
KEY_FILE: Final = "platform.key"
MICROCODE_FILE: Final = "microcode"
"""How many microcode updates the machine has had, as text; without the file none. Never goes down."""
_MAX_KEY_FILE_BYTES = 4096
_MAX_MICROCODE_BYTES = 16
_SEED_BYTES = 32


class PlatformError(Exception):
    """The directory is not a simulation platform that may be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationPlatform:
    """One simulated machine. Made by ``create`` or ``open``."""

    directory: Path
    _seed: bytes = field(repr=False)
    _pki: Pki = field(repr=False)

    @classmethod
    def create(cls, directory: Path, *, at: datetime, seed: bytes | None = None) -> SimulationPlatform:
        """Make a machine in ``directory``, which must not exist or be empty, with collateral current ``at``.

        Where two processes race, one makes it and both open it. Without a ``seed`` it is random. Raises
        ``PlatformError`` where something else is in the way, or where a given seed is not the machine's.
        """
        _require_zone(at)
        target = directory.absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        # Built aside and renamed: a rename replaces at most an empty directory, so that the first one wins
        # whole.
        draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}.new")
        draft.mkdir(mode=0o755)
        try:
            _fill(draft, secrets.token_bytes(_SEED_BYTES) if seed is None else seed, at)
            draft.rename(target)
        except OSError as error:
            if not (target / KEY_FILE).exists():
                raise PlatformError(f"cannot create a simulation platform in {directory}: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        platform = cls.open(directory)
        if seed is not None and platform._seed != seed:  # noqa: SLF001
            raise PlatformError(f"{directory} is another simulated machine than the seed asks for")
        return platform

    @classmethod
    def open(cls, directory: Path) -> SimulationPlatform:
        """Open an existing machine, writing nothing.

        Raises ``PlatformError`` where a file is missing or malformed, where the anchor is not this key's, and
        where anybody but its owner may read the key.
        """
        seed, created = _read_key(directory / KEY_FILE)
        pki = build_pki(seed, created)
        if _read(directory / ANCHOR_FILE, MAX_COLLATERAL_BYTES) != pki.root.certificate.public_bytes(
            Encoding.DER
        ):
            raise PlatformError(f"{directory / ANCHOR_FILE} does not belong to {directory / KEY_FILE}")
        return cls(directory=directory, _seed=seed, _pki=pki)

    @property
    def anchor_der(self) -> bytes:
        """Return the root certificate that a verifier must be given, explicitly, to believe this machine."""
        return self._pki.root.certificate.public_bytes(Encoding.DER)

    def anchors(self) -> Anchors:
        """Return the anchors under which this machine's quotes verify, as ``insecure-simulation``."""
        return Anchors.simulation(self.anchor_der)

    def collateral(self) -> Collateral:
        """Read the published collateral, fresh from its file; raises ``PlatformError``."""
        try:
            return _parse_collateral(_read(self.directory / COLLATERAL_FILE, MAX_COLLATERAL_BYTES))
        except CollateralError as error:
            raise PlatformError(f"{self.directory / COLLATERAL_FILE}: {error}") from error

    def issuer(self, identity: EnclaveIdentity) -> QuoteIssuer:
        """Return an issuer of quotes for an enclave of this ``identity``."""
        return SimulatedIssuer(self._seed, self._pki, identity)

    def td_issuer(self, identity: TdIdentity) -> QuoteIssuer:
        """Return an issuer of quotes for a trust domain of this ``identity``."""
        return SimulatedTdIssuer(self._seed, self._pki, identity)

    def stage_collateral(
        self,
        *,
        at: datetime,
        tcb_status: str = "UpToDate",
        advisories: tuple[str, ...] = (),
        revoke_pck: bool = False,
        tee: Tee = Tee.SGX,
    ) -> Collateral:
        """Return other collateral for this machine, unpublished: a TCB recovery, its revocation, or TDX's."""
        _require_zone(at)
        return build_collateral(
            self._pki,
            at=at.astimezone(UTC),
            tcb_status=tcb_status,
            advisories=advisories,
            revoke_pck=revoke_pck,
            tee=tee,
        )

    def pcs(self, *, pccs: bool = False) -> SoftPcs:
        """Return what answers in place of PCS, or of a PCCS, with the published collateral.

        It reads the file for each answer and raises ``PlatformError`` where that cannot be read.
        """
        return SoftPcs(pki=self._pki, publish=self._published, pccs=pccs)

    def _published(self, tee: Tee, update: str) -> Collateral:
        del update  # one set only
        collateral = self.collateral()
        if tee is Tee.SGX:
            return collateral
        # The file holds SGX's alone; TDX gets its own of the same date.
        crl = x509.load_der_x509_crl(collateral.root_ca_crl)
        return self.stage_collateral(at=crl.last_update_utc + timedelta(hours=1), tee=tee)

    def renew(self, at: datetime) -> Collateral:
        """Publish collateral that is current ``at``, replacing the file in one step, and return it."""
        collateral = self.stage_collateral(at=at)
        draft = self.directory / f".{COLLATERAL_FILE}.{secrets.token_hex(8)}"
        try:
            _write(draft, collateral.to_json().encode(), mode=0o644)
            draft.replace(self.directory / COLLATERAL_FILE)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise PlatformError(f"cannot renew {self.directory / COLLATERAL_FILE}: {error}") from error
        return collateral

    def sealing_key(
        self,
        identity: EnclaveIdentity,
        *,
        policy: Literal["unique", "product"],
        security_version: int | None = None,
    ) -> bytes:
        """Return the 32-byte key under which an enclave of this identity keeps its state on this machine.

        As the processor does it: ``unique`` binds the measurement, ``product`` the signer and product; both
        bind debug mode, the machine's microcode, and a security version, by default the enclave's own. An
        enclave may ask for the key of an older version of itself (to read what that left behind), never of a
        newer one: raises ``ValueError``. Older microcode has no key any more, as under Gramine.
        """
        version = identity.security_version if security_version is None else security_version
        if not 0 <= version <= identity.security_version:
            raise ValueError(f"version {identity.security_version} has no sealing key of version {version}")
        if policy == "unique":
            who = identity.unique_id.hex()
        elif policy == "product":
            who = f"{identity.signer_id.hex()}/{identity.product_id}"
        else:
            raise ValueError(f"unknown sealing policy {policy!r}")
        mode = "debug" if identity.debug else "production"
        microcode = self.microcode()
        updated = f"/microcode {microcode}" if microcode else ""  # keys of a machine never updated are older
        return derive(self._seed, f"seal/{INSECURE_SIMULATION}/{policy}/{who}/{version}/{mode}{updated}")

    def microcode(self) -> int:
        """Return how many microcode updates the machine has had; raises ``PlatformError``."""
        path = self.directory / MICROCODE_FILE
        if not path.exists():
            return 0
        text = _read(path, _MAX_MICROCODE_BYTES)
        if not text.isdigit():
            raise PlatformError(f"{path} holds no number")
        return int(text)

    def update_microcode(self) -> int:
        """Update the machine's microcode: every sealing key changes. Returns the new level.

        Quotes and collateral stay as they are; only what was sealed is lost, as after a real update.
        """
        level = self.microcode() + 1
        draft = self.directory / f".{MICROCODE_FILE}.{secrets.token_hex(8)}"
        try:
            _write(draft, str(level).encode(), mode=0o644)
            draft.replace(self.directory / MICROCODE_FILE)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise PlatformError(f"cannot update the microcode of {self.directory}: {error}") from error
        return level


@lru_cache(maxsize=4)
def _parse_collateral(document: bytes) -> Collateral:
    # Read for every marble, changed once a month: the same bytes are parsed once.
    return Collateral.from_json(document)


def _require_zone(at: datetime) -> None:
    if at.tzinfo is None:
        raise ValueError("a time needs a time zone")


def _fill(directory: Path, seed: bytes, at: datetime) -> None:
    if len(seed) != _SEED_BYTES:
        raise ValueError(f"a seed is {_SEED_BYTES} bytes, not {len(seed)}")
    # Whole seconds in UTC: certificates hold no more, and the file must give back the same time.
    created = at.astimezone(UTC).replace(microsecond=0)
    pki = build_pki(seed, created)
    key = {"warning": "INSECURE simulated machine", "seed": seed.hex(), "created": created.isoformat()}
    _write(directory / ANCHOR_FILE, pki.root.certificate.public_bytes(Encoding.DER), mode=0o644)
    _write(directory / COLLATERAL_FILE, build_collateral(pki, at=created).to_json().encode(), mode=0o644)
    _write(directory / KEY_FILE, json.dumps(key).encode(), mode=0o600)


def _read_key(path: Path) -> tuple[bytes, datetime]:
    raw = _read(path, _MAX_KEY_FILE_BYTES, private=True)
    try:
        document = json.loads(raw)
        seed, created = bytes.fromhex(document["seed"]), datetime.fromisoformat(document["created"])
    except (ValueError, KeyError, TypeError) as error:
        # Neither the cause nor its text may quote the seed.
        raise PlatformError(f"{path} is not a simulation key: {type(error).__name__}") from None
    if len(seed) != _SEED_BYTES or created.tzinfo is None:
        raise PlatformError(f"{path} is not a simulation key")
    return seed, created


def _read(path: Path, limit: int, *, private: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            mode = status.st_mode
            if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise PlatformError(
                    f"{path} has mode {mode & 0o777:04o}; only its owner may read it: chmod 600 {path}"
                )
            # Not limit + 1 at once: a buffer of a megabyte is mapped and unmapped again for every marble.
            raw = file.read(min(status.st_size, limit) + 1)
            if len(raw) > status.st_size:
                raw += file.read(limit)
    except OSError as error:
        raise PlatformError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > limit:
        raise PlatformError(f"{path} is longer than {limit} bytes")
    return raw


def _write(path: Path, content: bytes, *, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)  # the umask may have taken bits from a public file
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
