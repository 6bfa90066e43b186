"""The TLS edge as openssl, the standard library and aiohttp see it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import shutil
import socket
import ssl
import subprocess
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from aiohttp import web
from OpenSSL import SSL

from coordinator.api import envelope, tls
from coordinator.api.listener import ListenLimits
from coordinator.api.tls import TlsLimits

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


class Echo(asyncio.Protocol):
    """Answers the client's certificates' digests on connecting, then echoes; ends when the client does."""

    made: ClassVar[list[Echo]] = []
    lost: ClassVar[list[Exception | None]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.made.append(self)
        certificates = transport.get_extra_info("peer_certificates")
        words = ",".join(hashlib.sha256(one).hexdigest() for one in certificates) or "none"
        transport.write(f"{words}\n".encode())

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Echo.made, Echo.lost = [], []


def context_for(client: Any, directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client is not None:
        context.load_cert_chain(*client.files(directory, "client"))
    return context


def connect(edge: Any, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(
        socket.create_connection(("127.0.0.1", edge.port), 10), suppress_ragged_eofs=False
    )


def first_byte(edge: Any, context: ssl.SSLContext) -> bytes:
    with connect(edge, context) as connected:
        return connected.recv(1)


def line(client: ssl.SSLSocket) -> str:
    received = b""
    while not received.endswith(b"\n"):
        received += client.recv(1000)
    return received.decode().strip()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", ["p384", "expired", "rsa", "none"])
def test_any_certificate_is_accepted_and_handed_on(
    serve: Any, make_credential: Any, tmp_path: Path, kind: str, version: ssl.TLSVersion
) -> None:
    """Self-signed, expired, RSA or none at all: the handshake succeeds and the DER arrives unchanged."""
    client = None if kind == "none" else make_credential(kind)
    context = context_for(client, tmp_path)
    context.minimum_version = context.maximum_version = version
    with serve(Echo) as edge, connect(edge, context) as connected:
        expected = "none" if client is None else hashlib.sha256(client.der).hexdigest()
        assert line(connected) == expected
        assert connected.getpeercert(binary_form=True) == edge.credential.der


def test_the_whole_chain_is_handed_on_leaf_first(serve: Any, make_credential: Any, tmp_path: Path) -> None:
    """A client that sends several certificates has all of them passed on in its order."""
    leaf, other = make_credential("p384"), make_credential("rsa")
    certificate, key = leaf.files(tmp_path, "chain")
    certificate.write_bytes(leaf.certificate_pem + other.certificate_pem)
    context = context_for(None, tmp_path)
    context.load_cert_chain(certificate, key)
    with serve(Echo) as edge, connect(edge, context) as connected:
        assert line(connected) == ",".join(hashlib.sha256(one.der).hexdigest() for one in (leaf, other))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_marble_port_requires_a_certificate_and_says_so(
    serve: Any, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """Without a client certificate the marble port sends the alert, and the client gets to read it."""
    context = context_for(None, tmp_path)
    context.minimum_version = context.maximum_version = version
    words = "certificate required" if version is ssl.TLSVersion.TLSv1_3 else "handshake failure"
    with serve(Echo, require=True) as edge, pytest.raises(ssl.SSLError, match=words.replace(" ", "[ _]")):
        first_byte(edge, context)


def test_old_tls_is_refused_with_an_alert(serve: Any, tmp_path: Path) -> None:
    """TLS 1.1 does not get through."""
    context = context_for(None, tmp_path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with serve(Echo) as edge, pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        connect(edge, context)


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["spdy/3"], None), ([], None)]
)
def test_alpn(serve: Any, tmp_path: Path, offered: list[str], chosen: str | None) -> None:
    """The server's protocol is chosen where offered; otherwise none is, and the connection stands."""
    context = context_for(None, tmp_path)
    if offered:
        context.set_alpn_protocols(offered)
    with serve(Echo) as edge, connect(edge, context) as connected:
        assert line(connected) == "none"
        assert connected.selected_alpn_protocol() == chosen


def test_the_context_is_chosen_for_each_connection(serve: Any, make_credential: Any, tmp_path: Path) -> None:
    """The server's certificate may change while it runs, and before there is one a connection is dropped."""
    second = make_credential("p384")
    contexts: list[Any] = []

    def factory() -> Any:
        if not contexts:
            raise tls.NotReadyError
        return contexts[-1]

    with serve(Echo, context_factory=factory) as edge:
        with pytest.raises(OSError):
            connect(edge, context_for(None, tmp_path))
        for credential in (edge.credential, second):
            contexts.append(
                tls.make_context(
                    certificates_pem=credential.certificate_pem,
                    key_pem=credential.key_pem,
                    alpn=(),
                    require_client_certificate=False,
                )
            )
            with connect(edge, context_for(None, tmp_path)) as connected:
                assert connected.getpeercert(binary_form=True) == credential.der


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
def test_openssl_sees_a_certificate_request_without_names(
    serve: Any, make_credential: Any, tmp_path: Path, flag: str
) -> None:
    """s_client is asked for a certificate, is shown no CA names."""
    certificate, key = make_credential("p384").files(tmp_path, "client")
    with serve(Echo) as edge:
        base = ["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", flag]
        base += ["-cert", str(certificate), "-key", str(key)]
        run = subprocess.run(base, input=b"hello\n", capture_output=True, timeout=20, check=False)
    shown = run.stdout.decode()
    assert "No client certificate CA names sent" in shown
    assert "New, TLSv1" in shown


