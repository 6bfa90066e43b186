"""From a document of the right shape to the model: decodes files and byte fields, folds what MarbleRun folds.

What the schema cannot say about one field alone (an encoding that does not decode) is found here.
"""

from __future__ import annotations

import base64
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from marbleops.manifest.digest import Digest
from marbleops.manifest.errors import IssueCode
from marbleops.manifest.model import (
    Config,
    File,
    GitOps,
    Manifest,
    Marble,
    Package,
    Parameters,
    Role,
    Secret,
    TLSEntry,
    TLSTag,
    User,
)
from marbleops.manifest.position import JsonPath, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from marbleops.manifest.issues import Issues

_Value = TypeVar("_Value")

ENCODINGS: Final = ("string", "base64", "hex")
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*+", re.ASCII)


def build(document: Mapping[str, Any], *, raw: bytes, digest: Digest, issues: Issues) -> Manifest:
    """Make the model of a document that ``shape.check_shape`` has passed.

    What does not decode goes to *issues*; the model is then not to be used.
    """
    gitops = document.get("GitOps")
    return Manifest(
        raw=raw,
        digest=digest,
        document=MappingProxyType(dict(document)),
        packages=_map(document, "Packages", lambda _, value: _package(value)),
        infrastructures=_map(
            document, "Infrastructures", lambda path, value: _infrastructure(path, value, issues)
        ),
        marbles=_map(document, "Marbles", lambda path, value: _marble(path, value, issues)),
        users=_map(document, "Users", lambda _, value: _user(value)),
        secrets=_map(document, "Secrets", lambda path, value: _secret(path, value, issues)),
        recovery_keys=_map(document, "RecoveryKeys", lambda _, value: str(value)),
        roles=_map(document, "Roles", lambda _, value: _role(value)),
        tls=_map(document, "TLS", lambda _, value: _tls_tag(value)),
        config=_config(document.get("Config", {})),
        gitops=None if gitops is None else _gitops(gitops),
    )


def decode_base64(text: str) -> bytes:
    """Decode standard base64 with padding as Go does: line breaks inside are ignored, nothing else is.

    Raises:
        ValueError: the text is not that.
    """
    joined = text.replace("\r", "").replace("\n", "")
    if _BASE64.fullmatch(joined) is None:
        raise ValueError("not standard base64 with padding")
    return base64.b64decode(joined)


def _map(
    document: Mapping[str, Any], section: str, make: Callable[[JsonPath, Any], _Value]
) -> Mapping[str, _Value]:
    members = document.get(section, {})
    return MappingProxyType({name: make((section, name), value) for name, value in members.items()})


def _package(value: Mapping[str, Any]) -> Package:
    return Package(
        debug=value.get("Debug", False),
        unique_id=value.get("UniqueID", "").lower() or None,
        signer_id=value.get("SignerID", "").lower() or None,
        product_id=value.get("ProductID"),
        security_version=value.get("SecurityVersion"),
        accepted_tcb_statuses=tuple(value.get("AcceptedTCBStatuses", ())),
        accepted_advisories=tuple(value.get("AcceptedAdvisories", ())),
    )


def _infrastructure(path: JsonPath, value: Mapping[str, Any], issues: Issues) -> Mapping[str, Any]:
    made = dict(value)
    for name in ("CPUSVN", "RootCA"):
        if name in made:
            made[name] = _bytes((*path, name), made[name], issues)
    return MappingProxyType(made)


def _marble(path: JsonPath, value: Mapping[str, Any], issues: Issues) -> Marble:
    parameters = value.get("Parameters", {})
    inner = (*path, "Parameters")
    return Marble(
        package=value.get("Package", ""),
        max_activations=value.get("MaxActivations", 0),
        parameters=Parameters(
            files=_files((*inner, "Files"), parameters.get("Files", {}), issues),
            env=_files((*inner, "Env"), parameters.get("Env", {}), issues),
            argv=tuple(parameters.get("Argv", ())),
        ),
        tls=tuple(value.get("TLS", ())),
        disable_secret_binding=value.get("DisableSecretBinding", False),
    )


def _files(path: JsonPath, value: Mapping[str, Any], issues: Issues) -> Mapping[str, File]:
    return MappingProxyType({name: _file((*path, name), entry, issues) for name, entry in value.items()})


