"""Whose key signs here: the key Git is told to sign with, and the user that the manifest lists it under."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from marbleops.cli.errors import CommandError, UsageProblem
from marbleops.cli.exits import Exit
from marbleops.cli.files import read_bytes
from marbleops.cli.git import Repository, ssh_keygen_program

if TYPE_CHECKING:
    from marbleops.approval.sshkey import PublicKey
    from marbleops.manifest.model import Manifest

MAX_KEY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that will sign. ``reference`` is what Git's ``user.signingKey`` takes."""

    reference: str
    public: PublicKey

    def git_config(self) -> dict[str, str]:
        """Return the settings that make Git sign with exactly this key."""
        return {"gpg.format": "ssh", "user.signingKey": self.reference}


def signing_key(repository: Repository, key_file: Path | None) -> SigningKey:
    """Return the key that signs: *key_file*, else what the user's Git configuration says.

    Raises:
        UsageProblem: there is none, it is not an SSH key, or it cannot be read.
    """
    if key_file is not None:
        return SigningKey(reference=str(key_file.resolve()), public=public_key_of(key_file))
    if (repository.config("gpg.format") or "openpgp") != "ssh":
        raise UsageProblem(
            "your Git does not sign with an SSH key, and other kinds do not count yet",
            where="git config gpg.format",
            next_step="git config gpg.format ssh && git config user.signingKey ~/.ssh/id_ed25519.pub",
        )
    configured = repository.config("user.signingKey")
    if configured is None:
        raise UsageProblem(
            "Git has no signing key",
            where="git config user.signingKey",
            next_step="git config user.signingKey ~/.ssh/id_ed25519.pub, or give --key FILE",
        )
    literal = configured.removeprefix("key::")
    if literal != configured or literal.startswith(("ssh-", "ecdsa-", "sk-")):
        return SigningKey(reference=configured, public=_parse(literal, "git config user.signingKey"))
    file = Path(repository.config_path("user.signingKey") or configured)
    file = file if file.is_absolute() else repository.folder / file
    return SigningKey(reference=str(file), public=public_key_of(file))


def public_key_of(file: Path) -> PublicKey:
    """Return the public half of a key file: the file itself, ``FILE.pub``, or asked from ``ssh-keygen``.

    Raises:
        UsageProblem: none of them gives an SSH public key.
    """
    beside = file.with_name(f"{file.name}.pub")
    if file.suffix == ".pub":
        return _parse(_text(file), str(file))
    if beside.is_file():
        return _parse(_text(beside), str(beside))
    if not file.is_file():
        raise UsageProblem("no such key file", where=str(file))
    done = subprocess.run(  # noqa: S603 - an argument list, absolute path, no shell
        [ssh_keygen_program(), "-y", "-f", str(file.resolve())], stdout=subprocess.PIPE, check=False
    )
    if done.returncode != 0:
        raise UsageProblem("ssh-keygen cannot read this key", where=str(file))
    return _parse(done.stdout.decode("utf-8", "replace"), str(file))


def user_of(manifest: Manifest, key: PublicKey) -> str | None:
    """Return the user whom *manifest* lists *key* under; None where it lists it under nobody."""
    from marbleops.approval.errors import EvidenceError
    from marbleops.approval.sshkey import parse_public_key

    for name, user in manifest.users.items():
        for text in user.signing_keys:
            try:
                listed = parse_public_key(text)
            except EvidenceError:
                continue
            if listed.blob == key.blob:
                return name
    return None


def require_user(manifest: Manifest, key: PublicKey, *, what: str) -> str:
    """Return the user of *key* in *manifest*.

    Raises:
        CommandError: it lists the key under nobody, so a signature by it counts nowhere.
    """
    user = user_of(manifest, key)
    if user is None:
        raise CommandError(
            f"{what} lists your key {key.fingerprint} under nobody: a signature by it would not count",
            exit_code=Exit.REFUSED,
            next_step="marbleops approve --key FILE with a listed key, or --prove-key for a new one",
        )
    return user


def _text(file: Path) -> str:
    return read_bytes(file, limit=MAX_KEY_BYTES).decode("utf-8", "replace")


def _parse(text: str, where: str) -> PublicKey:
    from marbleops.approval.errors import EvidenceError
    from marbleops.approval.sshkey import parse_public_key

    try:
        return parse_public_key(text.strip())
    except EvidenceError as error:
        raise UsageProblem(f"not a usable SSH public key: {error}", where=where) from error
