"""``marbleops attest``: files in, answers and exit codes out."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.attestation.platform.softsnp import SnpGuest, SoftSnp
from marbleops.attestation.ratls import OPEN_ENCLAVE_OID
from marbleops.attestation.verdict import Code, Tee
from marbleops.cli.exits import Exit
from marbleops.cli.main import run
from marbleops.collateral.cache import CollateralCache, Entry
from marbleops.collateral.documents import Key, Kind, read_document

pytestmark = pytest.mark.integration

VECTORS = Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "attestation"
NEGATIVE = VECTORS / "softtee-negative"
CASES = sorted(path.parent.name for path in NEGATIVE.glob("*/expected.json"))
AT = smith.AT.isoformat()
QUOTE = smith.raw_quote()


@dataclass
class Desk:
    """A folder with a quote and what vouches for it, and the command line."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def put(self, name: str, content: bytes | str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def trust(self) -> list[str]:
        document = self.put("collateral.json", smith.collateral().to_json())
        return ["--collateral", document, "--at", AT, "--root", self.put("root.der", smith.ANCHOR)]

    def text(self, *arguments: str) -> tuple[int, str]:
        code = run(["attest", *arguments])
        return code, self.capsys.readouterr().out

    def json(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        code, out = self.text(*arguments, "--output", "json")
        return code, json.loads(out)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def ratls_certificate() -> x509.Certificate:
    key = ec.derive_private_key(77, ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    evidence = smith.oe_report(smith.raw_quote(report_data=hashlib.sha256(spki).digest()))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "marble")])
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(OPEN_ENCLAVE_OID), evidence)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), 1, smith.AT, smith.AT + timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(key, hashes.SHA256())
    )


def forms() -> dict[str, bytes]:
    wrapped, certificate = smith.oe_report(QUOTE), ratls_certificate()
    encoded = base64.b64encode(wrapped)
    return {
        "raw": QUOTE,
        "oe": wrapped,
        "hex": QUOTE.hex().encode() + b"\n",
        "base64": base64.encodebytes(QUOTE),
        "pem": certificate.public_bytes(Encoding.PEM),
        "der": certificate.public_bytes(Encoding.DER),
        "answer": b'{"status":"success","data":{"Cert":"","Quote":"' + encoded + b'"}}',
    }


def test_every_form_of_evidence_verifies(desk: Desk) -> None:
    """The fixed interface, for each kind of file that people have."""
    for name, content in forms().items():
        code, answer = desk.json("verify", "--quote", desk.put(name, content), *desk.trust())

        assert (code, answer["verdict"], answer["code"]) == (Exit.OK, "ok", "OK"), name
        assert (answer["status"], answer["advisories"], answer["debug"]) == ("UpToDate", [], False)
        assert answer["fields"]["mr_enclave"] == smith.IDENTITY.unique_id.hex()
        assert (answer["fields"]["isv_prod_id"], answer["trustDomain"]) == (7, "insecure-simulation")


def test_rejected_is_not_unusable(desk: Desk) -> None:
    """6 with the code for what is refused; 2 where nothing could be verified."""
    quote, trust = desk.put("q", QUOTE), desk.trust()
    forged = desk.put("forged", smith.patched(QUOTE, 120, b"\1"))
    page = desk.put("page.html", "<html>502</html>")
    outcomes = {
        "QUOTE_SIGNATURE": ("--quote", forged, *trust),
        "COLLATERAL_FORMAT": ("--quote", quote, *trust, "--collateral", page),
    }
    for code, arguments in outcomes.items():
        exit_code, answer = desk.json("verify", *arguments)
        assert (exit_code, answer["verdict"], answer["code"]) == (Exit.UNTRUSTED, "rejected", code)
    _, words = desk.text("verify", "--quote", forged, *trust)
    assert "QUOTE_SIGNATURE" in words
    assert "to do: " in words

    unusable: tuple[tuple[str, ...], ...] = (
        ("--quote", str(desk.folder / "absent"), *trust),
        ("--quote", quote),
        ("--quote", quote, *trust, "--at", "yesterday"),
        ("--quote", quote, *trust, "--at", "2026-06-01T00:00:00"),
        ("--quote", quote, *trust, "--certs", str(desk.folder)),
        ("--quote", quote, *trust, "--root", quote),
        ("--quote", desk.put("half", b"{"), *trust),
    )
    for arguments in unusable:
        exit_code, answer = desk.json("verify", *arguments)
        assert (exit_code, answer["error"]["exitCode"]) == (Exit.USAGE, 2), arguments
    assert (
        desk.json("verify", "--quote", quote, "--collateral", trust[1])[1]["code"] == "CHAIN_UNTRUSTED_ROOT"
    )


