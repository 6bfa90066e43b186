"""The rules across fields: MarbleRun's own check (marblerun-core 1.9), and ``check_gitops`` beside it.

Every message that MarbleRun has is given in MarbleRun's words. Where its check stops at the first violation
in a random order, this one tells all of them in the order of the text. Not checked here, as there: whether
users' certificates and recovery keys parse, secret sizes, and templates of texts (``template.dry_run``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from marbleops.manifest.certificate_read import read_template
from marbleops.manifest.certificate_template import CertificateTemplateError, check_creatable
from marbleops.manifest.check_gitops import check_gitops
from marbleops.manifest.issues import Issues
from marbleops.manifest.position import JsonPath, decode_text, shown

if TYPE_CHECKING:
    from marbleops.manifest.certificate_template import CertificateTemplate
    from marbleops.manifest.model import Manifest, Package, Role, Secret, TLSTag

CERTIFICATE_TYPES: Final = frozenset({"cert-rsa", "cert-ecdsa", "cert-ed25519"})
SECRET_TYPES: Final = frozenset({"symmetric-key", "plain"}) | CERTIFICATE_TYPES
SEAL_MODES: Final = ("", "ProductKey", "UniqueKey", "Disabled")
FEATURE_GATES: Final = ("SignQuoteEndpoint", "MonotonicCounter", "AzureHSMSealing")
ACTIONS: Final = {
    "Packages": ("UpdateSecurityVersion",),
    "Secrets": ("ReadSecret", "WriteSecret"),
    "Manifest": ("UpdateManifest",),
}


def check(manifest: Manifest) -> None:
    """Check the rules across fields.

    Raises:
        ManifestError: with every broken rule.
    """
    issues = Issues(decode_text(manifest.raw)[0])
    _check_marbles(manifest, issues)
    for tag, entry in manifest.tls.items():
        _check_tls(manifest, tag, entry, issues)
    _check_users(manifest, issues)
    for name, role in manifest.roles.items():
        _check_role(manifest, name, role, issues)
    _check_secrets(manifest, issues)
    _check_config(manifest, issues)
    if manifest.gitops is not None:
        check_gitops(manifest, manifest.gitops, issues)
    issues.raise_if_any()


def may_update_manifest(manifest: Manifest) -> tuple[str, ...]:
    """Names of the users who hold ``UpdateManifest`` through any role, each once, in the manifest's order."""
    granting = {
        name
        for name, role in manifest.roles.items()
        if role.resource_type == "Manifest" and "updatemanifest" in role.actions
    }
    return tuple(name for name, user in manifest.users.items() if granting.intersection(user.roles))


def _check_marbles(manifest: Manifest, issues: Issues) -> None:
    if not manifest.packages:
        issues.invalid(("Packages",), "no allowed packages defined")
    if not manifest.marbles:
        issues.invalid(("Marbles",), "no allowed marbles defined")
    for name, marble in manifest.marbles.items():
        path: JsonPath = ("Marbles", name)
        package = manifest.packages.get(marble.package)
        if package is None:
            message = f"manifest does not contain marble package {shown(marble.package)}"
            issues.invalid(
                (*path, "Package"), message, hint=issues.nearest(marble.package, manifest.packages)
            )
        else:
            _check_package(marble.package, package, issues)
        for index, tag in enumerate(marble.tls):
            if tag not in manifest.tls:
                message = f"manifest misses TLS entry for {shown(tag)}"
                issues.invalid((*path, "TLS", index), message, hint=issues.nearest(tag, manifest.tls))


def _check_package(name: str, package: Package, issues: Issues) -> None:
    """Only packages that a marble names are judged, and debug ones hardly (``lint`` tells)."""
    if package.debug:
        return
    path: JsonPath = ("Packages", name)
    missing = missing_identity(package)
    if package.unique_id is not None and len(missing) < 3:
        message = "manifest specifies both UniqueID *and* SignerID/ProductID/SecurityVersion in package "
        issues.invalid((*path, "UniqueID"), message + shown(name))
    if package.unique_id is None:
        for field in missing:
            issues.invalid((*path, field), f"manifest misses value for {field} in package {shown(name)}")


def missing_identity(package: Package) -> tuple[str, ...]:
    """Which of SignerID, ProductID and SecurityVersion *package* does not pin. ProductID 0 is pinned."""
    values = {
        "SignerID": package.signer_id,
        "ProductID": package.product_id,
        "SecurityVersion": package.security_version,
    }
    return tuple(field for field, value in values.items() if value is None)


def _check_tls(manifest: Manifest, tag: str, entry: TLSTag, issues: Issues) -> None:
    for index, incoming in enumerate(entry.incoming):
        path: JsonPath = ("TLS", tag, "Incoming", index)
        name = f"TLS.Incoming.{shown(tag)}"
        if not incoming.port:
            issues.invalid((*path, "Port"), f"manifest misses Port in {name}")
        if incoming.cert and incoming.cert not in manifest.secrets:
            message = f"{name} references undefined secret {shown(incoming.cert)}"
            issues.invalid((*path, "Cert"), message, hint=issues.nearest(incoming.cert, manifest.secrets))
        if incoming.cert and not incoming.disable_client_auth:
            issues.invalid((*path, "Cert"), f"{name} defines Cert but does not disable client authentication")
        if incoming.disable_client_auth and not incoming.cert:
            message = f"{name} disables client authentication"
            issues.invalid((*path, "DisableClientAuth"), message, hint="it needs Cert beside it")
    for index, outgoing in enumerate(entry.outgoing):
        for field, value in (("Addr", outgoing.addr), ("Port", outgoing.port)):
            if not value:
                message = f"manifest misses {field} in TLS.Outgoing.{shown(tag)}"
                issues.invalid(("TLS", tag, "Outgoing", index, field), message)


