"""What templates read and what they become: files and environment of one marble (marblerun-core 4.5, 5.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from coordinator.errors import ActivationFailedError
from marbleops.manifest.model import Secret
from marbleops.manifest.template import (
    Path,
    Root,
    Target,
    TemplateError,
    TemplateValue,
    parse_template,
    render,
)

if TYPE_CHECKING:
    from coordinator.domain.pki import Authorities, KeyPair
    from coordinator.domain.secrets import Material
    from marbleops.manifest.model import File

Resolve = Callable[[Path], TemplateValue]
_PARSED_TEMPLATES = 512
"""Every marble of a type renders the same ones; they are the manifest's and hold no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A marble's fresh certificate and key, and the authorities above it."""

    authorities: Authorities
    leaf: KeyPair = field(repr=False)


def reserved_env(credentials: Credentials) -> dict[str, bytes]:
    """Return the variables the Coordinator sets; they overwrite the manifest's (4.5)."""
    authorities, leaf = credentials.authorities, credentials.leaf
    chain = leaf.certificate_pem + authorities.intermediate.certificate_pem
    return {
        "MARBLE_PREDEFINED_ROOT_CA": authorities.marble_root.certificate_pem,
        "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN": chain,
        "MARBLE_PREDEFINED_PRIVATE_KEY": leaf.key_pem,
        "MARBLE_PREDEFINED_COORDINATOR_ROOT_CA": authorities.root.certificate_pem,
    }


def resolver(
    credentials: Credentials,
    definitions: Mapping[str, Secret],
    *,
    current: Mapping[str, Material],
    previous: Mapping[str, Material],
) -> Resolve:
    """Return the function that gives templates their values."""

    def resolve(path: Path) -> TemplateValue:
        if path.root is Root.MARBLERUN:
            return _reserved_value(credentials, path.name)
        material = (current if path.root is Root.SECRETS else previous)[path.name]
        return template_value(material, definitions[path.name])

    return resolve


_NO_DEFINITION = Secret(type="")


def _reserved_value(credentials: Credentials, name: str) -> TemplateValue:
    authorities, leaf = credentials.authorities, credentials.leaf
    match name:
        case "RootCA":
            cert = authorities.marble_root.certificate_der
        case "MarbleCert":
            return TemplateValue(
                definition=_NO_DEFINITION,
                cert=leaf.certificate_der,
                public=leaf.spki,
                private=leaf.key_pkcs8,
            )
        case "CoordinatorRoot":
            cert = authorities.root.certificate_der
        case "CoordinatorIntermediate":
            cert = authorities.intermediate.certificate_der
        case _:
            raise KeyError(name)
    return TemplateValue(definition=_NO_DEFINITION, cert=cert)


def template_value(material: Material, definition: Secret) -> TemplateValue:
    """Show a secret to the templates."""
    return TemplateValue(
        type=material.type,
        cert=material.cert,
        public=material.public,
        private=material.private,
        definition=definition,
    )


def render_file(name: str, file: File, resolve: Resolve) -> bytes:
    """Render a file.

    Raises:
        ActivationFailedError: its template reads an empty or missing value.
    """
    return _render(
        file, Target.FILE, f'customizing marble parameters: parsing secrets for file "{name}"', resolve
    )


def render_env(name: str, file: File, resolve: Resolve) -> bytes:
    """Render an environment variable.

    Raises:
        ActivationFailedError: its template reads an empty or missing value.
    """
    place = f'customizing marble parameters: parsing secrets for env variable "{name}"'
    return _render(file, Target.ENV, place, resolve)


_parsed = lru_cache(maxsize=_PARSED_TEMPLATES)(parse_template)


def _render(file: File, target: Target, place: str, resolve: Resolve) -> bytes:
    if file.no_templates:
        return file.data
    try:
        return render(_parsed(file.data, target=target), resolve)
    except TemplateError as error:
        raise ActivationFailedError(f"{place}: {error}") from error
    except KeyError as error:
        raise ActivationFailedError(f"{place}: secret does not exist") from error