def test_debug_has_to_be_allowed(desk: Desk) -> None:
    """A debug enclave is rejected with its code, unless somebody says so."""
    debug = next(one for one in smith.scenarios() if one.name == "debug-refused")
    arguments = ["verify", "--quote", desk.put("q", debug.quote), *desk.trust()]

    refused, allowed = desk.json(*arguments), desk.json(*arguments, "--allow-debug")

    assert (refused[0], refused[1]["code"], refused[1]["debug"]) == (Exit.UNTRUSTED, "DEBUG_ENCLAVE", True)
    assert (allowed[0], allowed[1]["code"], allowed[1]["debug"]) == (Exit.OK, "OK", True)


def test_snp(desk: Desk) -> None:
    """AMD's certificates come as a folder; without a revocation list it is said, or refused."""
    machine = SoftSnp(seed=b"cli".ljust(32, b"."))
    files = machine.files(at=smith.AT)
    for name, content in files.items():
        desk.put(f"certs/{name}", content)
    report = desk.put("report", machine.report(SnpGuest(measurement=b"\x11" * 48), b"key"))
    certs, root = str(desk.folder / "certs"), desk.put("ark.der", files["ark.der"])
    arguments = ["--certs", certs, "--root", root, "--at", AT]

    code, answer = desk.json("verify", "--quote", report, *arguments, "--require-crl")
    assert (code, answer["verdict"], answer["fields"]["measurement"]) == (Exit.OK, "ok", "11" * 48)
    (desk.folder / "certs" / "crl.der").unlink()
    code, words = desk.text("verify", "--quote", report, *arguments)
    assert (code, "NOT CHECKED: revocation" in words) == (Exit.OK, True)
    code, answer = desk.json("verify", "--quote", report, *arguments, "--require-crl")
    assert (code, answer["code"]) == (Exit.UNTRUSTED, "CRL_MISSING")
    code, answer = desk.json("explain", report, *arguments)
    assert (code, answer["rows"]["kind"], len(answer["certificates"])) == (Exit.OK, "SEV-SNP guest", 3)
    code, answer = desk.json("verify", "--quote", report, *desk.trust())
    assert (code, answer["code"]) == (Exit.UNTRUSTED, Code.UNSUPPORTED_TEE)


@pytest.mark.skipif(not CASES, reason="../shared/vectors/attestation is not here")
def test_published_cases(desk: Desk) -> None:
    """Each of the published negative cases, through the fixed interface."""
    for name in CASES:
        folder = NEGATIVE / name
        expected = json.loads((folder / "expected.json").read_text())
        at = datetime.fromtimestamp(expected["now"], UTC).isoformat()
        code, answer = desk.json(
            *("verify", "--quote", str(folder / "quote.bin"), "--at", at),
            *("--collateral", str(folder / "collateral.json"), "--root", str(NEGATIVE / expected["root"])),
            *(["--allow-debug"] if expected["allow_debug"] else []),
        )
        assert code == (Exit.OK if expected["should_succeed"] else Exit.UNTRUSTED), name
        assert answer["code"] == (expected["reason_code"] or "OK"), name


@pytest.mark.skipif(not CASES, reason="../shared/vectors/attestation is not here")
def test_a_real_platform_below_every_level(desk: Desk) -> None:
    """The table of gaps says what is missing, in Intel's words."""
    stem = VECTORS / "dcap-qvl" / "tdx_quote_outdated"
    at, collateral = "2026-03-01T12:00:00Z", f"{stem}_collateral.json"

    code, words = desk.text("explain", str(stem), "--collateral", collateral, "--at", at)

    assert code == Exit.UNTRUSTED
    assert "sgx[7] 3 < 5: needs a newer SEAM loader" in words
    assert "TCB_NOT_SUPPORTED" in words