def _check_users(manifest: Manifest, issues: Issues) -> None:
    holders: dict[str, str] = {}
    for name, user in manifest.users.items():
        path: JsonPath = ("Users", name)
        # Under GitOps signing keys identify; the certificate is MarbleRun's wish (approvals.md section 1).
        if not user.certificate and manifest.gitops is None:
            issues.invalid((*path, "Certificate"), f"manifest misses certificate for user {shown(name)}")
        first = holders.setdefault(user.certificate, name)
        if user.certificate and first != name:
            message = f"manifest contains the same certificate for users {shown(first)} and {shown(name)}"
            issues.invalid((*path, "Certificate"), message)
        for index, role in enumerate(user.roles):
            if role not in manifest.roles:
                message = f"role {shown(role)} of user {shown(name)} is not defined"
                issues.invalid((*path, "Roles", index), message, hint=issues.nearest(role, manifest.roles))


def _check_role(manifest: Manifest, name: str, role: Role, issues: Issues) -> None:
    path: JsonPath = ("Roles", name)
    if role.resource_type not in ACTIONS:
        message = f"unrecognized resource type: {shown(role.resource_type)} for role: {shown(name)}"
        issues.invalid((*path, "ResourceType"), message, hint=issues.nearest(role.resource_type, ACTIONS))
        return
    actions = {action.lower(): action for action in ACTIONS[role.resource_type]}
    for index, action in enumerate(role.actions):
        if action not in actions:
            message = f"unknown action: {shown(action)} for type {role.resource_type} in role: {shown(name)}"
            issues.invalid((*path, "Actions", index), message, hint=issues.nearest(action, actions.values()))
    if role.resource_type == "Manifest":
        if role.resource_names:
            message = f"ResourceNames must be empty for type Manifest in role: {shown(name)}"
            issues.invalid((*path, "ResourceNames"), message)
        return
    granted = frozenset(role.actions)
    known: Any = manifest.packages if role.resource_type == "Packages" else manifest.secrets
    for index, resource in enumerate(role.resource_names):
        place = (*path, "ResourceNames", index)
        if resource not in known:
            message = f"role {shown(name)} names {shown(resource)}, which is not in {role.resource_type}"
            issues.invalid(place, message, hint=issues.nearest(resource, known))
        elif role.resource_type == "Secrets":
            _check_secret_right(
                manifest.secrets[resource], granted, (shown(name), shown(resource)), place, issues
            )


def _check_secret_right(
    secret: Secret, actions: frozenset[str], names: tuple[str, str], path: JsonPath, issues: Issues
) -> None:
    """Refuse to let write what nobody uploads, and to let read what belongs to one marble alone."""
    role, name = names
    # A name may hold a percent sign or braces: it is never part of a format.
    if "writesecret" in actions and not secret.user_defined:
        issues.invalid(path, f"role {role} grants WriteSecret on secret {name}, which is not user-defined")
    if "readsecret" in actions and not (secret.shared or secret.user_defined):
        words = f"role {role} grants ReadSecret on secret {name}, which is neither shared nor user-defined"
        issues.invalid(path, words)


def _check_secrets(manifest: Manifest, issues: Issues) -> None:
    for name, secret in manifest.secrets.items():
        path: JsonPath = ("Secrets", name)
        if secret.type not in SECRET_TYPES:
            message = f"unknown type: {shown(secret.type)} for secret: {shown(name)}"
            issues.invalid((*path, "Type"), message, hint=issues.nearest(secret.type, sorted(SECRET_TYPES)))
        template = _check_template(secret, path, issues)
        dated = template is not None and template.not_after is not None
        if secret.type in CERTIFICATE_TYPES and dated and secret.valid_for:
            message = f"secret {shown(name)} sets both ValidFor and Cert.NotAfter"
            issues.invalid((*path, "ValidFor"), message, hint="keep one of the two")


def _check_template(secret: Secret, path: JsonPath, issues: Issues) -> CertificateTemplate | None:
    """Read the certificate template; one that is to become a certificate must be able to."""
    try:
        template = read_template(secret.cert)
        if secret.type in CERTIFICATE_TYPES and not secret.user_defined:
            check_creatable(template)
    except CertificateTemplateError as error:
        issues.invalid((*path, "Cert", *error.path), error.message)
        return None
    return template


def _check_config(manifest: Manifest, issues: Issues) -> None:
    config = manifest.config
    holders = len(may_update_manifest(manifest))
    threshold = config.update_threshold or 0
    if holders < threshold:
        message = (
            f"not enough users with manifest update permissions ({holders}) "
            f"to meet the threshold of {threshold}"
        )
        issues.invalid(("Config", "UpdateThreshold"), message)
    if config.seal_mode not in SEAL_MODES:
        message = f"unknown seal mode: {shown(config.seal_mode)}"
        issues.invalid(("Config", "SealMode"), message, hint=issues.nearest(config.seal_mode, SEAL_MODES[1:]))
    known = {gate.lower() for gate in FEATURE_GATES}
    for index, gate in enumerate(config.feature_gates):
        if gate.lower() not in known:
            message = f"unknown feature gate: {shown(gate)}"
            issues.invalid(
                ("Config", "FeatureGates", index), message, hint=issues.nearest(gate, FEATURE_GATES)
            )
    keys, needed = len(manifest.recovery_keys), config.recovery_threshold
    path: JsonPath = ("Config", "RecoveryThreshold")
    if keys < needed:
        issues.invalid(path, f"not enough recovery keys ({keys}) to meet the recovery threshold of {needed}")
    if needed == 1:
        issues.invalid(path, "invalid recovery threshold: if set, threshold must be at least 2")
