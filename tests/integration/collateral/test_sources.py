"""The client against a fake PCS, PCCS and KDS: every interface works, every failure says enough to act on."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conformance import quotesmith as smith
from conformance import tdsmith
from marbleops.attestation.anchors import Anchors
from marbleops.attestation.dcap import verify_quote
from marbleops.attestation.platform.softsnp import SnpGuest, SoftSnp
from marbleops.attestation.snp.endorsements import SnpEndorsements
from marbleops.attestation.snp.report import ProductLine, SigningKey, SnpTcb
from marbleops.attestation.snp.verify import verify_snp
from marbleops.attestation.verdict import Code, Tee
from marbleops.collateral import sources
from marbleops.collateral.assemble import IntelPlatform, gather, platform_of
from marbleops.collateral.cache import CollateralCache
from marbleops.collateral.documents import Document, Key, Kind, Update
from marbleops.collateral.provider import CollateralProvider, CollateralUnavailableError, Effort
from marbleops.collateral.sources import Source, SourceError
from marbleops.collateral.status import State, cache_status, seconds_to_expiry
from marbleops.collateral.transport import Transport
from tests.fakes.pcs import FakePcs, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytestmark = pytest.mark.integration

AT = smith.AT
ANCHORS = Anchors.simulation(smith.ANCHOR)
QUICK = Transport(connect_seconds=1, answer_seconds=0.2)
PLATFORM = platform_of(smith.raw_quote())
TCB_INFO, QE_IDENTITY, PCK_CRL, ROOT_CRL = PLATFORM.needs()
DAY = timedelta(days=1)


def provider(
    folder: Path, *urls: str, anchors: Anchors | None = ANCHORS, **more: timedelta
) -> CollateralProvider:
    served = [Source.parse(url) for url in urls]
    return CollateralProvider(CollateralCache(folder), served, QUICK, anchors=anchors, **more)


def getter(client: CollateralProvider) -> Callable[[Key], Document]:
    return lambda key: client.get(key, AT).document


@pytest.mark.parametrize(
    ("path", "pccs", "paths"),
    [
        (
            "pcs:",
            False,
            ["/sgx/certification/v4/tcb?fmspc=50FF00000000&update=standard", "/IntelSGXRootCA.der"],
        ),
        (
            "pccs:",
            True,
            ["/sgx/certification/v4/pckcrl?ca=platform&encoding=der", "/sgx/certification/v4/rootcacrl"],
        ),
        ("v3", True, ["/sgx/certification/v3/tcb?fmspc=50FF00000000", "/sgx/certification/v3/qe/identity"]),
    ],
)
def test_a_quote_is_judged_by_what_was_fetched(
    tmp_path: Path, path: str, *, pccs: bool, paths: list[str]
) -> None:
    """From each interface the same four documents come; the verifier accepts a quote with them."""
    with FakePcs(AT, pccs=pccs) as fake:
        url = f"{fake.url}/sgx/certification/v3/" if path == "v3" else path + fake.url
        collateral = gather(PLATFORM, getter(provider(tmp_path, url)))

        assert set(paths) <= set(fake.targets)
        assert len(fake.targets) == 4
    assert not isinstance(collateral, dict)
    assert verify_quote(smith.raw_quote(), collateral, anchors=ANCHORS, at=AT).code is Code.OK


def test_tdx_and_the_early_set(tmp_path: Path) -> None:
    """A trust domain needs documents of its own; the early set is another document than the standard one."""
    quote = tdsmith.quote()
    platform = platform_of(quote)
    assert isinstance(platform, IntelPlatform)
    with FakePcs(AT) as fake:
        client = provider(tmp_path, f"{fake.url}/sgx/certification/v3", f"pcs:{fake.url}")
        early = [client.get(key, AT).document for key in platform.needs(Update.EARLY)]
        collateral = gather(platform, getter(client))

    assert [one.number for one in early[:2]] == [19, 19]
    assert not isinstance(collateral, dict)
    assert verify_quote(quote, collateral, anchors=ANCHORS, at=AT).code is Code.OK
    assert {str(one.key) for one in early[:1]} == {"TDX TCB info of FMSPC 50FF00000000 (early)"}


@pytest.mark.parametrize(
    ("line", "kind", "count"),
    [
        (ProductLine.MILAN, SigningKey.VCEK, 3),
        (ProductLine.TURIN, SigningKey.VCEK, 3),
        (ProductLine.GENOA, SigningKey.VLEK, 2),
    ],
)
def test_kds(tmp_path: Path, line: ProductLine, kind: SigningKey, count: int) -> None:
    """AMD's certificate, chain and list come from KDS, and a report verifies with them; no VLEK does."""
    fmc = 1 if line is ProductLine.TURIN else None
    machine = SoftSnp(
        seed=b"kds".ljust(32, b"."), line=line, tcb=SnpTcb(bootloader=1, tee=0, snp=3, microcode=75, fmc=fmc)
    )
    report = machine.report(SnpGuest(measurement=b"\x11" * 48, signing_key=kind), b"key")
    with FakePcs(AT, snp=machine) as fake:
        files = gather(platform_of(report), getter(provider(tmp_path, f"kds:{fake.url}")))

        assert isinstance(files, dict)
        assert len(fake.targets) == len(files) == count
    if kind is SigningKey.VLEK:
        files["vlek.der"] = machine.leaf(kind)
    endorsements = SnpEndorsements.from_files(files)
    assert verify_snp(report, endorsements, anchors=machine.anchors(), at=AT).code is Code.OK


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.SLOW, "no answer within 0.2 s"),
        (Fault.SILENT, "no answer within 0.2 s"),
        (Fault.ERROR, "HTTP 500: it is in trouble (database is locked)"),
        (Fault.BUSY, "HTTP 429: too many requests; it asks for 10 s of patience"),
        (Fault.NOT_FOUND, "HTTP 404: it does not have the document, request f00d"),
        (
            Fault.HTML,
            "HTTP 200: answers with an HTML page, not JSON: is there a login or a proxy in between?",
        ),
        (Fault.TRUNCATED, " bytes came"),
        (Fault.CONTENT_TYPE, "content type image/png"),
        (Fault.ELSEWHERE, "redirects to another host, http://elsewhere.invalid/tcb: not followed"),
        (Fault.IN_CIRCLES, "redirects more than 3 times"),
        (Fault.LONG, "answers with more than 524288 bytes"),
        (Fault.NO_CHAIN, "the header TCB-Info-Issuer-Chain is missing"),
        (Fault.FORGED, "its signature is bad"),
        (Fault.NOT_HTTP, "not an HTTP answer: SSH-2.0-OpenSSH_9.9"),
    ],
)
def test_a_fault_is_named_and_the_next_source_asked(tmp_path: Path, fault: Fault, words: str) -> None:
    """Each fault is told with URL and cause; the next source has the document."""
    with FakePcs(AT) as broken, FakePcs(AT) as good:
        broken.fault = fault
        with pytest.raises(CollateralUnavailableError) as caught:
            provider(tmp_path / "a", f"pcs:{broken.url}").get(TCB_INFO, AT)
        held = provider(tmp_path / "b", f"pcs:{broken.url}", f"pcs:{good.url}").get(TCB_INFO, AT)

    assert held.entry.source == f"pcs:{good.url}"
    text = str(caught.value)
    assert text.startswith(
        "SGX TCB info of FMSPC 50FF00000000 (standard): no source had it\n1. http://127.0.0.1:"
    )
    assert words in text