MANIFEST = {
    "Packages": {
        "far": {"SignerID": "ab" * 32, "ProductID": 1, "SecurityVersion": 1},
        "<b>near</b>": {"UniqueID": "00" * 32},
    },
    "Marbles": {"web": {"Package": "far", "Parameters": {}}},
}


class Tags(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_explained_with_a_manifest_and_as_a_page(desk: Desk) -> None:
    """The closest package and the patch; the page has no script, loads nothing, escapes what is foreign."""
    quote, page = desk.put("<img src=x>", QUOTE), desk.folder / "page.html"
    manifest = desk.put("manifest.json", json.dumps(MANIFEST))

    code, answer = desk.json("explain", quote, *desk.trust(), "--manifest", manifest, "--html", str(page))

    assert (code, answer["verdict"]["code"]) == (Exit.REFUSED, "OK")
    nearest = answer["nearest"]
    path = "/Packages/<b>near<~1b>/UniqueID"
    assert nearest["patch"] == [{"op": "replace", "path": path, "value": smith.IDENTITY.unique_id.hex()}]
    assert [one["name"] for one in nearest["differs"]] == ["UniqueID"]
    source = page.read_text()
    tags = Tags()
    tags.feed(source)
    names = {name for name, _ in tags.seen}
    assert not tags.open
    assert not names & {"script", "img", "link", "iframe", "b>near<"}
    policy = next(attrs["content"] for _, attrs in tags.seen if "http-equiv" in attrs)
    style = source.split("<style>")[1].split("</style>")[0]
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{hashed}'")
    assert not any({"src", "href", "style", "onload"} & set(attrs) for _, attrs in tags.seen)
    assert "prefers-color-scheme:dark" in style
    assert "&lt;b&gt;near&lt;/b&gt;" in source
    assert "SIMULATION" in source

    code, words = desk.text("explain", quote, *desk.trust(), "--manifest", manifest)
    assert code == Exit.REFUSED
    assert f'"path": "{path}"' in words
    assert "WEAKENS: another build is let in" in words
    assert "not compared" in desk.text("explain", quote, "--manifest", manifest)[1]
    assert desk.text("explain", quote)[0] == Exit.OK
    assert "proves nothing" in desk.text("explain", quote)[1]


def test_forecast(desk: Desk) -> None:
    """Newer collateral, or the bare TCB info of Intel's service: passes both, fails the next, fails today."""

    def following(info: dict[str, Any]) -> None:
        info["tcbEvaluationDataNumber"] = 19
        info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"][0]["svn"] += 1

    quote = desk.put("q", QUOTE)
    newer = smith.collateral(tcb=following)
    answer = f'{{"tcbInfo":{newer.tcb_info},"signature":"{newer.tcb_info_signature.hex()}"}}'
    arguments = ["forecast", "--quote", quote, *desk.trust()]

    for name, content in (("next.json", newer.to_json()), ("tcb.json", answer)):
        code, told = desk.json(*arguments, "--next", desk.put(name, content))
        assert (code, told["passesToday"], told["passesNext"]) == (Exit.REFUSED, True, False)
        assert (told["next"]["evaluationNumber"], told["next"]["status"]) == (19, "OutOfDate")
        assert told["newAdvisories"] == ["INTEL-SA-01036"]
        assert [part["of"] for part in told["parts"]] == ["platform"]
        assert "needs microcode" in told["parts"][0]["gaps"][0]
    code, words = desk.text(*arguments, "--next", desk.put("next.json", newer.to_json()))
    assert "update before the next set" in words
    following_file = desk.put("next.json", newer.to_json())
    assert desk.text(*arguments, "--next", following_file, "--accept", "OutOfDate")[0] == Exit.OK
    assert desk.text(*arguments, "--next", desk.put("junk", "[]"))[0] == Exit.USAGE
    assert desk.text(*arguments, "--next", following_file, "--accept", "Revoked")[0] == Exit.USAGE
    forged = desk.put("forged", smith.patched(QUOTE, 120, b"\1"))
    assert (
        desk.text("forecast", "--quote", forged, *desk.trust(), "--next", following_file)[0] == Exit.UNTRUSTED
    )


@pytest.mark.skipif(not CASES, reason="../shared/vectors/attestation is not here")
def test_forecast_of_a_real_platform(desk: Desk) -> None:
    """Up to date under set 17 of June 2025, outdated under set 18: the components, and Intel's advisories."""
    newer = json.loads((VECTORS / "combined-collateral" / "tdx_90c06f_2026-02.json").read_text())
    service = f'{{"tcbInfo":{newer["tcb_info"]},"signature":"{newer["tcb_info_signature"]}"}}'
    today = VECTORS / "combined-collateral" / "tdx_90c06f_2025-06.json"
    quote = VECTORS / "automata" / "evm" / "quotes" / "alibaba_quote_5.dat"
    arguments = ["--quote", str(quote), "--collateral", str(today), "--at", "2025-06-25T12:00:00Z"]

    code, answer = desk.json("forecast", *arguments, "--next", desk.put("early.json", service))

    assert code == Exit.REFUSED
    sets = [(answer[name]["evaluationNumber"], answer[name]["status"]) for name in ("today", "next")]
    assert sets == [(17, "UpToDate"), (18, "OutOfDate")]
    assert [part["of"] for part in answer["parts"]] == ["platform", "TDX module"]
    assert "sgx[4] 3 < 4: needs a BIOS update" in answer["parts"][0]["gaps"]
    assert "INTEL-SA-01111" in answer["newAdvisories"]


def enclave(desk: Desk) -> str:
    desk.put("enclave/app.py", "pass")
    config = {"signer": "s", "productID": 7, "securityVersion": 3, "files": ["app.py"]}
    return desk.put("enclave/enclave.json", json.dumps(config | {"debug": False, "argv": [], "env": []}))


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["state"] for one in answer["findings"]}