def test_a_resuming_client_gets_a_full_handshake(serve: Any, make_credential: Any, tmp_path: Path) -> None:
    """Offering an old session is not an error (pyOpenSSL's defaults abort here); it is not resumed either."""
    context = context_for(make_credential("p384"), tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serve(Echo) as edge:
        with connect(edge, context) as connected:
            line(connected)
            session = connected.session
        again = context.wrap_socket(socket.create_connection(("127.0.0.1", edge.port), 10), session=session)
        with again:
            assert len(line(again)) == 64
            assert not again.session_reused


def test_large_data_goes_both_ways_against_slow_readers(serve: Any, tmp_path: Path) -> None:
    """Megabytes are echoed to a client that reads late: writing pauses, nothing is lost."""

    class Patient(Echo):
        """Stops reading while its own answers are stuck, as real protocols do."""

        pauses = 0

        def pause_writing(self) -> None:
            Patient.pauses += 1
            self.transport.pause_reading()

        def resume_writing(self) -> None:
            self.transport.resume_reading()

    sent = bytes(range(256)) * 4096 * 8
    with serve(Patient) as edge, connect(edge, context_for(None, tmp_path)) as connected:
        assert line(connected) == "none"
        writer = threading.Thread(target=connected.sendall, args=(sent,))
        writer.start()
        time.sleep(0.3)
        received = bytearray()
        while len(received) < len(sent):
            received += connected.recv(65536)
        writer.join(10)
    assert bytes(received) == sent
    assert Patient.pauses > 0


def test_no_signature_of_a_clients_chain_is_checked(server_credential: Any) -> None:
    """Nothing depends on it, and a stranger's hundred certificates would cost fifty handshakes."""
    context = tls.make_context(
        certificates_pem=server_credential.certificate_pem,
        key_pem=server_credential.key_pem,
        alpn=(),
        require_client_certificate=True,
    )
    assert context.get_verify_depth() == 0


def test_writing_after_close_notify_is_ignored(serve: Any, tmp_path: Path) -> None:
    """An inner protocol that writes after it ended its side does not fail over it."""

    class Late(Echo):
        def data_received(self, data: bytes) -> None:
            self.transport.write_eof()
            self.transport.write(data)

    with serve(Late) as edge:
        connected = connect(edge, context_for(None, tmp_path))
        line(connected)
        connected.sendall(b"late\n")
        with contextlib.suppress(ssl.SSLZeroReturnError):
            assert connected.recv(10) == b""
        connected.unwrap().close()
        wait_for(lambda: Echo.lost == [None])


def test_both_sides_close_cleanly(serve: Any, tmp_path: Path) -> None:
    """close_notify from the client ends the inner protocol without an error, and is answered."""
    with serve(Echo) as edge:
        connected = connect(edge, context_for(None, tmp_path))
        line(connected)
        connected.unwrap().close()
        wait_for(lambda: Echo.lost == [None])


def test_an_end_without_close_notify_is_an_error(serve: Any, tmp_path: Path) -> None:
    """A cut TCP connection is not taken for the end of what the client had to say."""
    with serve(Echo) as edge:
        connected = connect(edge, context_for(None, tmp_path))
        line(connected)
        socket.socket(fileno=connected.detach()).close()
        wait_for(lambda: len(Echo.lost) == 1)
    assert isinstance(Echo.lost[0], ConnectionResetError)


def test_a_slow_handshake_is_cut(serve: Any) -> None:
    """Somebody who connects and says nothing is dropped when the handshake's time is over."""
    with (
        serve(Echo, limits=TlsLimits(handshake_seconds=0.2)) as edge,
        socket.create_connection(("127.0.0.1", edge.port), 10) as silent,
    ):
        started = time.monotonic()
        assert silent.recv(1) == b""
        assert time.monotonic() - started < 5


def test_an_idle_connection_is_cut(serve: Any, tmp_path: Path) -> None:
    """A connection without traffic ends after the idle time, counted from the last byte."""
    with serve(Echo, limits=TlsLimits(idle_seconds=0.3)) as edge:
        connected = connect(edge, context_for(None, tmp_path))
        line(connected)
        for _ in range(4):
            time.sleep(0.15)
            connected.sendall(b"x\n")
            assert line(connected) == "x"
        with contextlib.suppress(ssl.SSLError, ConnectionResetError):
            assert connected.recv(1) == b""
        connected.close()


def test_a_reader_that_never_reads_is_cut(serve: Any, tmp_path: Path) -> None:
    """An answer that nobody takes is dropped after the idle time: it does not stay in memory."""

    class Flood(Echo):
        def data_received(self, data: bytes) -> None:
            self.transport.write(bytes(12 * 1024 * 1024))

    with serve(Flood, limits=TlsLimits(idle_seconds=0.3)) as edge:
        connected = connect(edge, context_for(None, tmp_path))
        line(connected)
        connected.sendall(b"go")
        wait_for(lambda: len(Echo.lost) == 1)
        connected.close()


def test_garbage_gets_an_alert_or_the_end(serve: Any) -> None:
    """What is not TLS is answered with an alert and closed, and the server goes on."""
    with serve(Echo) as edge:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(500)):
            with socket.create_connection(("127.0.0.1", edge.port), 10) as plain:
                plain.sendall(garbage)
                assert plain.recv(1000)[:1] in (b"", b"\x15")


