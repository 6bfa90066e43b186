"""A small HTTP server on loopback, for the simulation's collateral."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from marbleops.cli.errors import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from marbleops.attestation.platform.softpcs import Reply


@contextmanager
def serve(answer: Callable[[str], Reply], port: int) -> Iterator[tuple[int, Callable[[], None]]]:
    """Listen on *port* of 127.0.0.1, any one for 0; give the port and what serves until interrupted.

    Raises:
        UsageProblem: the port cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = answer(self.path)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UsageProblem(
            f"cannot listen: {error.strerror}", where=f"127.0.0.1:{port}", next_step="choose another --port"
        ) from error
    with server:
        yield server.server_port, _until_interrupted(server)


def _until_interrupted(server: ThreadingHTTPServer) -> Callable[[], None]:
    def wait() -> None:
        sys.stdout.flush()  # somebody may be waiting for the address
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return

    return wait