def test_doctor_on_a_simulation(desk: Desk) -> None:
    """Quotes, collateral, verification, and whether a manifest admits what runs here."""
    folder = desk.folder / "simulation"
    platform = SimulationPlatform.create(folder, at=datetime.now(tz=UTC), seed=b"d" * 32)
    manifest = desk.put("manifest.json", json.dumps(MANIFEST))
    arguments = ["doctor", "--simulation-dir", str(folder), "--enclave", enclave(desk)]

    code, answer = desk.json(*arguments)
    assert code == Exit.OK
    expected = {"platform": "note", "quote": "good", "collateral": "good", "verification": "good"}
    assert states(answer) == expected
    code, answer = desk.json(*arguments, "--manifest", manifest)
    assert (code, states(answer)["manifest"]) == (Exit.REFUSED, "bad")
    platform.renew(datetime.now(tz=UTC) - timedelta(days=40))
    code, answer = desk.json(*arguments, "--cache", str(desk.folder / "simulation"))
    assert (code, states(answer)["collateral"], states(answer)["verification"]) == (
        Exit.REFUSED,
        "bad",
        "bad",
    )
    assert all(one["toDo"] for one in answer["findings"] if one["state"] == "bad")
    assert states(answer)["cache"] == "bad"


def test_doctor_on_a_cache(desk: Desk) -> None:
    """Fresh, expired and damaged documents of the cache that the Coordinator shares."""
    now, cache = datetime.now(tz=UTC), CollateralCache(desk.folder / "cache")
    key = Key(kind=Kind.PCK_CRL, tee=Tee.SGX, subject="platform")
    arguments = ["doctor", "--system-root", str(desk.folder), "--cache", str(cache.directory)]
    for age, state in ((1, "good"), (60, "bad")):
        at = now - timedelta(days=age)
        document = read_document(key, smith.collateral(at=at).pck_crl)
        cache.store(Entry(document=document, source="https://pccs.example", fetched_at=at))
        assert states(desk.json(*arguments)[1])["cache"] == state
    desk.put("cache/other.json", "{")
    told = desk.json(*arguments)[1]["findings"]
    assert [one["found"] for one in told if one["name"] == "cache" and "damaged" in one["found"]]


