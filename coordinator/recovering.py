"""The recovery use case: the owners bring the data key back, and the saved state goes on.

MarbleRun's calls and messages (marblerun-core 7.3 to 7.5). The owners' signatures can be checked only once
the state is open, since the keys to check them stand in its manifest; before they hold, nothing is durable
and nothing is served.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from coordinator import guard as guarding
from coordinator.audit import audit
from coordinator.domain.phase import Phase
from coordinator.domain.recovery import PLAIN_SIZES, Found, RecoveryProgress, needed_of, recreated
from coordinator.domain.recovery_keys import OAEP, check_signatures, well_signed
from coordinator.errors import RecoveryRefusedError, UndecryptableSecretError, WrongPhaseError
from coordinator.ports import SealPolicy

if TYPE_CHECKING:
    from coordinator.core import Core
    from coordinator.domain.state import State
    from coordinator.vault import Vault

EPHEMERAL_KEY_BITS = 4096
_SUCCESS = "Recovery successful."
_PROCESSED = "Secret was processed successfully. Upload the next secret. Remaining secrets: {}"
_SIGNED_WORDS = (
    "the saved state is one of signed deployments, or it is not known to be another: no call sets it aside. "
    "Recover it, or start the Coordinator with EDG_COORDINATOR_ALLOW_RESET=1 to give it up"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryAnswer:
    """How many secrets remain (with a threshold an upper bound), and MarbleRun's words for it."""

    remaining: int
    message: str


class Recovery:
    """Collects recovery secrets while the saved state waits for its key."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._ephemeral: rsa.RSAPrivateKey | None = None
        self._progress: RecoveryProgress | None = None
        self._signatures: dict[bytes, bytes] = {}
        self._kept: frozenset[bytes] = frozenset()

    def public_key(self) -> bytes:
        """Return the key to encrypt secrets for, as SubjectPublicKeyInfo; made when first asked for.

        Raises:
            WrongPhaseError: nothing waits for recovery.
        """
        with self._core.deciding:
            self._waiting()
            if self._ephemeral is None:
                self._ephemeral = rsa.generate_private_key(65537, EPHEMERAL_KEY_BITS)
            public_key = self._ephemeral.public_key()
        return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def recover(self, secret: bytes, signature: bytes) -> RecoveryAnswer:
        """Take one recovery *secret*, plain or encrypted, and its holder's *signature* over the plain one.

        Raises:
            WrongPhaseError: nothing waits for recovery.
            UndecryptableSecretError: the secret is encrypted, but not for this Coordinator.
            RecoveryRefusedError: the secret is none of this state, or not all signatures are those of the
            recovery keys. What was collected and is well signed stays; MarbleRun forgets it, so that one
            holder could undo the work of all, again and again.
            CorruptStateError, SealError: the state that the key opens is not intact.
            StoreError: the store failed.
        """
        with self._core.deciding:
            state = self._waiting()
            plain = self._decrypted(secret)
            vault = self._core.guard.vault
            progress = self._progress or _begin(vault)
            # A kept secret's holder was asked to send again and need not know that it is here.
            if any(hmac.compare_digest(plain, one) for one in self._kept):
                self._kept -= {plain}
                return _processed(progress.remaining + len(self._kept))
            self._progress, remaining, found = progress.offer(plain, vault.opens)
            self._signatures[plain] = signature
            if found is None:
                return _processed(remaining)
            self._kept = frozenset()
            try:
                self._complete(state, vault, found)
            finally:
                self._keep(self._kept)
            self._ephemeral = None
            return RecoveryAnswer(remaining=0, message=_SUCCESS)

    def _keep(self, good: frozenset[bytes]) -> None:
        """Go on with the *good* secrets collected so far, and forget the rest."""
        assert self._progress is not None
        self._progress = self._progress.only(good) if good else None
        self._signatures = {secret: mark for secret, mark in self._signatures.items() if secret in good}

    def reset(self) -> State:
        """Set the saved state aside, for a first manifest that replaces it; return the fresh state.

        Raises:
            WrongPhaseError: nothing waits for recovery, or the saved state is a signed deployment's.
            StoreError: the old files could not be renamed; nothing changed.
        """
        with self._core.deciding:
            state = self._waiting()
            vault = self._core.guard.vault
            if vault.facts is None or vault.facts.signed:
                raise WrongPhaseError(_SIGNED_WORDS)
            fresh = replace(state, phase=Phase.ACCEPTING_MANIFEST)
            emptied = vault.emptied(self._core.ports.clock.now().strftime("%Y%m%dT%H%M%SZ"))
            self._core.guard.replace(fresh, None, emptied)
            self._progress, self._signatures, self._ephemeral = None, {}, None
            self._kept = frozenset()
            return fresh

    def _waiting(self) -> State:
        state = self._core.snapshot()
        if state.phase is not Phase.RECOVERY:
            raise WrongPhaseError
        return state

    def _decrypted(self, secret: bytes) -> bytes:
        if len(secret) in PLAIN_SIZES:
            return secret
        if self._ephemeral is None:
            raise UndecryptableSecretError("no key to encrypt for was asked for yet")
        try:
            return self._ephemeral.decrypt(secret, OAEP)
        except ValueError as error:
            raise UndecryptableSecretError("decryption error") from error

    def _complete(self, state: State, locked: Vault, found: Found) -> None:
        """Open the state, check who opened it and what it holds, wrap its key for this platform, serve it."""
        vault = locked.unlocked(found.key)
        recovered, pointer = guarding.read(replace(state, phase=Phase.ACCEPTING_MANIFEST), vault)
        assert recovered.enforcement is not None
        manifest = recovered.enforcement.manifest
        signatures = {secret: self._signatures[secret] for secret in found.secrets}
        try:
            check_signatures(manifest.recovery_keys, needed_of(manifest), signatures)
        except RecoveryRefusedError:
            if vault.facts is not None and vault.facts.recovery is not None:
                self._kept = well_signed(manifest.recovery_keys, signatures)
            raise
        audit(recovered, vault)
        self._core.quote(recovered, None)
        if vault.facts is None:
            policy = guarding.seal_policy(manifest) or SealPolicy.PRODUCT
            signed = recovered.enforcement.deployment is not None
            vault = vault.recorded(recreated(found), policy, signed=signed)
        vault.ensure_wrapped()
        self._core.guard.replace(recovered, pointer, vault)


def _processed(remaining: int) -> RecoveryAnswer:
    return RecoveryAnswer(remaining=remaining, message=_PROCESSED.format(remaining))


def _begin(vault: Vault) -> RecoveryProgress:
    if vault.locked is None:
        raise RecoveryRefusedError(
            "this state was saved by version 0.1, which knew no recovery keys: only the machine and the "
            "build that saved it can open it"
        )
    return RecoveryProgress(data=None if vault.facts is None else vault.facts.recovery)
