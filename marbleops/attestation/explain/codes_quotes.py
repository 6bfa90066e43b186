"""The codes of enclaves' quotes, of certificates and of collateral, in words."""

from __future__ import annotations

from typing import Final

from marbleops.attestation.explain.about import FETCH, REPORT, SEND_AGAIN, SOURCE, About
from marbleops.attestation.verdict import Code

OF_QUOTES: Final = {
    Code.OK: About(
        "The evidence verifies.",
        "Every check was passed, with any TCB status but Revoked.",
        "Compare it with your packages: `marbleops attest explain FILE --manifest MANIFEST`.",
    ),
    Code.EVIDENCE_TOO_LARGE: About(
        "The evidence is longer than any real one.",
        "Another file was given, or somebody tries to keep the verifier busy.",
        "Give the quote or report itself, at most 32 KiB.",
    ),
    Code.EVIDENCE_HEADER: About(
        "The Open Enclave header around the quote is wrong.",
        "A local report, an unknown format, or a length that is not that of what follows.",
        "Ask the enclave for a remote report, and send all of it.",
    ),
    Code.EVIDENCE_CLAIMS: About(
        "The custom claims are not the ones that the report data is the hash of.",
        "Claims were changed on the way, or belong to other evidence.",
        "Send claims and quote of one call of the enclave together.",
    ),
    Code.QUOTE_TRUNCATED: About(
        "The quote ends before all of its parts are there.",
        "It was cut while copying, or a length inside it was changed.",
        SEND_AGAIN,
    ),
    Code.QUOTE_VERSION: About(
        "The version of the quote or report is none that is known.",
        "EPID quotes (version 1 or 2), a format newer than this verifier, or no quote at all.",
        "Use ECDSA quotes (SGX version 3, TDX 4 or 5) or SEV-SNP reports of version 2 to 5.",
    ),
    Code.QUOTE_VERSION_TEE_MISMATCH: About(
        "Version and kind of environment do not go together.",
        "SGX quotes are version 3, those of trust domains 4 or 5; anything else was made up.",
        SEND_AGAIN,
    ),
    Code.QUOTE_TEE_TYPE: About(
        "The quote names a kind of environment that is neither SGX nor TDX.",
        "A changed header, or hardware newer than this verifier.",
        "Look whether a newer marbleops knows it.",
    ),
    Code.QUOTE_KEY_TYPE: About(
        "The quote or report is signed with an algorithm that is not in use.",
        "Quotes are signed with ECDSA P-256, SEV-SNP reports with ECDSA P-384.",
        "Configure the quote provider for ECDSA P-256.",
    ),
    Code.QUOTE_QE_VENDOR: About(
        "The quoting enclave is not Intel's.",
        "The machine uses a quoting enclave of somebody else.",
        "Install Intel's quote provider (DCAP) on the machine.",
    ),
    Code.QUOTE_BODY_TYPE: About(
        "The body of the version 5 quote is neither a TD 1.0 nor a TD 1.5.",
        "A changed descriptor, or a body type newer than this verifier.",
        "Look whether a newer marbleops knows it.",
    ),
    Code.QUOTE_CERT_DATA_TYPE: About(
        "The quote does not bring the processor's certificate.",
        "The quote provider had none at hand and put only the platform's identifier into the quote.",
        "Set up PCCS on the machine so that quotes carry the chain (type 5), or add it to the collateral.",
    ),
    Code.QUOTE_TRAILING_DATA: About(
        "Something other than zeros follows the quote, or lies unused inside it.",
        "Two files were joined, or somebody hides data that no signature covers.",
        SEND_AGAIN,
    ),
    Code.UNSUPPORTED_TEE: About(
        "The endorsements are of another vendor than the evidence.",
        "An SEV-SNP report came with Intel's collateral, or a quote with AMD's certificates.",
        "Give --collateral for quotes, --certs for SEV-SNP reports.",
    ),
    Code.COLLATERAL_FORMAT: About(
        "The collateral cannot be read.",
        "Not JSON, a member is missing, twice or unknown, or a file of certificates holds none.",
        "Fetch the collateral again; if a cache serves it, look whether that answers with an error page.",
    ),
    Code.COLLATERAL_ROLLBACK: About(
        "The collateral is older than what was seen before, or than the policy asks for.",
        "A source or host serves an old view without later findings; or the floor was set too high.",
        "Fetch the newest collateral (update=early), or lower the minimum evaluation number.",
    ),
    Code.CHAIN_LENGTH: About(
        "The chain of certificates is incomplete or too long.",
        "A member is missing; for SEV-SNP, none of the given certificates fits the report.",
        "Give the whole chain; for SEV-SNP the VCEK or VLEK of this chip, its ASK and its ARK.",
    ),
    Code.CHAIN_UNTRUSTED_ROOT: About(
        "The chain ends at a root that is not trusted here.",
        "A simulation platform, another simulation than the one named, or a forged root.",
        "Expect the vendor's root for hardware; for a simulation name its root (--root) on purpose.",
    ),
    Code.CERT_FORMAT: About(
        "A certificate cannot be read.",
        "Damaged in transport, or with a key or extension that such a certificate never has.",
        FETCH,
    ),
    Code.CERT_SIGNATURE: About(
        "A certificate was not signed by the next one in its chain.",
        "A certificate was changed, or chains were mixed.",
        "Fetch all members of the chain from one source, at the same time.",
    ),
    Code.CERT_CA_AS_LEAF: About(
        "An authority's certificate stands where a signer's belongs.",
        "Somebody with an intermediate key signs in place of the machine.",
        REPORT,
    ),
    Code.CERT_CONSTRAINTS: About(
        "A certificate may not be used as it is used here.",
        "Its constraints, key usage or an unknown critical extension forbid it.",
        REPORT,
    ),
    Code.CERT_NAME: About(
        "A certificate has the wrong name for its place.",
        "Chains were put into each other's place, or another kind of key signed.",
        "Put the chain of the TCB signer and that of the processor where each belongs.",
    ),
    Code.CERT_EXPIRED: About(
        "A certificate is not valid at this time, not any more or not yet.",
        "It ran out, or a clock is wrong; no grace period applies to certificates.",
        "Check the clock; then fetch the certificate that has replaced it.",
    ),
    Code.CERT_REVOKED: About(
        "The vendor has revoked a certificate of the chain.",
        "The key of that machine, or of an authority, is known to be lost.",
        "Take the machine out of service and ask its provider; no setting accepts it.",
    ),
    Code.CRL_FORMAT: About(
        "A revocation list cannot be read.",
        "An error page or hexadecimal text was stored in its place, or it is a partial list.",
        FETCH,
    ),
    Code.CRL_ISSUER: About(
        "A revocation list is of another authority than the certificate it should cover.",
        "The list of the processor CA came for a platform CA, or the reverse.",
        "Fetch the PCK CRL of the authority that issued the certificate (ca=processor or ca=platform).",
    ),
    Code.CRL_SIGNATURE: About(
        "A revocation list was not signed by its authority.",
        "It was changed, for instance to take an entry out.",
        SOURCE,
    ),
    Code.CRL_EXPIRED: About(
        "A revocation list is too old: a newer one must exist.",
        "Collateral was not fetched for a month, or the source withholds the newer list.",
        FETCH,
    ),
    Code.CRL_NOT_YET_VALID: About(
        "A revocation list is of the future.",
        "This machine's clock is behind, or --at names a time before the list.",
        "Set the clock, or judge at a later time.",
    ),
    Code.TCB_INFO_SIGNATURE: About(
        "The TCB info was not signed as it stands.",
        "It was changed, or written again by a tool: the signature covers the exact bytes.",
        "Keep the text of tcbInfo as the service sent it, to the byte.",
    ),
    Code.TCB_INFO_FORMAT: About(
        "The TCB info is signed and cannot be read.",
        "Its layout is newer than this verifier.",
        "Look whether a newer marbleops reads it, and report it.",
    ),
    Code.TCB_INFO_TYPE: About(
        "The TCB info is for another kind of environment.",
        "That of SGX came for a trust domain, or the reverse, or a version that is not read.",
        "Fetch the collateral for this evidence: /sgx/ for enclaves, /tdx/ for trust domains.",
    ),
    Code.TCB_INFO_EXPIRED: About(
        "The TCB info is past its next update.",
        "Collateral was not fetched for a month, or the source is behind.",
        FETCH,
    ),
    Code.TCB_INFO_NOT_YET_VALID: About(
        "The TCB info is of the future.",
        "This machine's clock is behind, or --at names a time before it.",
        "Set the clock, or judge at a later time.",
    ),
    Code.TCB_INFO_FMSPC: About(
        "The TCB info is of another family of platforms.",
        "Collateral of another machine was given.",
        "Fetch the collateral for the FMSPC that the check names.",
    ),
    Code.TCB_INFO_PCEID: About(
        "The TCB info is for another provisioning enclave.",
        "Collateral of another machine was given.",
        "Fetch the collateral for this machine.",
    ),
    Code.QE_IDENTITY_SIGNATURE: About(
        "The QE identity was not signed as it stands.",
        "It was changed, or written again by a tool: the signature covers the exact bytes.",
        "Keep the text of enclaveIdentity as the service sent it, to the byte.",
    ),
    Code.QE_IDENTITY_FORMAT: About(
        "The QE identity is signed and cannot be read.",
        "Its layout is newer than this verifier.",
        "Look whether a newer marbleops reads it, and report it.",
    ),
    Code.QE_IDENTITY_TYPE: About(
        "The QE identity is that of another quoting enclave.",
        "That of SGX came for a trust domain, or the reverse.",
        "Fetch the collateral for this evidence: /sgx/ for enclaves, /tdx/ for trust domains.",
    ),
    Code.QE_IDENTITY_EXPIRED: About(
        "The QE identity is past its next update.",
        "Collateral was not fetched for a month, or the source is behind.",
        FETCH,
    ),
    Code.QE_IDENTITY_NOT_YET_VALID: About(
        "The QE identity is of the future.",
        "This machine's clock is behind, or --at names a time before it.",
        "Set the clock, or judge at a later time.",
    ),
    Code.PCK_EXTENSION: About(
        "The processor's certificate does not describe the platform.",
        "The extension with FMSPC and versions is missing, twice or damaged.",
        REPORT,
    ),
    Code.QE_REPORT_SIGNATURE: About(
        "The processor did not sign the report of the quoting enclave.",
        "The quote was changed, or put together from two machines.",
        REPORT,
    ),
    Code.QE_REPORT_DATA: About(
        "The quoting enclave does not vouch for the key that signed the quote.",
        "The key was exchanged for another one.",
        REPORT,
    ),
    Code.QE_MRSIGNER: About(
        "The quoting enclave was not signed by Intel.",
        "Somebody runs a quoting enclave of his own on a real processor.",
        "Install Intel's quote provider (DCAP) on the machine.",
    ),
    Code.QE_ISVPRODID: About(
        "An enclave of Intel's quoted that is not the quoting enclave.",
        "Another of Intel's enclaves was used, or the identity is that of another TEE.",
        "Install Intel's quote provider (DCAP) on the machine.",
    ),
    Code.QE_MISCSELECT: About(
        "The quoting enclave was started with other options than Intel's.",
        "MISCSELECT differs under the published mask.",
        "Install Intel's quote provider (DCAP) on the machine.",
    ),
    Code.QE_ATTRIBUTES: About(
        "The quoting enclave has other attributes than Intel's.",
        "ATTRIBUTES differ under the published mask.",
        "Install Intel's quote provider (DCAP) on the machine.",
    ),
    Code.QE_DEBUG: About(
        "The quoting enclave runs in debug mode.",
        "Whoever debugs it can take its key and sign any quote.",
        "Install Intel's production quoting enclave; no setting accepts this one.",
    ),
    Code.QUOTE_ATTESTATION_KEY: About(
        "The key that signed the quote is no point of the curve.",
        "The quote was changed.",
        REPORT,
    ),
    Code.QUOTE_SIGNATURE: About(
        "The signature of the quote or report is not over these bytes.",
        "A measurement, the report data or anything else that is signed was changed.",
        REPORT,
    ),
    Code.TCB_NOT_SUPPORTED: About(
        "The platform is older than the lowest level that Intel publishes.",
        "Microcode, BIOS or another component is below the minimum; the check names which.",
        "Update what the check names; `marbleops attest explain` says which part each component is.",
    ),
    Code.TCB_STATUS_UNKNOWN: About(
        "Intel uses a word for the platform's status that is not known here.",
        "The collateral is newer than this verifier.",
        "Look whether a newer marbleops knows the word; until then it counts as bad.",
    ),
    Code.TCB_REVOKED: About(
        "Intel has revoked this level of the platform, its quoting enclave or its TDX module.",
        "A flaw is known that lets others forge quotes of such machines.",
        "Update the machine; no setting accepts it before.",
    ),
    Code.QE_TCB_NOT_SUPPORTED: About(
        "The quoting enclave is older than every published level.",
        "The quote provider on the machine was not updated for years.",
        "Update DCAP (libsgx-ae-qe3) on the machine.",
    ),
    Code.SGX_NOT_INIT: About(
        "The report is of an enclave that was never started properly.",
        "The INIT flag is not set, which the processor never reports.",
        REPORT,
    ),
    Code.DEBUG_ENCLAVE: About(
        "The environment is for debugging: its host can read its memory.",
        "It was built or started in debug mode, as examples often are.",
        "Build it without debug (EGo: enclave.json; Gramine: sgx.debug); to test, allow it (--allow-debug).",
    ),
}
