"""The simulation platform: deterministic, explicit, guarded, and the same through every door."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from conformance import quotesmith as smith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.collateral import Collateral
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.simulation import PlatformError, SimulationPlatform
from marbleops.attestation.verdict import Code

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = smith.IDENTITY


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> SimulationPlatform:
    return SimulationPlatform.create(tmp_path_factory.mktemp("machine") / "p", at=smith.AT, seed=smith.SEED)


def test_public_files_are_all_a_verifier_needs(platform: SimulationPlatform) -> None:
    """Anchor and collateral files, with nothing private, verify a quote."""
    evidence = platform.issuer(IDENTITY).quote(smith.REPORT_DATA)
    anchors = Anchors.simulation((platform.directory / "anchor.der").read_bytes())
    collateral = Collateral.from_json((platform.directory / "collateral.json").read_text())

    verdict = verify_quote(evidence, collateral, anchors=anchors, at=smith.AT)

    assert verdict.code is Code.OK
    assert collateral == platform.collateral()
    assert anchors == platform.anchors()


def test_one_seed_one_machine(platform: SimulationPlatform, tmp_path: Path) -> None:
    """Equal seeds and times give equal files and quotes; another seed gives another machine."""
    twin = SimulationPlatform.create(tmp_path / "twin", at=smith.AT, seed=smith.SEED)
    other = SimulationPlatform.create(tmp_path / "other", at=smith.AT)

    for name in ("anchor.der", "collateral.json", "platform.key"):
        assert (twin.directory / name).read_bytes() == (platform.directory / name).read_bytes()
    assert twin.issuer(IDENTITY).quote(b"") == platform.issuer(IDENTITY).quote(b"")
    assert other.anchor_der != platform.anchor_der


def test_opening_gives_the_same_machine(platform: SimulationPlatform) -> None:
    """Opening writes nothing and yields the same quotes and keys."""
    before = {path: path.stat().st_mtime_ns for path in platform.directory.iterdir()}

    opened = SimulationPlatform.open(platform.directory)

    assert opened.issuer(IDENTITY).quote(b"x") == platform.issuer(IDENTITY).quote(b"x")
    assert {path: path.stat().st_mtime_ns for path in platform.directory.iterdir()} == before


def test_create_opens_what_is_there(platform: SimulationPlatform) -> None:
    """Creating twice is not making another machine, unless another one was asked for."""
    assert SimulationPlatform.create(platform.directory, at=smith.AT).anchor_der == platform.anchor_der
    with pytest.raises(PlatformError, match="another simulated machine"):
        SimulationPlatform.create(platform.directory, at=smith.AT, seed=bytes(32))


def test_racing_creators_agree(tmp_path: Path) -> None:
    """Whoever wins, all have the same machine, and no draft is left."""
    with ThreadPoolExecutor(8) as pool:
        anchors = set(
            pool.map(lambda _: SimulationPlatform.create(tmp_path / "p", at=smith.AT).anchor_der, range(8))
        )

    assert len(anchors) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_readable_key_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that others may read is nobody's; the message says what to do."""
    platform = SimulationPlatform.create(tmp_path / "p", at=smith.AT)
    key = platform.directory / "platform.key"
    assert key.stat().st_mode & 0o777 == 0o600

    key.chmod(mode)

    with pytest.raises(PlatformError, match=f"chmod 600 {key}"):
        SimulationPlatform.open(platform.directory)


def test_what_is_not_a_platform(tmp_path: Path) -> None:
    """Missing, foreign and damaged directories are refused, and what is in the way is left alone."""
    full = tmp_path / "full"
    full.mkdir()
    (full / "something").touch()
    with pytest.raises(PlatformError, match="cannot create"):
        SimulationPlatform.create(full, at=smith.AT)
    with pytest.raises(PlatformError, match="cannot read"):
        SimulationPlatform.open(tmp_path / "nowhere")

    damaged = SimulationPlatform.create(tmp_path / "damaged", at=smith.AT).directory
    (damaged / "anchor.der").write_bytes(smith.ANCHOR)
    with pytest.raises(PlatformError, match="does not belong"):
        SimulationPlatform.open(damaged)
    for content in ("", "[]", '{"seed":"zz"}', '{"seed":"00","created":"2026-06-01T00:00:00+00:00"}'):
        (damaged / "platform.key").write_text(content)
        with pytest.raises(PlatformError, match="not a simulation key"):
            SimulationPlatform.open(damaged)
    assert list(full.iterdir()) == [full / "something"]


def test_the_seed_is_not_shown(platform: SimulationPlatform) -> None:
    """Neither the platform nor an issuer shows the machine's secret."""
    shown = repr(platform) + repr(platform.issuer(IDENTITY))

    assert smith.SEED.hex() not in shown
    assert repr(smith.SEED) not in shown


