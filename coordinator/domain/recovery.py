"""Recovery keys: how the data key is made and shared out, and how its holders bring it back.

MarbleRun's rules (marblerun-core section 7). What is ours: the hash of the secret is kept for a single key
too, so that a wrong secret is refused at once (A11), and ``RecoveryProgress`` is a value: each secret offered
gives the next one, a refused secret changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING

from coordinator.domain import shamir
from coordinator.domain.recovery_keys import encrypt_for, read_public_keys
from coordinator.errors import CorruptStateError, ManifestRefusedError, RecoveryRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric import rsa

    from marbleops.manifest.model import Manifest

KEY_SIZE = 32
SHARE_SIZE = KEY_SIZE + 1
PLAIN_SIZES = frozenset({16, KEY_SIZE, SHARE_SIZE})
"""A recovery secret of one of these sizes is plain, of any other it is encrypted (marblerun-core 7.3)."""
MAX_GUESSED_SECRETS = 16
"""Secrets remembered where the recovery data are lost: every subset of them is tried."""
_REFUSED = "uploaded an invalid or already used secret"
_WRONG_LENGTH = "invalid secret length"


class Sharing(StrEnum):
    """How the data key was given to the recovery keys."""

    NONE = "none"
    SINGLE = "single"
    XOR = "xor"
    SHAMIR = "shamir"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryData:
    """What is kept in plain: how many secrets there are, how many are needed, and the SHA-256 of each."""

    sharing: Sharing
    needed: int
    hashes: frozenset[str]

    @classmethod
    def of(cls, sharing: Sharing, secrets: Sequence[bytes], *, needed: int) -> RecoveryData:
        """Describe *secrets*."""
        return cls(sharing=sharing, needed=needed, hashes=frozenset(map(_hash, secrets)))

    def to_json(self) -> dict[str, object]:
        """Return the plain form."""
        return {"sharing": self.sharing.value, "needed": self.needed, "hashes": sorted(self.hashes)}

    @classmethod
    def from_json(cls, document: object) -> RecoveryData:
        """Read the plain form.

        Raises:
            CorruptStateError: it is none, or it contradicts itself.
        """
        match document:
            case {"sharing": str(sharing), "needed": int(needed), "hashes": list(hashes)} if sharing in set(
                Sharing
            ) and all(isinstance(one, str) for one in hashes):
                data = cls(sharing=Sharing(sharing), needed=needed, hashes=frozenset(hashes))
                if len(data.hashes) == len(hashes) <= shamir.MAX_SHARES and 0 <= needed <= len(hashes):
                    return data
        raise CorruptStateError("recovery data cannot be read")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """A new data key: the key itself, what is kept about it in plain, and its encrypted parts by key name."""

    key: bytes = field(repr=False)
    data: RecoveryData
    secrets: Mapping[str, bytes]


def generate(keys: Mapping[str, str], threshold: int, *, random: Callable[[int], bytes]) -> KeyChange:
    """Make a data key and share it out to the recovery *keys*, PEM by name (marblerun-core 7.2).

    Raises:
        ManifestRefusedError: a key is no RSA public key, or too short.
    """
    public_keys = check_recovery_keys(keys)
    count = len(public_keys)
    if count > 1 and 0 < threshold < count:
        key = random(KEY_SIZE)
        parts = shamir.split(key, shares=count, threshold=threshold, random=random)
        data = RecoveryData.of(Sharing.SHAMIR, parts, needed=threshold)
    else:
        parts = tuple(random(KEY_SIZE) for _ in range(max(1, count)))
        key = xor(parts)
        sharing = (Sharing.NONE, Sharing.SINGLE, Sharing.XOR)[min(count, 2)]
        data = RecoveryData.of(sharing, parts if count else (), needed=count)
    encrypted = {
        name: encrypt_for(public_key, part)
        for (name, public_key), part in zip(public_keys.items(), parts, strict=False)
    }
    return KeyChange(key=key, data=data, secrets=MappingProxyType(encrypted))


def check_recovery_keys(keys: Mapping[str, str]) -> dict[str, rsa.RSAPublicKey]:
    """Read the recovery keys of a manifest as ``generate`` will, by name.

    Raises:
        ManifestRefusedError: as ``generate``.
    """
    try:
        return read_public_keys(keys)
    except ManifestRefusedError as error:
        raise ManifestRefusedError(f"generating recovery encryption key: {error}") from error


def changed(old: Manifest, new: Manifest) -> bool:
    """Say whether the recovery keys changed; a threshold of 0 and one of all keys are the same."""
    return old.recovery_keys != new.recovery_keys or needed_of(old) != needed_of(new)


def needed_of(manifest: Manifest) -> int:
    """Return how many recovery keys together recover the state."""
    return manifest.config.recovery_threshold or len(manifest.recovery_keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The data key, and the secrets that gave it."""

    key: bytes = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryProgress:
    """The secrets collected so far. ``data`` is None where the recovery data are lost."""

    data: RecoveryData | None
    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    def offer(
        self, secret: bytes, opens: Callable[[bytes], bool]
    ) -> tuple[RecoveryProgress, int, Found | None]:
        """Take one more *secret*; return the progress, how many remain, and the key if it is found.

        *opens* says whether a key is the one of the state.

        Raises:
            RecoveryRefusedError: the secret is none of this state, or was given before; nothing changed.
        """
        if self.data is None:
            return self._guess(secret, opens)
        if self.data.sharing is Sharing.NONE:
            raise RecoveryRefusedError("this state cannot be recovered: its manifest has no recovery keys")
        wanted = SHARE_SIZE if self.data.sharing is Sharing.SHAMIR else KEY_SIZE
        if len(secret) != wanted:
            raise RecoveryRefusedError(_WRONG_LENGTH)
        if _hash(secret) not in self.data.hashes or _holds(self.secrets, secret):
            raise RecoveryRefusedError(_REFUSED)
        collected = RecoveryProgress(data=self.data, secrets=(*self.secrets, secret))
        remaining = len(self.data.hashes) - len(collected.secrets)
        if len(collected.secrets) < self.data.needed:
            return collected, remaining, None
        combine = shamir.combine if self.data.sharing is Sharing.SHAMIR else xor
        key = combine(collected.secrets)
        if opens(key):
            return collected, 0, Found(key=key, secrets=collected.secrets)
        if remaining == 0:
            raise RecoveryRefusedError("the recovery secrets do not give the key of this state")
        return collected, remaining, None

    def _guess(
        self, secret: bytes, opens: Callable[[bytes], bool]
    ) -> tuple[RecoveryProgress, int, Found | None]:
        """Without recovery data only trying can tell: the secret alone, then XORed with those before it."""
        if len(secret) != KEY_SIZE:
            raise RecoveryRefusedError(_WRONG_LENGTH)
        if len(self.secrets) >= MAX_GUESSED_SECRETS:
            raise RecoveryRefusedError(
                f"{MAX_GUESSED_SECRETS} secrets do not give the key of this state; restart the Coordinator "
                "and upload only those of the newest recovery keys"
            )
        if _holds(self.secrets, secret):
            return self, 1, None
        for others in _subsets(self.secrets):
            key = xor((*others, secret))
            if opens(key):
                return self, 0, Found(key=key, secrets=(*others, secret))
        return RecoveryProgress(data=None, secrets=(*self.secrets, secret)), 1, None

    @property
    def remaining(self) -> int:
        """How many secrets there are beside those collected; with a threshold more than are needed."""
        return 1 if self.data is None else len(self.data.hashes) - len(self.secrets)

    def only(self, good: frozenset[bytes]) -> RecoveryProgress:
        """Keep the *good* ones of the secrets collected."""
        return RecoveryProgress(data=self.data, secrets=tuple(one for one in self.secrets if one in good))


def recreated(found: Found) -> RecoveryData:
    """Return the recovery data that the secrets of *found* must have had (marblerun-core 7.4)."""
    count = len(found.secrets)
    return RecoveryData.of(Sharing.XOR if count > 1 else Sharing.SINGLE, found.secrets, needed=count)


def xor(parts: Sequence[bytes]) -> bytes:
    """XOR *parts* of equal length."""
    return reduce(lambda a, b: bytes(x ^ y for x, y in zip(a, b, strict=True)), parts)


def _subsets(secrets: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    sizes = range(len(secrets) + 1)
    return itertools.chain.from_iterable(itertools.combinations(secrets, size) for size in sizes)


def _holds(secrets: tuple[bytes, ...], secret: bytes) -> bool:
    return any(hmac.compare_digest(one, secret) for one in secrets)


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
