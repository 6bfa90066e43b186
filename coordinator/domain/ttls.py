"""The connections that a marble's runtime wraps in TLS, as JSON for ``MARBLE_TTLS_CONFIG`` (4.6)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from coordinator.domain import pki
from coordinator.domain.certificates import TYPES
from coordinator.errors import ActivationFailedError, ManifestRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from coordinator.domain.secrets import Material
    from marbleops.manifest.model import Manifest, Marble, TLSEntry

_ESCAPED: Final = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})
"""What Go's JSON writes for the characters that HTML and JavaScript could misread."""


def check_connections(manifest: Manifest) -> None:
    """Refuse, at set time, TLS tags of marbles that no marble could be given.

    MarbleRun runs the finished JSON through the template engine, which only an address or a port with braces
    can notice; such an entry is refused rather than read in another way than there.

    Raises:
        ManifestRefusedError: braces of a template, or a ``Cert`` that is no certificate secret.
    """
    for place, entry in _used_entries(manifest):
        if "{{" in entry.addr or "{{" in entry.port:
            raise ManifestRefusedError(f"{place}: a template in Addr or Port is not supported")
        if entry.cert and manifest.secrets[entry.cert].type not in TYPES:
            raise ManifestRefusedError(f"{place}: the secret {entry.cert} has no certificate")


def ttls_config(
    manifest: Manifest,
    marble: Marble,
    *,
    leaf: pki.KeyPair,
    marble_root: pki.KeyPair,
    secrets: Mapping[str, Material],
) -> bytes | None:
    """Write the configuration of a marble's tags, or None where it has none. Later tags overwrite equal keys.

    Raises:
        ActivationFailedError: a certificate that users have not uploaded yet.
    """
    if not marble.tls:
        return None
    root = marble_root.certificate_pem.decode()
    own = _credentials(root, leaf.certificate_pem, leaf.key_pem)
    incoming: dict[str, Any] = {}
    outgoing: dict[str, Any] = {}
    for tag in marble.tls:
        entries = manifest.tls[tag]
        for entry in entries.outgoing:
            outgoing[f"{entry.addr}:{entry.port}"] = own
        for entry in entries.incoming:
            shown = _of_secret(root, entry.cert, secrets) if entry.cert else own
            client_auth = not (entry.cert and entry.disable_client_auth)
            incoming[f"*:{entry.port}"] = {**shown, "clientAuth": client_auth}
    document = {"tls": {"Incoming": incoming, "Outgoing": outgoing}}
    written = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return written.translate(_ESCAPED).encode()


def _of_secret(root: str, name: str, secrets: Mapping[str, Material]) -> dict[str, str]:
    material = secrets[name]
    if not material.cert or not material.private:
        raise ActivationFailedError(f"creating TTLS config: the secret {name} has no certificate and key yet")
    return _credentials(root, pki.pem("CERTIFICATE", material.cert), pki.pem("PRIVATE KEY", material.private))


def _credentials(root: str, certificate: bytes, key: bytes) -> dict[str, str]:
    return {"cacrt": root, "clicrt": certificate.decode(), "clikey": key.decode()}


def _used_entries(manifest: Manifest) -> Iterator[tuple[str, TLSEntry]]:
    """List the entries of the tags that marbles carry, with the place of each."""
    used = {tag for marble in manifest.marbles.values() for tag in marble.tls}
    for tag in sorted(used):
        entries = manifest.tls[tag]
        yield from ((f"TLS.Outgoing.{tag}", entry) for entry in entries.outgoing)
        yield from ((f"TLS.Incoming.{tag}", entry) for entry in entries.incoming)