def test_renewal(tmp_path: Path) -> None:
    """Expired collateral is replaced in place; old quotes go on verifying under it."""
    platform = SimulationPlatform.create(tmp_path / "p", at=smith.AT)
    quote = platform.issuer(IDENTITY).quote(b"")
    later = smith.AT + timedelta(days=40)
    anchors = platform.anchors()
    assert verify_quote(quote, platform.collateral(), anchors=anchors, at=later).code is Code.CRL_EXPIRED

    renewed = platform.renew(later)

    assert platform.collateral() == renewed
    assert verify_quote(quote, renewed, anchors=anchors, at=later).code is Code.OK
    assert sorted(path.name for path in platform.directory.iterdir()) == [
        "anchor.der",
        "collateral.json",
        "platform.key",
    ]


def test_staged_collateral(platform: SimulationPlatform) -> None:
    """A TCB recovery and a revocation can be staged without publishing them."""
    quote, anchors = platform.issuer(IDENTITY).quote(b""), platform.anchors()
    old = platform.stage_collateral(at=smith.AT, tcb_status="OutOfDate", advisories=("INTEL-SA-1",))
    revoked = platform.stage_collateral(at=smith.AT, revoke_pck=True)

    verdict = verify_quote(quote, old, anchors=anchors, at=smith.AT)

    assert (verdict.code, verdict.status, verdict.advisories) == (Code.OK, "OutOfDate", ("INTEL-SA-1",))
    assert verify_quote(quote, revoked, anchors=anchors, at=smith.AT).code is Code.CERT_REVOKED
    assert platform.collateral() not in (old, revoked)


def test_sealing_keys_bind_identity(platform: SimulationPlatform, tmp_path: Path) -> None:
    """Keys change with measurement or signer as their policy says, and with debug and machine always."""
    other_machine = SimulationPlatform.create(tmp_path / "other", at=smith.AT)

    def keys(identity: EnclaveIdentity, on: SimulationPlatform = platform) -> tuple[bytes, bytes]:
        return on.sealing_key(identity, policy="unique"), on.sealing_key(identity, policy="product")

    unique, product = keys(IDENTITY)
    rebuilt = keys(dataclasses.replace(IDENTITY, unique_id=bytes(32)))
    resigned = keys(dataclasses.replace(IDENTITY, signer_id=bytes(32)))
    debug = keys(dataclasses.replace(IDENTITY, debug=True))

    assert len(unique) == len(product) == 32
    assert unique != product
    assert (rebuilt[0] == unique, rebuilt[1] == product) == (False, True)
    assert (resigned[0] == unique, resigned[1] == product) == (True, False)
    assert not set(debug) & {unique, product}
    assert not set(keys(IDENTITY, other_machine)) & {unique, product}


def test_sealing_keys_bind_the_version_one_way(platform: SimulationPlatform) -> None:
    """A newer build can ask for an older build's key, and never the other way round."""
    newer = dataclasses.replace(IDENTITY, security_version=4)
    old = platform.sealing_key(IDENTITY, policy="product")

    assert platform.sealing_key(newer, policy="product") != old
    assert platform.sealing_key(newer, policy="product", security_version=3) == old
    with pytest.raises(ValueError, match="no sealing key"):
        platform.sealing_key(IDENTITY, policy="product", security_version=4)


def test_sealing_keys_bind_the_microcode(tmp_path: Path) -> None:
    """An update changes every sealing key for good, and neither the machine nor its quotes."""
    machine = SimulationPlatform.create(tmp_path / "machine", at=smith.AT)
    before = [machine.sealing_key(IDENTITY, policy=policy) for policy in ("unique", "product")]
    assert (machine.microcode(), machine.update_microcode(), machine.microcode()) == (0, 1, 1)
    again = SimulationPlatform.open(tmp_path / "machine")
    after = [again.sealing_key(IDENTITY, policy=policy) for policy in ("unique", "product")]
    assert not set(before) & set(after)
    assert again.anchor_der == machine.anchor_der
    assert again.update_microcode() == 2
    (tmp_path / "machine" / "microcode").write_text("newest")
    with pytest.raises(PlatformError, match="holds no number"):
        again.sealing_key(IDENTITY, policy="product")


def test_identities_and_report_data_must_fit(platform: SimulationPlatform) -> None:
    """What the report has no room for is refused before it is signed."""
    for changes in (
        {"unique_id": b""},
        {"signer_id": bytes(33)},
        {"product_id": 65536},
        {"security_version": -1},
    ):
        with pytest.raises(ValueError, match="must be"):
            EnclaveIdentity(**{**dataclasses.asdict(IDENTITY), **changes})
    with pytest.raises(ValueError, match="64"):
        platform.issuer(IDENTITY).quote(bytes(65))
    with pytest.raises(ValueError, match="zone"):
        platform.stage_collateral(at=smith.AT.replace(tzinfo=None))