def test_redirects_within_the_host_are_followed(tmp_path: Path) -> None:
    """They are how mirrors are built."""
    with FakePcs(AT) as fake:
        fake.fault = Fault.AROUND
        provider(tmp_path, f"pcs:{fake.url}").get(TCB_INFO, AT)

        assert [target.startswith("/moved") for target in fake.targets] == [False, True]


def test_down(tmp_path: Path) -> None:
    """Nobody listens, the name does not resolve, or nobody serves that kind: all are told at once."""
    with FakePcs(AT) as fake:
        url = fake.url
    client = provider(tmp_path, f"pcs:{url}", "pcs:http://no-such-host.invalid")

    with pytest.raises(CollateralUnavailableError) as caught:
        client.get(TCB_INFO, AT)
    with pytest.raises(CollateralUnavailableError, match="no source that serves it is configured"):
        client.get(Key(kind=Kind.SNP_CRL, tee=Tee.SNP, subject="vcek/v1/Milan"), AT)

    assert "1. http://127.0.0.1" in str(caught.value)
    assert "cannot connect: connection refused: nothing listens there" in str(caught.value)
    assert "2. http://no-such-host.invalid" in str(caught.value)


def test_stale_and_rolled_back_sources_are_told_so(tmp_path: Path) -> None:
    """What expired, and what is older than what is held, does not replace anything."""
    with FakePcs(AT - 40 * DAY) as stale, FakePcs(AT) as good:
        client = provider(tmp_path, f"pcs:{stale.url}", f"pcs:{good.url}")
        fresh = client.get(TCB_INFO, AT).entry
        assert fresh.source == f"pcs:{good.url}"
        with pytest.raises(
            CollateralUnavailableError, match=r"serves what expired 2026-05-22T12:00:00Z \(this"
        ):
            provider(tmp_path / "empty", f"pcs:{stale.url}").get(TCB_INFO, AT)

        good.at = AT - DAY
        rolled_back = client.get(TCB_INFO, AT, Effort.ALWAYS)
        good.at, good.number = AT + DAY, 17
        demoted = client.get(TCB_INFO, AT, Effort.ALWAYS)

    assert rolled_back.entry == demoted.entry == fresh
    assert str(rolled_back.stale).count("older than") == 2
    assert "serves number 17, older than 18 that is held" in str(demoted.stale)


