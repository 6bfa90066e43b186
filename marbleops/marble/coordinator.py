"""A marble's own line to its Coordinator, for the calls that are made as a marble: monotonic counters.

The credentials are those of the activation; the Coordinator must present the root certificate that came with
them, so no quote is needed again (MarbleRun's SDK does the same: marblerun-api-cli-k8s 1.7).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography import x509

from marbleops.marble.credentials import CERTIFICATE_CHAIN, COORDINATOR_ROOT_CA, PRIVATE_KEY
from marbleops.marble.tls import NotActivatedError
from marbleops.wire.identity import ClientIdentity, IdentityError
from marbleops.wire.marblerun.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping


def coordinator_session(address: str, environ: Mapping[str, str] | None = None) -> Session:
    """Return a session as this marble on the Coordinator's client address, for ``wire.marblerun`` calls.

    Raises:
        NotActivatedError: a ``MARBLE_PREDEFINED_*`` variable is missing or unusable.
        UntrustedCoordinator: the Coordinator's certificate is not for this address.
        ValueError: *address* is no address.
    """
    given = os.environ if environ is None else environ
    for name in (COORDINATOR_ROOT_CA, CERTIFICATE_CHAIN, PRIVATE_KEY):
        if not given.get(name):
            raise NotActivatedError(f"{name} is not set: was this started with 'marbleops marble run'?")
    try:
        identity = ClientIdentity.from_pem(given[CERTIFICATE_CHAIN].encode(), given[PRIVATE_KEY].encode())
        root = x509.load_pem_x509_certificate(given[COORDINATOR_ROOT_CA].encode())
    except (IdentityError, ValueError) as error:
        raise NotActivatedError(f"the MARBLE_PREDEFINED_* credentials cannot be used: {error}") from error
    session = Session(address, identity=identity)
    session.pin(root)
    return session
