"""A PCS, PCCS and KDS on loopback that serve a simulated machine, and fail in every way that real ones do."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import ssl
import threading
import time
from enum import Enum, auto
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from conformance import quotesmith as smith
from marbleops.attestation.platform.softcollateral import build_collateral
from marbleops.attestation.platform.softpcs import Reply, SoftPcs
from marbleops.attestation.platform.softpki import sign

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from marbleops.attestation.collateral import Collateral
    from marbleops.attestation.platform.softsnp import SoftSnp
    from marbleops.attestation.verdict import Tee


class Fault(Enum):
    """What goes wrong with every answer."""

    NONE = auto()
    SLOW = auto()  # a byte now and then
    SILENT = auto()
    ERROR = auto()
    BUSY = auto()
    NOT_FOUND = auto()
    HTML = auto()
    TRUNCATED = auto()
    CONTENT_TYPE = auto()
    ELSEWHERE = auto()  # a redirect to another host
    AROUND = auto()  # a redirect within the host
    IN_CIRCLES = auto()
    LONG = auto()
    NO_CHAIN = auto()
    FORGED = auto()
    NOT_HTTP = auto()


class FakePcs:
    """One server, up until it leaves its ``with``. What it publishes, and how it fails, may change any time.

    ``at`` is the time for which it publishes: an earlier one is a stale source, or one that rolls back.
    """

    def __init__(
        self,
        at: datetime,
        *,
        pccs: bool = False,
        snp: SoftSnp | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self.at = at
        self.number = 18
        self.early_number = 19
        self.fault = Fault.NONE
        self.pause = 0.0
        self.targets: list[str] = []
        self._soft = SoftPcs(pki=smith.PKI, publish=self._publish, pccs=pccs, snp=snp)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go down: nothing listens there any more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def answer(self, target: str) -> Reply:
        """Answer without a fault."""
        return self._soft.answer(target)

    def _publish(self, tee: Tee, update: str) -> Collateral:
        return _published(self.at, tee, self.early_number if update == "early" else self.number)


@lru_cache(maxsize=32)
def _published(at: datetime, tee: Tee, number: int) -> Collateral:
    """Return the machine's collateral with that evaluation data number."""
    made = build_collateral(smith.PKI, at=at, tee=tee)
    info, identity = (_numbered(text, number) for text in (made.tcb_info, made.qe_identity))
    key = smith.PKI.tcb_signing.key
    return dataclasses.replace(
        made,
        tcb_info=info,
        tcb_info_signature=sign(key, info.encode()),
        qe_identity=identity,
        qe_identity_signature=sign(key, identity.encode()),
    )


def _numbered(text: str, number: int) -> str:
    document = json.loads(text) | {"tcbEvaluationDataNumber": number}
    return json.dumps(document, separators=(",", ":"))


def _handler(fake: FakePcs) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.targets.append(self.path)
            time.sleep(fake.pause)
            with contextlib.suppress(OSError):  # the client has given up
                _fail(self, fake.fault, fake.answer(self.path.removeprefix("/moved")))
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


_CHANGED = {
    Fault.ERROR: Reply(status=500, body=b"database is locked"),
    Fault.BUSY: Reply(status=429, headers={"Retry-After": "10"}),
    Fault.NOT_FOUND: Reply(status=404, headers={"Request-ID": "f00d"}),
    Fault.HTML: Reply(status=200, headers={"Content-Type": "text/html"}, body=b"<!DOCTYPE html><p>Log in"),
    Fault.CONTENT_TYPE: Reply(status=200, headers={"Content-Type": "image/png"}, body=b"\x89PNG\r\n"),
    Fault.ELSEWHERE: Reply(status=302, headers={"Location": "http://elsewhere.invalid/tcb"}),
    Fault.IN_CIRCLES: Reply(status=302, headers={"Location": "?"}),
    Fault.LONG: Reply(status=200, body=b" " * (1 << 20)),
}


def _fail(handler: BaseHTTPRequestHandler, fault: Fault, reply: Reply) -> None:
    if fault is Fault.SILENT:
        time.sleep(0.5)
    elif fault is Fault.NOT_HTTP:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    elif fault is Fault.SLOW:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(10):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    elif fault is Fault.TRUNCATED:
        _send(handler, dataclasses.replace(reply, body=reply.body[:-40]), length=len(reply.body))
    elif fault is Fault.AROUND and not handler.path.startswith("/moved"):
        _send(handler, Reply(status=307, headers={"Location": f"/moved{handler.path}"}))
    elif fault is Fault.NO_CHAIN:
        _send(handler, dataclasses.replace(reply, headers={"Content-Type": "application/json"}))
    elif fault is Fault.FORGED:
        better = reply.body.replace(b"OutOfDate", b"UpToDate")
        other = better if better != reply.body else reply.body[:-1] + bytes([reply.body[-1] ^ 1])
        _send(handler, dataclasses.replace(reply, body=other))
    else:
        _send(handler, _CHANGED.get(fault, reply))


def _send(handler: BaseHTTPRequestHandler, reply: Reply, *, length: int | None = None) -> None:
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(reply.body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(reply.body)