def test_stale_if_error_until_the_end_and_its_grace(tmp_path: Path) -> None:
    """Without a source a held document serves until it expires, and a grace longer where one is granted."""
    with FakePcs(AT) as fake:
        url = f"pcs:{fake.url}"
        provider(tmp_path, url).get(TCB_INFO, AT)
        count = len(fake.targets)
        assert provider(tmp_path, url).get(TCB_INFO, AT + 29 * DAY).stale is None
        assert len(fake.targets) == count  # from the disk, by another process as it were
    due = provider(tmp_path, url).get(TCB_INFO, AT + 20 * DAY, Effort.IF_DUE)
    assert due.stale is not None

    with pytest.raises(CollateralUnavailableError):
        provider(tmp_path, url).get(TCB_INFO, AT + 31 * DAY)
    assert provider(tmp_path, url, grace=2 * DAY).get(TCB_INFO, AT + 31 * DAY).stale is not None


def test_failures_are_remembered_and_sources_left_in_peace(tmp_path: Path) -> None:
    """After a failure nobody asks again for a while, in no process; a busy source is not asked for others."""
    with FakePcs(AT) as fake:
        fake.fault = Fault.BUSY
        client = provider(tmp_path, f"pcs:{fake.url}")
        with pytest.raises(CollateralUnavailableError, match="10 s of patience"):
            client.get(TCB_INFO, AT)
        with pytest.raises(CollateralUnavailableError, match="not asked again before 2026-06-01T12:00:10Z"):
            client.get(TCB_INFO, AT + timedelta(seconds=9))
        with pytest.raises(CollateralUnavailableError, match="it wanted patience until"):
            client.get(QE_IDENTITY, AT + timedelta(seconds=5))
        assert len(fake.targets) == 1

        fake.fault = Fault.NONE
        client.get(TCB_INFO, AT + timedelta(seconds=11))
        assert client.cache.failure(TCB_INFO) is None
        assert client.get(QE_IDENTITY, AT + timedelta(seconds=12)).stale is None


def test_other_sources_are_asked_at_once(tmp_path: Path) -> None:
    """Whoever names another source after a failure does not have to wait."""
    with FakePcs(AT) as broken, FakePcs(AT) as good:
        broken.fault = Fault.HTML
        with pytest.raises(CollateralUnavailableError):
            provider(tmp_path, f"pcs:{broken.url}").get(TCB_INFO, AT)
        assert provider(tmp_path, f"pcs:{good.url}").get(TCB_INFO, AT).stale is None


def test_what_another_root_signed_is_not_held(tmp_path: Path) -> None:
    """Documents of simulation that lie in the cache do not stand in the way of Intel's."""
    with FakePcs(AT) as fake:
        url = f"pcs:{fake.url}"
        for key in PLATFORM.needs():
            provider(tmp_path, url).get(key, AT)
        for key in (TCB_INFO, QE_IDENTITY, PCK_CRL):
            with pytest.raises(CollateralUnavailableError, match="not authentic"):
                provider(tmp_path, url, anchors=Anchors.intel()).get(key, AT)


