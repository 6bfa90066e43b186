"""``marbleops collateral`` as an operator uses it: sources fail at night, a stick reaches an island."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from conformance import quotesmith as smith
from coordinator.adapters.collateral_files import CollateralFiles
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.collateral import Collateral
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.platform.softsnp import SnpGuest, SoftSnp
from marbleops.attestation.snp.endorsements import SnpEndorsements
from marbleops.attestation.verdict import Code, Tee
from marbleops.cli.exits import Exit
from marbleops.cli.main import run
from marbleops.collateral.authentic import check_authentic, known_roots
from marbleops.collateral.cache import CollateralCache, Entry
from marbleops.collateral.documents import DocumentError, Key, Kind, read_document
from tests.fakes.pcs import FakePcs, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

NOW = datetime.now(tz=UTC).replace(microsecond=0)
VECTORS = (
    Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "attestation" / "automata" / "solana"
)

Command = tuple[int, str, str]


@pytest.fixture
def collateral(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Command]:
    """Return a function that runs a verb of the group with a cache in ``tmp_path``."""
    anchor = tmp_path / "anchor.der"
    anchor.write_bytes(smith.ANCHOR)
    (tmp_path / "quote").write_bytes(smith.raw_quote())

    def command(verb: str, *words: object, cache: str = "cache", simulation: bool = True) -> Command:
        trust = ["--anchor", str(anchor), "--insecure-simulation"] if simulation else []
        trusting = trust if verb in ("fetch", "import") else []
        code = run(["collateral", verb, "--cache", str(tmp_path / cache), *trusting, *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_fetch_and_verify(tmp_path: Path, collateral: Callable[..., Command]) -> None:
    """What a quote needs is fetched, saved where the verifier takes it, and shown."""
    with FakePcs(NOW, pccs=True) as fake:
        words = ("--evidence", tmp_path / "quote", "--source", f"{fake.url}/sgx/certification/v4/")
        code, out, _ = collateral("fetch", *words, "--save", tmp_path / "c.json")
        assert code == Exit.OK, out
        assert out.count("expires") == 4
        again = json.loads(collateral("fetch", *words, "-o", "json")[1])
        assert len(fake.targets) == 4
    assert {one["kind"] for one in again["documents"]} == {"tcb-info", "qe-identity", "pck-crl", "root-crl"}
    anchors = Anchors.simulation(smith.ANCHOR)
    saved = Collateral.from_json((tmp_path / "c.json").read_bytes())
    assert verify_quote(smith.raw_quote(), saved, anchors=anchors, at=NOW).code is Code.OK

    status = json.loads(collateral("status", "-o", "json")[1])
    assert [one["state"] for one in status["documents"]] == ["fresh"] * 4
    assert 29 * 86400 < status["documents"][0]["secondsToExpiry"] <= 30 * 86400
    assert "TCB info of FMSPC 50FF00000000 (standard)  fresh  in 29 d" in collateral("status")[1]


def test_a_worker_for_a_coordinator(tmp_path: Path, collateral: Callable[..., Command]) -> None:
    """``--keep`` fills the folder that a Coordinator reads, and renews until it is interrupted."""
    folder = tmp_path / "beside"
    folder.mkdir()
    program = [sys.executable, "-m", "marbleops", "collateral", "fetch", "--keep", "--save", str(folder)]
    words = ["--evidence", str(tmp_path / "quote"), "--cache", str(tmp_path / "kept")]
    trust = ["--anchor", str(tmp_path / "anchor.der"), "--insecure-simulation"]
    # A list is held of whose seven hours four are over.
    with FakePcs(NOW - timedelta(days=30) + timedelta(hours=3)) as fake:
        key, body = Key(kind=Kind.PCK_CRL, subject="platform"), smith.collateral(at=fake.at).pck_crl
        document = read_document(key, body, smith.collateral().pck_crl_issuer_chain)
        cache = CollateralCache(tmp_path / "kept")
        cache.store(Entry(document=document, source="pcs:http://old", fetched_at=NOW - timedelta(hours=4)))
        with subprocess.Popen(
            [*program, *words, *trust, "--source", f"pcs:{fake.url}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as worker:
            assert worker.stdout is not None
            lines = [worker.stdout.readline() for _ in range(5)]
            assert worker.poll() is None
            worker.send_signal(signal.SIGINT)
            assert worker.wait(10) == Exit.INTERRUPTED
        assert len(fake.targets) == 4
    quote = smith.oe_report(smith.raw_quote())
    assert CollateralFiles(folder).for_evidence(quote) == smith.collateral(at=fake.at)
    assert "saved to" in lines[-1]


def test_at_night(tmp_path: Path, collateral: Callable[..., Command]) -> None:
    """Every source and its answer are listed, what was reached is kept, and the next step is named."""
    with FakePcs(NOW) as fake, FakePcs(NOW - timedelta(days=40)) as stale:
        fake.fault = Fault.HTML
        words = ("--fmspc", "50ff00000000", "--ca", "platform")
        sources = ("--source", f"pcs:{fake.url}", "--source", f"pcs:{stale.url}")
        code, out, err = collateral("fetch", *words, *sources)
        assert (code, out) == (Exit.UNREACHABLE, "")
        assert "3 of 4 documents are not to be had" in err  # the root's list lives for a year
        assert f"1. {fake.url}/sgx/certification/v4/tcb?fmspc=50FF00000000&update=standard: HTTP 200" in err
        assert "is there a login or a proxy in between?" in err
        assert f"2. {stale.url}/sgx" in err
        assert "serves what expired" in err
        assert "next: repair or add a source (--source URL)" in err

        fake.fault = Fault.NONE
        assert collateral("fetch", *words, *sources)[0] == Exit.UNREACHABLE  # it was said to wait a minute
        assert collateral("fetch", *words, *sources, "--again")[0] == Exit.OK
        code, out, _ = collateral("fetch", *words, "--source", f"pcs:{stale.url}", "--again")
    assert code == Exit.OK
    assert out.count("no newer one:") == 4
    assert out.count("older than") == 4
    out = collateral("status")[1]
    assert out.count("the last attempt failed") == 4


def test_an_island(tmp_path: Path, collateral: Callable[..., Command]) -> None:
    """A signed bundle carries everything, SNP too, to a cache that never sees a source."""
    machine = SoftSnp(seed=b"island".ljust(32, b"."))
    (tmp_path / "report").write_bytes(machine.report(SnpGuest(measurement=b"\x11" * 48), b"key"))
    for name in ("key", "other"):
        command = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", name]
        subprocess.run(command, cwd=tmp_path, check=True)
        subprocess.run(
            ["openssl", "pkey", "-in", name, "-pubout", "-out", f"{name}.pub"], cwd=tmp_path, check=True
        )
    with FakePcs(NOW, snp=machine) as fake:
        sources = ("--source", f"pcs:{fake.url}", "--source", f"kds:{fake.url}")
        assert collateral("fetch", "--evidence", tmp_path / "quote", *sources)[0] == Exit.OK
        assert collateral("fetch", "--evidence", tmp_path / "report", *sources)[0] == Exit.OK
    bundle = tmp_path / "bundle"
    code, out, _ = collateral("export", bundle, "--sign-key", tmp_path / "key", "-o", "json")
    assert (code, json.loads(out)["documents"]) == (Exit.OK, 7)

    code, _, err = collateral("import", bundle, "--signer", tmp_path / "other.pub", cache="island")
    assert code == Exit.UNTRUSTED
    assert "the bundle is refused: it is signed by" in err
    code, out, _ = collateral("import", bundle, "--signer", tmp_path / "key.pub", cache="island")
    assert code == Exit.OK
    assert (
        f"signed by Ed25519 key {json.loads(collateral('import', bundle, '-o', 'json')[1])['signer']}" in out
    )

    code, _, _ = collateral(
        "fetch", "--evidence", tmp_path / "report", "--save", tmp_path / "certs", cache="island"
    )
    files = {file.name: file.read_bytes() for file in (tmp_path / "certs").iterdir()}
    assert (code, set(files)) == (Exit.OK, {"vcek.der", "cert_chain.pem", "crl.der"})
    assert len(SnpEndorsements.from_files(files).certificates) == 3

    # Without the word, simulation's documents are nothing.
    code, out, _ = collateral("import", bundle, cache="real", simulation=False)
    assert code == Exit.UNTRUSTED
    assert out.count("not authentic") == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("fetch",), "give either --evidence FILE or --fmspc HEX"),
        (("fetch", "--fmspc", "00"), "--fmspc needs --ca"),
        (("fetch", "--fmspc", "00", "--ca", "platform"), "a FMSPC is 12 hexadecimal digits"),
        (("fetch", "--evidence", "{}/anchor.der"), "not evidence that can be read"),
        (("fetch", "--fmspc", "0" * 12, "--ca", "platform", "--source", "ftp://x"), "not a source"),
        (("fetch", "--fmspc", "0" * 12, "--ca", "platform", "--proxy", "x:y"), "not an address"),
        (("export", "{}/x"), "the cache holds no current document"),
        (("export", "{}/x", "--sign-key", "{}/anchor.der"), "not a private key"),
        (("import", "{}/anchor.der", "--signer", "{}/anchor.der"), "not a public key"),
        (("status",), "there is no cache"),
    ],
)
def test_what_cannot_be_used(
    tmp_path: Path, collateral: Callable[..., Command], words: tuple[str, ...], told: str
) -> None:
    """Exit code 2 and one sentence."""
    verb, *rest = (word.format(tmp_path) for word in words)
    code, _, err = collateral(verb, *rest)
    assert code == Exit.USAGE
    assert told in err


def test_a_simulation_serves_its_collateral(tmp_path: Path, collateral: Callable[..., Command]) -> None:
    """``simulation serve-collateral`` is a source for the program itself."""
    plat = tmp_path / "machine"
    assert run(["simulation", "init", str(plat)]) == Exit.OK
    program = [sys.executable, "-m", "marbleops", "simulation", "serve-collateral", str(plat), "--port", "0"]
    with subprocess.Popen(
        [*program, "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=dict(os.environ),
    ) as server:
        try:
            assert server.stdout is not None
            text = "".join(server.stdout.readline() for _ in range(3))
            source = json.loads(text)["source"]
            words = ("--fmspc", "50ff00000000", "--ca", "platform", "--tee", "tdx", "--source", source)
            trust = ("--anchor", plat / "anchor.der", "--insecure-simulation")
            code, _, err = collateral("fetch", *words, *trust, simulation=False)
        finally:
            server.terminate()
    assert code == Exit.OK, err


@pytest.mark.skipif(not VECTORS.is_dir(), reason="the vectors of ../shared are not there")
def test_what_intel_really_serves() -> None:
    """Real answers of PCS are read, and are authentic under Intel's root and no other."""
    signing, platform, root = (
        x509.load_der_x509_certificate((VECTORS / name).read_bytes()).public_bytes(Encoding.PEM).decode()
        for name in ("signing.der", "platform.der", "root.der")
    )
    real: tuple[tuple[Key, str, str], ...] = (
        (Key(kind=Kind.TCB_INFO, subject="00A067110000"), "tcb_info_v3_sgx.json", signing + root),
        (Key(kind=Kind.QE_IDENTITY, tee=Tee.TDX), "qe_identity.json", signing + root),
        (Key(kind=Kind.PCK_CRL, subject="platform"), "pck_platform_crl.der", platform + root),
        (Key(kind=Kind.ROOT_CRL), "intel_root_ca_crl.der", ""),
    )
    for key, file, chain in real:
        document = read_document(key, (VECTORS / file).read_bytes(), chain)
        check_authentic(document, Anchors.intel(), known_roots([platform + root], Anchors.intel()))
        if chain:
            with pytest.raises(DocumentError, match="not authentic"):
                check_authentic(document, Anchors.simulation(smith.ANCHOR))
