"""Two marbles talk mTLS with the contexts of ``marbleops.marble.tls``."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from marbleops.marble.tls import NotActivatedError, client_context, server_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.marble.conftest import Mesh

pytestmark = pytest.mark.integration


def text(environ: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.decode() for name, value in environ.items()}


def exchange(server: ssl.SSLContext, client: ssl.SSLContext, *, name: str = "localhost") -> str:
    """Let a client connect to a server once; return what the client read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def answer() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(10)
                try:
                    with server.wrap_socket(accepted, server_side=True) as tls:
                        assert tls.getpeercert()
                        tls.sendall(b"hello")
                except (ssl.SSLError, OSError):
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), 10) as plain,
                client.wrap_socket(plain, server_hostname=name) as tls,
            ):
                return tls.recv(100).decode()
        finally:
            thread.join(10)


def test_two_marbles_of_one_mesh(mesh: Mesh) -> None:
    """Server and client of one mesh authenticate each other."""
    server, client = (text(mesh.environment()) for _ in range(2))
    assert exchange(server_context(server), client_context(client)) == "hello"


def test_another_mesh_is_refused_by_both_sides(mesh: Mesh, other_mesh: Mesh) -> None:
    """A marble of another Coordinator is neither a server nor a client here."""
    ours, theirs = text(mesh.environment()), text(other_mesh.environment())
    with pytest.raises(ssl.SSLCertVerificationError):
        exchange(server_context(theirs), client_context(ours))
    smuggled = ours | {"MARBLE_PREDEFINED_ROOT_CA": theirs["MARBLE_PREDEFINED_ROOT_CA"]}
    with pytest.raises(OSError):
        exchange(server_context(smuggled), client_context(ours))


def test_a_client_without_certificate_is_refused(mesh: Mesh) -> None:
    """The server insists on a marble's certificate."""
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    environ = text(mesh.environment())
    bare.load_verify_locations(cadata=environ["MARBLE_PREDEFINED_ROOT_CA"])
    with pytest.raises(OSError):
        exchange(server_context(environ), bare)


def test_the_host_name_is_checked(mesh: Mesh) -> None:
    """A marble of the same mesh under another name is refused by the client."""
    server = text(mesh.environment(names=("backend",)))
    client = text(mesh.environment())
    assert exchange(server_context(server), client_context(client), name="backend") == "hello"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        exchange(server_context(server), client_context(client), name="localhost")


@pytest.mark.parametrize(("name", "value"), [("PRIVATE_KEY", ""), ("ROOT_CA", "x"), ("PRIVATE_KEY", "x")])
def test_missing_credentials_are_named(mesh: Mesh, name: str, value: str) -> None:
    """Outside of a mesh there is no context, and the error says what to do."""
    with pytest.raises(NotActivatedError, match="MARBLE_PREDEFINED_"):
        server_context(text(mesh.environment()) | {f"MARBLE_PREDEFINED_{name}": value})