def test_forged_lists_are_refused(tmp_path: Path) -> None:
    """A list comes with its issuers; the root's own does not, but other documents' issuers are known."""
    with FakePcs(AT) as fake:
        client = provider(tmp_path, f"pcs:{fake.url}")
        client.get(TCB_INFO, AT)
        fake.fault = Fault.FORGED
        for key, words in ((PCK_CRL, "PCK CRL signature"), (ROOT_CRL, "Root CRL signature")):
            with pytest.raises(CollateralUnavailableError, match=words):
                client.get(key, AT)


def test_many_ask_and_one_fetches(tmp_path: Path) -> None:
    """Threads with clients of their own, as processes have them, fetch a document once."""
    with FakePcs(AT) as fake:
        fake.pause = 0.05
        clients = [provider(tmp_path, f"pcs:{fake.url}") for _ in range(8)]
        threads = [threading.Thread(target=client.get, args=(TCB_INFO, AT)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(fake.targets) == 1


def test_the_worker_refreshes_at_half_life(tmp_path: Path) -> None:
    """``step`` says when it is needed next, renews in time, and survives a dead source."""
    with FakePcs(AT) as fake:
        client = provider(tmp_path, f"pcs:{fake.url}")
        client.step(AT, PLATFORM.needs())
        assert len(fake.targets) == 4
        client.step(AT + 14 * DAY)
        assert len(fake.targets) == 4

        fake.at = AT + 16 * DAY
        client.step(fake.at)
        assert len(fake.targets) == 7  # the root's list lives for a year
        states = {one.key.kind: one.state for one in cache_status(client.cache, AT + 31 * DAY).entries}
        assert states.pop(Kind.ROOT_CRL) is State.FRESH
        assert set(states.values()) == {State.DUE}  # not expired
    again = client.step(AT + 40 * DAY)

    assert again == AT + 40 * DAY + timedelta(minutes=1)
    status = cache_status(client.cache, AT + 40 * DAY)
    assert {one.state for one in status.entries if one.failures} == {State.DUE}
    values = dict(seconds_to_expiry(client.cache, AT + 40 * DAY))
    assert values["tcb-info", "sgx", TCB_INFO.name, "standard"] == 6 * 86400


def test_tls(tmp_path: Path) -> None:
    """A PCCS with a certificate of its own is reached with its authority, and only so."""
    certificate, key = _self_signed(tmp_path)
    with FakePcs(AT, tls=(certificate, key)) as fake:
        source = Source.parse(f"pcs:{fake.url}")
        known = Transport(ca_file=certificate)
        document = sources.fetch(source, ROOT_CRL, known, at=AT)
        with pytest.raises(SourceError, match=r"TLS certificate is not trusted: self.signed certificate"):
            sources.fetch(source, ROOT_CRL, Transport(), at=AT)
        with pytest.raises(SourceError, match="cannot read the authorities"):
            sources.fetch(source, ROOT_CRL, Transport(ca_file=tmp_path / "none"), at=AT)

        with _tunnel() as (address, asked):
            proxied = Transport(ca_file=certificate, proxy=address)
            assert sources.fetch(source, ROOT_CRL, proxied, at=AT) == document
            other = Source.parse("pcs:https://forbidden.invalid")
            with pytest.raises(SourceError, match="cannot connect: Tunnel connection failed: 403"):
                sources.fetch(other, ROOT_CRL, proxied, at=AT)

        assert asked == [fake.url.removeprefix("https://"), "forbidden.invalid:443"]
    assert document.number == int(AT.timestamp())


@contextmanager
def _tunnel() -> Iterator[tuple[tuple[str, int], list[str]]]:
    """Run an HTTP proxy that opens tunnels, but for what is forbidden."""
    asked: list[str] = []

    class Proxy(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            _, target, _ = self.rfile.readline().decode().split()
            asked.append(target)
            while self.rfile.readline().strip():
                pass
            if "forbidden" in target:
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            host, port = target.split(":")
            with socket.create_connection((host, int(port))) as far:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_relay, args=(far, self.connection))
                back.start()
                _relay(self.connection, far)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield ("127.0.0.1", int(server.server_address[1])), asked
        server.shutdown()
        thread.join()


def _relay(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pccs")])
    now = datetime.now(tz=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]),
            False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "tls.pem", folder / "tls.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files
