"""The codes of trust domains, of RA-TLS certificates and of SEV-SNP guests, in words."""

from __future__ import annotations

from typing import Final

from marbleops.attestation.explain.about import About
from marbleops.attestation.verdict import Code

OF_GUESTS: Final = {
    Code.TD_ATTRIBUTES_RESERVED: About(
        "The trust domain has attributes that are not defined.",
        "A newer TDX than this verifier knows, or a changed report.",
        "Look whether a newer marbleops knows the bit; until then it counts as bad.",
    ),
    Code.TD_SEPT_VE_DISABLE: About(
        "The host can take pages from the trust domain unnoticed.",
        "SEPT_VE_DISABLE is not set; Azure's trust domains are like that.",
        "Set it in the hypervisor, or allow its absence where the guest's kernel copes with it.",
    ),
    Code.TD_MIGRATABLE: About(
        "The trust domain may be migrated, so that another one may read it.",
        "MIGRATABLE is set and the policy does not allow it.",
        "Start it without migration, or allow it and pin the service domain.",
    ),
    Code.TD_SERVICE_TD: About(
        "Another trust domain is bound to this one and may read it.",
        "A migration domain of the cloud provider, and the policy does not allow one.",
        "Start it without, or allow it and pin MR_SERVICETD.",
    ),
    Code.TDX_SEAM_ATTRIBUTES: About(
        "The TDX module has attributes that Intel does not vouch for.",
        "A debug module, or a changed report.",
        "Install Intel's production TDX module.",
    ),
    Code.TDX_MODULE_MRSIGNER: About(
        "The TDX module was not signed by Intel.",
        "Another module runs beneath the guests.",
        "Install Intel's production TDX module.",
    ),
    Code.TDX_MODULE_UNKNOWN: About(
        "Intel's TCB info does not know this version of the TDX module.",
        "The module is newer than the collateral, or was never released.",
        "Fetch newer collateral (update=early); if that does not help, install a released module.",
    ),
    Code.TDX_MODULE_TCB_NOT_SUPPORTED: About(
        "The TDX module is older than every published level.",
        "The module was not updated since it was withdrawn.",
        "Update the TDX module, with the BIOS or the operating system.",
    ),
    Code.RATLS_CERTIFICATE: About(
        "The certificate carries no readable evidence.",
        "An ordinary certificate, two extensions with evidence, or a damaged one.",
        "Give the certificate that the enclave shows in its TLS handshake, not one that a proxy shows.",
    ),
    Code.RATLS_KEY_BINDING: About(
        "The evidence is for another key than the certificate's.",
        "Genuine evidence was put into somebody else's certificate.",
        "Do not use the connection: somebody stands between you and the enclave.",
    ),
    Code.CRL_MISSING: About(
        "There is no revocation list of the report's product line.",
        "Certificates were given without AMD's list, or with that of another product.",
        "Add the product line's list from AMD's KDS (/vcek/v1/Milan/crl).",
    ),
    Code.HCL_NEEDS_TPM_QUOTE: About(
        "It is the report of Azure's paravisor, which alone says nothing about freshness.",
        "On Azure the report is made once at boot; a TPM quote has to bind what is current.",
        "Use a guest with direct access to the report, or the report inside with a TPM quote beside it.",
    ),
    Code.SNP_RESERVED: About(
        "Bytes or bits of the report are set that its version reserves.",
        "A changed report, or firmware newer than this verifier.",
        "Look whether a newer marbleops knows them; until then they count as bad.",
    ),
    Code.SNP_SIGNING_KEY: About(
        "The report says that it is signed by no known kind of key.",
        "The guest's host has turned signing off, or the report was changed.",
        "Ask for a report that is signed by VCEK or VLEK.",
    ),
    Code.SNP_CERT_EXTENSION: About(
        "The certificate of the chip's key does not say what its kind has to say.",
        "Product, versions or chip are missing or in another form; or a VLEK stands for a VCEK.",
        "Fetch the certificate from AMD's KDS again.",
    ),
    Code.SNP_PRODUCT: About(
        "Report, key and authorities are of different product lines.",
        "Certificates of Milan came for a Genoa, for instance.",
        "Fetch the chain of the product that the check names.",
    ),
    Code.SNP_TCB_MISMATCH: About(
        "The certificate is for other firmware versions than the report's.",
        "The machine was updated after the certificate was fetched.",
        "Fetch the VCEK for the versions that the check names; each version has its own.",
    ),
    Code.SNP_CHIP_ID: About(
        "The certificate is for another chip.",
        "It was fetched for another machine, or evidence was moved.",
        "Fetch the VCEK for the chip that the report names.",
    ),
    Code.SNP_MIGRATION: About(
        "A migration agent may read the guest.",
        "The guest's policy allows it and yours does not.",
        "Start the guest without MIGRATE_MA, or allow it.",
    ),
    Code.SNP_SMT: About(
        "The guest may share cores with others.",
        "The guest's policy allows SMT and yours does not.",
        "Start the guest with SMT forbidden on a host without it, or allow it.",
    ),
    Code.SNP_VMPL: About(
        "The report was asked for at another privilege level than accepted.",
        "The host asked for it, or software above or below the expected level.",
        "Ask for the report at the level that your policy names, usually 0.",
    ),
    Code.SNP_TCB_TOO_LOW: About(
        "The firmware is older than your minimum.",
        "Bootloader, TEE, SNP firmware or microcode is below it; the check names both.",
        "Update the BIOS of the host, or lower the minimum.",
    ),
    Code.SNP_GUEST_SVN: About(
        "The guest is older than the release that you ask for.",
        "Its security version is below the minimum.",
        "Deploy the newer image.",
    ),
    Code.SNP_AUTHOR_KEY: About(
        "The guest was not signed by an author you accept.",
        "No author key, or another one.",
        "Sign the guest's identity block with an accepted key, or accept this one.",
    ),
}
