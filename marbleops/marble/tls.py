"""TLS contexts for a marble's own connections, from the credentials its activation put into the environment.

Both sides must show a certificate under the mesh's CA. The private key never lies in a file with a name: the
standard library only reads files, so it gets an anonymous one in memory.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from marbleops.marble.credentials import CERTIFICATE_CHAIN, PRIVATE_KEY, ROOT_CA

if TYPE_CHECKING:
    from collections.abc import Mapping


class NotActivatedError(Exception):
    """The process has no marble's credentials; the text names the variable."""


def server_context(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """Return the context of a server that admits marbles of this mesh only.

    Raises:
        NotActivatedError: a ``MARBLE_PREDEFINED_*`` variable is missing or is not PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    # The mesh's CA changes with the manifest; a resumed session would outlive the old one.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return _equip(context, environ)


def client_context(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """Return the context of a client that talks to marbles of this mesh only and checks the host name.

    Raises:
        NotActivatedError: a ``MARBLE_PREDEFINED_*`` variable is missing or is not PEM.
    """
    return _equip(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), environ)


def _equip(context: ssl.SSLContext, environ: Mapping[str, str] | None) -> ssl.SSLContext:
    given = os.environ if environ is None else environ
    for name in (ROOT_CA, CERTIFICATE_CHAIN, PRIVATE_KEY):
        if not given.get(name):
            raise NotActivatedError(f"{name} is not set: was this started with 'marbleops marble run'?")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pem = f"{given[CERTIFICATE_CHAIN]}\n{given[PRIVATE_KEY]}\n"
    descriptor = os.memfd_create("marble-credentials", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        context.load_verify_locations(cadata=given[ROOT_CA])
    except ssl.SSLError as error:
        raise NotActivatedError(f"the MARBLE_PREDEFINED_* credentials cannot be used: {error}") from error
    finally:
        os.close(descriptor)
    return context