def test_doctor_on_hardware(desk: Desk) -> None:
    """A machine without devices; an SGX host; an enclave under Gramine; a guest that gets no report."""
    root = str(desk.folder / "machine")
    (desk.folder / "machine").mkdir()

    code, answer = desk.json("doctor", "--system-root", root)
    assert (code, states(answer)["platform"], states(answer)["quote"]) == (Exit.REFUSED, "bad", "bad")
    desk.put("machine/dev/sgx_enclave", "")
    code, answer = desk.json("doctor", "--system-root", root)
    assert (states(answer)["platform"], states(answer)["quoting service"]) == ("good", "bad")
    desk.put("machine/dev/attestation/attestation_type", "none")
    assert states(desk.json("doctor", "--system-root", root)[1])["quote"] == "bad"
    desk.put("machine/dev/attestation/attestation_type", "dcap")
    desk.put("machine/dev/attestation/user_report_data", bytes(64))
    desk.put("machine/dev/attestation/quote", QUOTE)
    collateral = desk.put("collateral.json", smith.collateral(at=datetime.now(tz=UTC)).to_json())
    code, answer = desk.json("doctor", "--system-root", root, "--collateral", collateral)
    assert (states(answer)["quote"], states(answer)["collateral"]) == ("good", "good")
    refused = next(one for one in answer["findings"] if one["name"] == "verification")
    assert refused["found"].startswith("CHAIN_UNTRUSTED_ROOT")  # a directory is no processor
    guest = desk.folder / "guest"
    (guest / "sys/kernel/config/tsm/report").mkdir(parents=True)
    desk.put("guest/dev/tdx_guest", "")
    code, answer = desk.json("doctor", "--system-root", str(guest))
    assert (states(answer)["platform"], states(answer)["quote"]) == ("good", "bad")
    desk.put("guest/sys/kernel/config/tsm/report/marbleops-doctor/outblob", tdsmith.quote())
    assert states(desk.json("doctor", "--system-root", str(guest))[1])["quote"] == "good"


def test_what_a_coordinator_vouches_for(desk: Desk) -> None:
    """The quote of an answer to /quote is held against the root that came with it."""
    root = ratls_certificate()
    chain = root.public_bytes(Encoding.PEM).decode()
    for data, words in (
        (hashlib.sha256(root.public_bytes(Encoding.DER)).digest(), "the root certificate that came with it"),
        (b"\7" * 32, "not that root certificate alone"),
    ):
        quote = base64.b64encode(smith.oe_report(smith.raw_quote(report_data=data))).decode()
        file = desk.put("answer", json.dumps({"data": {"cert": chain, "quote": quote}}))
        code, answer = desk.json("explain", file, *desk.trust())
        assert code == Exit.OK
        assert answer["rows"]["vouches for"].startswith(words)


def test_a_trust_domain_is_explained(desk: Desk) -> None:
    """Everything there is without collateral: fields and chain."""
    code, answer = desk.json("explain", desk.put("td", tdsmith.quote()))

    assert (code, answer["verdict"]) == (Exit.OK, None)
    assert answer["rows"]["kind"] == "TDX trust domain"
    assert len(answer["certificates"]) == 3


HEAVY = (
    "marbleops.manifest",
    "marbleops.attestation.snp.verify",
    "marbleops.attestation.ratls",
    "rich",
    "aiohttp",
)


def test_explain_starts_with_what_it_needs(desk: Desk) -> None:
    """Start-up is most of its time: nothing is imported that this quote does not need."""
    arguments = ["attest", "explain", desk.put("q", QUOTE), *desk.trust()]
    program = (
        "import sys; from marbleops.cli.main import run; code = run(sys.argv[1:]);"
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )

    loaded = set(done.stderr.split())
    assert "marbleops.attestation.dcap" in loaded
    assert not loaded & set(HEAVY)
