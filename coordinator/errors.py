"""Every way the Coordinator says no.

One class is one kind of refusal; ``api/errors.py`` holds the one table that turns a class into a code, a gRPC
status and an HTTP status (architecture.md decision 8), and a test walks the classes of this module. Messages
are written for the caller and never hold a secret, a file name of the host or the text of a foreign
exception.
"""

from __future__ import annotations


class CoordinatorError(Exception):
    """Root of all errors that may be shown to a caller."""


class WrongPhaseError(CoordinatorError):
    """The call is not allowed in the phase the Coordinator is in (marblerun-core section 2)."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("server is not in expected state" + (f": {detail}" if detail else ""))


class ManifestNotSetError(CoordinatorError):
    """A value is asked for that exists only once a manifest is set."""

    def __init__(self) -> None:
        super().__init__("requested value not set")


class ManifestRefusedError(CoordinatorError):
    """A manifest that is not acceptable on this path; the message says where and why."""


class NotSupportedYetError(CoordinatorError):
    """A MarbleRun feature that a later version brings. Refused, never half done."""

    def __init__(self, feature: str, comes_with: str) -> None:
        super().__init__(f"{feature} is not supported yet: it comes with {comes_with!r}")
        self.feature = feature
        self.comes_with = comes_with


class GitOpsNotEnabledError(CoordinatorError):
    """A gitops call where no manifest with a GitOps section is enforced (approvals.md section 3, Genesis)."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"gitops-not-enabled: {detail}")


class UnsupportedStatementError(CoordinatorError):
    """Withdrawals and revocations, whose rules come later (approvals.md section 2)."""

    def __init__(self) -> None:
        super().__init__("unsupported-statement: withdrawals and revocations are not supported yet")


class ConflictError(CoordinatorError):
    """The state changed between the decision and the commit. Nothing was changed; ask again."""

    def __init__(self) -> None:
        super().__init__("conflict: the state changed while this call was being decided")


class MalformedRequestError(CoordinatorError):
    """A request body or query that cannot be read."""


class TooLargeError(CoordinatorError):
    """A request beyond its size limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"too-large: the request is larger than {limit} bytes")
        self.limit = limit


class TooManyRequestsError(CoordinatorError):
    """More update calls than this process takes."""

    def __init__(self) -> None:
        super().__init__("too many update calls; try again in a moment")


class BusyError(CoordinatorError):
    """More activations wait than this process lets wait."""

    def __init__(self) -> None:
        super().__init__("too many marbles wait for their activation; try again in a moment")


class SlowRequestError(CoordinatorError):
    """A body that did not arrive in time."""

    def __init__(self) -> None:
        super().__init__("the request body did not arrive in time")


class RouteError(CoordinatorError):
    """No such path, or not with this method. MarbleRun answers both alike (marblerun-core section 11)."""

    def __init__(self) -> None:
        super().__init__("")


class NotAvailableError(CoordinatorError):
    """A thing this Coordinator does not have, such as collateral outside simulation."""


class ForbiddenError(CoordinatorError):
    """A thing this caller may not read."""


class UnauthenticatedError(CoordinatorError):
    """A marble that presented no TLS certificate."""

    def __init__(self) -> None:
        super().__init__("couldn't get marble TLS certificate")


class MarbleRefusedError(CoordinatorError):
    """A marble that is not what the manifest asks for, or one too many."""

    def __init__(self, why: str) -> None:
        super().__init__(f"marble verification failed: {why}")


class MarblePhaseError(CoordinatorError):
    """A marble that comes before there is a manifest."""

    def __init__(self) -> None:
        super().__init__("cannot accept marbles in current state")


class InvalidMarbleRequestError(CoordinatorError):
    """An activation request whose UUID or message cannot be read."""


class ActivationFailedError(CoordinatorError):
    """A verified marble whose credentials or parameters could not be made."""


class PlatformError(CoordinatorError):
    """The platform is not the one that was named, may not be used, or does not answer."""


class StoreError(CoordinatorError):
    """The store failed. Nothing changed, unless the guard says that it cannot know."""


class CorruptStateError(CoordinatorError):
    """What the store holds contradicts itself. The Coordinator refuses to start rather than to guess."""


class SealError(CoordinatorError):
    """A sealed value that this enclave's key opens only as altered bytes."""


class ForeignSealError(SealError):
    """A value sealed by another enclave identity: a case for recovery, not for an alarm."""


class GitOpsEnforcedError(CoordinatorError):
    """A call of MarbleRun's owners where signed commits decide (approvals.md section 3)."""

    def __init__(self) -> None:
        super().__init__(
            "signed commits decide what this deployment enforces: use POST /api/v2/gitops/update, or push to "
            "the repository that its reconciler watches"
        )


class UserUnauthenticatedError(CoordinatorError):
    """A caller whose certificate is none of a user of the manifest (marblerun-core 5.9)."""

    def __init__(self) -> None:
        super().__init__("unauthorized user: client certificate did not match any MarbleRun users")


class MarbleUnauthenticatedError(CoordinatorError):
    """A caller whose certificate is none of a marble under the current marble root (section 9)."""

    def __init__(self, why: str = "client certificate did not match any Marble") -> None:
        super().__init__(f"unauthorized marble: {why}")


class NotPermittedError(CoordinatorError):
    """A user of the manifest who has no right to what was asked."""


class UpdateRefusedError(CoordinatorError):
    """An update of MarbleRun's owners that is not acceptable, or an acknowledgement that fits none."""


class UpdateInProgressError(CoordinatorError):
    """An update while another one waits for acknowledgements (marblerun-core 6.2)."""

    def __init__(self) -> None:
        super().__init__(
            "update already in progress. Acknowledge the update to apply it, or cancel it to start a new one"
        )


class NoUpdateInProgressError(CoordinatorError):
    """A pending update is asked for, and there is none."""

    def __init__(self) -> None:
        super().__init__("no update in progress")


class SecretRefusedError(CoordinatorError):
    """A secret that cannot be written or read as asked (marblerun-core 5.7, 5.8)."""


class FeatureDisabledError(CoordinatorError):
    """A call behind a feature gate that the manifest does not open (section 9)."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"{feature} feature is not enabled in the manifest")
        self.feature = feature


class QuoteRefusedError(CoordinatorError):
    """A quote that sign-quote does not vouch for; ``why`` is shown beside it."""

    def __init__(self, why: str) -> None:
        super().__init__("quote verification failed")
        self.why = why


class CounterRefusedError(CoordinatorError):
    """A monotonic counter that cannot be kept."""


class RecoveryRefusedError(CoordinatorError):
    """A recovery secret, or a set of them, that does not lead back to the state."""


class UndecryptableSecretError(CoordinatorError):
    """A recovery secret that is no ciphertext for the key that was handed out (7.3)."""

    def __init__(self, why: str) -> None:
        super().__init__(f"failed to decrypt recovery secret: {why}")
