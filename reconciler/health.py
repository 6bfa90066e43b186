"""Health over HTTP on loopback: ``/healthz`` is the process alive, ``/readyz`` are the targets ready.

Answers hold what the status files hold, shortened; never a manifest, evidence or a secret.
"""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.status import Report

_ALIVE_SECONDS = 300.0
"""A loop that did nothing for so long hangs: no run takes as long."""


class Health:
    """What the loop tells and the server reads."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._beat = monotonic()
        self._reports: dict[str, dict[str, Any]] = {}

    def expect(self, name: str) -> None:
        """Name a target that has not run yet: not ready."""
        with self._lock:
            self._reports[name] = {"ready": False, "outcome": None, "reason": "Progressing", "message": ""}

    def beat(self) -> None:
        """Say that the loop runs."""
        with self._lock:
            self._beat = self._monotonic()

    def tell(self, report: Report, *, ready: bool) -> None:
        """Take in the latest report of a target."""
        row = {
            "ready": ready,
            "outcome": report.outcome.value,
            "reason": report.reason,
            "message": report.message,
            "version": report.enforced["version"] if report.enforced else None,
        }
        with self._lock:
            self._reports[report.target] = row
            self._beat = self._monotonic()

    def answer(self, path: str) -> tuple[HTTPStatus, dict[str, Any]]:
        """Answer a request for *path*."""
        with self._lock:
            silent = self._monotonic() - self._beat
            reports = dict(self._reports)
        if path == "/healthz":
            alive = silent < _ALIVE_SECONDS
            status = HTTPStatus.OK if alive else HTTPStatus.SERVICE_UNAVAILABLE
            return status, {"alive": alive, "silentSeconds": round(silent, 1)}
        if path == "/readyz":
            ready = bool(reports) and all(row["ready"] for row in reports.values())
            status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
            return status, {"ready": ready, "targets": reports}
        return HTTPStatus.NOT_FOUND, {"error": "there are /healthz and /readyz"}


class HealthServer:
    """Serves ``Health`` until it is closed."""

    def __init__(self, address: tuple[str, int], health: Health) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                status, document = health.answer(self.path)
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Health checks are not logged."""

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="health")
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)