def _file(path: JsonPath, entry: str | Mapping[str, Any], issues: Issues) -> File:
    """Read a file as its text or as an object (marblerun-core 1.4)."""
    if isinstance(entry, str):
        return File(data=entry.encode())
    encoding = entry.get("Encoding", "") or "string"
    data = b""
    text: str = entry.get("Data", "")
    match encoding.lower():
        case "string":
            data = text.encode()
        case "base64":
            data = _base64((*path, "Data"), text, issues)
        case "hex" if _HEX.fullmatch(text):
            data = bytes.fromhex(text)
        case "hex":
            issues.malformed(
                (*path, "Data"), "the content is not hexadecimal", expected="pairs of hexadecimal digits"
            )
        case _:
            message = f"unknown encoding type: {shown(encoding)}"
            hint = issues.nearest(encoding, ENCODINGS)
            expected = "one of " + ", ".join(ENCODINGS)
            issues.add(IssueCode.MALFORMED, (*path, "Encoding"), message, expected=expected, hint=hint)
    return File(data=data, encoding=encoding.lower(), no_templates=entry.get("NoTemplates", False))


def _user(value: Mapping[str, Any]) -> User:
    return User(
        certificate=value.get("Certificate", ""),
        roles=tuple(value.get("Roles", ())),
        signing_keys=tuple(value.get("SigningKeys", ())),
    )


def _role(value: Mapping[str, Any]) -> Role:
    return Role(
        resource_type=value.get("ResourceType", ""),
        resource_names=tuple(value.get("ResourceNames", ())),
        actions=tuple(action.lower() for action in value.get("Actions", ())),
    )


def _secret(path: JsonPath, value: Mapping[str, Any], issues: Issues) -> Secret:
    cert = value.get("Cert")
    if cert == "":
        issues.malformed(
            (*path, "Cert"), "malformed certificate", expected="base64 of a certificate, or a template"
        )
    return Secret(
        type=value.get("Type", ""),
        size=value.get("Size", 0),
        shared=value.get("Shared", False),
        user_defined=value.get("UserDefined", False),
        cert=cert,
        valid_for=value.get("ValidFor", 0),
        private=_optional_bytes(path, value, "Private", issues),
        public=_optional_bytes(path, value, "Public", issues),
    )


def _tls_tag(value: Mapping[str, Any]) -> TLSTag:
    return TLSTag(
        outgoing=tuple(_tls_entry(entry) for entry in value.get("Outgoing", ())),
        incoming=tuple(_tls_entry(entry) for entry in value.get("Incoming", ())),
    )


def _tls_entry(value: Mapping[str, Any]) -> TLSEntry:
    return TLSEntry(
        port=value.get("Port", ""),
        addr=value.get("Addr", ""),
        cert=value.get("Cert", ""),
        disable_client_auth=value.get("DisableClientAuth", False),
    )


def _config(value: Mapping[str, Any]) -> Config:
    return Config(
        seal_mode=value.get("SealMode", ""),
        feature_gates=tuple(value.get("FeatureGates", ())),
        update_threshold=value.get("UpdateThreshold"),
        recovery_threshold=value.get("RecoveryThreshold", 0),
        rotate_root_secret=value.get("RotateRootSecret", False),
    )


def _gitops(value: Mapping[str, Any]) -> GitOps:
    previous = value.get("Previous")
    return GitOps(
        lineage=value["Lineage"],
        version=value["Version"],
        path=value["Path"],
        deployment=value.get("Deployment"),
        previous=None if previous is None else Digest.parse(previous),
        binding=value.get("Binding", "digest"),
        quorum=MappingProxyType(dict(value.get("Quorum", {}))),
        package_threshold=value.get("PackageThreshold", 1),
        weaken_threshold=value.get("WeakenThreshold", 0),
        require_user_presence=value.get("RequireUserPresence", False),
        public_evidence=value.get("PublicEvidence", False),
        allow_security_version_decrease=tuple(value.get("AllowSecurityVersionDecrease", ())),
    )


def _optional_bytes(path: JsonPath, value: Mapping[str, Any], name: str, issues: Issues) -> bytes | None:
    return _bytes((*path, name), value[name], issues) if name in value else None


def _bytes(path: JsonPath, value: str | list[int], issues: Issues) -> bytes:
    """Read Go's ``[]byte``: base64, or a list of numbers."""
    return bytes(value) if isinstance(value, list) else _base64(path, value, issues)


def _base64(path: JsonPath, text: str, issues: Issues) -> bytes:
    try:
        return decode_base64(text)
    except ValueError:
        issues.malformed(path, "the content is not base64", expected="standard base64 with padding")
        return b""