def test_many_idle_connections_and_the_limit(serve: Any, tmp_path: Path) -> None:
    """Connections up to the limit are served at once; one more waits until another one ends."""
    context = context_for(None, tmp_path)
    with (
        serve(Echo, limits=TlsLimits(listen=ListenLimits(connections=60))) as edge,
        contextlib.ExitStack() as stack,
    ):
        held = [stack.enter_context(connect(edge, context)) for _ in range(60)]
        assert [line(one) for one in held] == ["none"] * 60
        late = socket.create_connection(("127.0.0.1", edge.port), 10)
        waiting = context.wrap_socket(late, do_handshake_on_connect=False)
        stack.enter_context(waiting)
        waiting.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waiting.do_handshake()
        held[7].close()
        waiting.settimeout(10)
        waiting.do_handshake()
        assert line(waiting) == "none"


def test_aiohttp_serves_on_the_edge(serve: Any, make_credential: Any, tmp_path: Path) -> None:
    """The REST server runs on this transport: keep-alive, bodies, the client's certificate, https."""
    client = make_credential("p384")
    ready: list[Any] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        certificates = request.transport.get_extra_info("peer_certificates")
        body = await request.read()
        digest = hashlib.sha256(certificates[0]).hexdigest()
        return web.json_response({"scheme": request.scheme, "certificate": digest, "length": len(body)})

    def factory() -> asyncio.Protocol:
        if not ready:
            ready.append(web.Server(answer))
        protocol = ready[0]()
        assert isinstance(protocol, asyncio.Protocol)
        return protocol

    with serve(factory) as edge:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", edge.port, timeout=10, context=context_for(client, tmp_path)
        )
        for size in (0, 1_000_000, 3):
            connection.request("POST", "/x", bytes(size))
            response = connection.getresponse()
            expected = f'{{"scheme": "https", "certificate": "{hashlib.sha256(client.der).hexdigest()}"'
            assert response.read().decode() == f'{expected}, "length": {size}}}'
        connection.close()
        edge.loop.run(ready[0].shutdown())


def test_an_answer_of_any_length_arrives(serve: Any, tmp_path: Path) -> None:
    """An update log may be longer than what the edge holds for one client: it is sent as it is taken."""
    text = "x" * (2 * TlsLimits().write_max)

    async def answer(_: web.BaseRequest) -> web.Response:
        return envelope.success(text)

    ready: list[Any] = []

    def protocol() -> asyncio.Protocol:
        if not ready:
            ready.append(web.Server(answer))
        made: asyncio.Protocol = ready[0]()
        return made

    with serve(protocol) as edge:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", edge.port, timeout=30, context=context_for(None, tmp_path)
        )
        connection.request("GET", "/")
        time.sleep(0.5)  # it reads late
        response = connection.getresponse()
        assert int(response.headers["Content-Length"]) > len(text)
        assert response.headers["Content-Type"] == "application/json"
        assert response.read() == envelope.go_json({"status": "success", "data": text})
        connection.close()


def test_close_tells_every_client(serve: Any, tmp_path: Path) -> None:
    """Shutting down sends close_notify: clients see an end, not an error."""
    with serve(Echo) as edge:
        connected = connect(edge, context_for(None, tmp_path))
        line(connected)
        edge.loop.loop.call_soon_threadsafe(edge.server.close)
        assert connected.recv(1) == b""
        connected.close()
        wait_for(lambda: refuses(edge.port))


def test_a_key_of_another_kind_is_refused(make_credential: Any) -> None:
    """The server's own key is an elliptic-curve key that fits its certificate."""
    good, other = make_credential("p384"), make_credential("rsa")
    for certificate, key in ((other, other), (good, make_credential("expired"))):
        with pytest.raises((ValueError, SSL.Error)):
            tls.make_context(
                certificates_pem=certificate.certificate_pem,
                key_pem=key.key_pem,
                alpn=(),
                require_client_certificate=False,
            )


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 10).close()
    except ConnectionRefusedError:
        return True
    return False


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
