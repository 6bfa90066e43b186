"""The verdicts of MarbleRun's own samples hold (they lie beside the project, not in it)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, load
from marbleops.manifest.template import dry_run

VECTORS = Path(__file__).resolve().parents[4].parent / "shared" / "vectors" / "marblerun"

pytestmark = pytest.mark.skipif(not VECTORS.is_dir(), reason="the vectors are not beside the project")

ACCEPTED = (
    "sample-estore.manifest.json",
    "sample-gramine-hello.manifest.json",
    "sample-gramine-nginx.manifest.json",
    "sample-gramine-redis.manifest.json",
    "sample-hellocpp.manifest.json",
    "sample-helloworld.manifest.json",
    "sample-occlum-hello.manifest.json",
)


def read(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def test_every_vector_is_tried() -> None:
    """No sample is left out."""
    refused = {"sample-manifest.json", "manifest-template.json"}

    assert {path.name for path in VECTORS.glob("*.json")} == {*ACCEPTED, *refused}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    """The samples can be set, templates included."""
    dry_run(load(read(name), strictness=Strictness.MARBLERUN))


def test_sample_manifest_grants_writing_generated_secrets() -> None:
    """Its role may write secrets that nobody uploads."""
    with pytest.raises(ManifestError) as caught:
        load(read("sample-manifest.json"), strictness=Strictness.MARBLERUN)

    assert {issue.path for issue in caught.value.issues} == {
        f"Roles.secrets-admin.ResourceNames[{index}]" for index in range(3)
    }
    assert all("WriteSecret" in issue.message for issue in caught.value.issues)


def test_template_has_a_string_for_a_list() -> None:
    """Its resource names are not a list."""
    with pytest.raises(ManifestError) as caught:
        load(read("manifest-template.json"), strictness=Strictness.MARBLERUN)

    (issue,) = caught.value.issues
    assert issue.path == 'Roles["<RoleName>"].ResourceNames'
    assert issue.message == "expected a list, got a string"


def test_yaml_template_has_no_signer() -> None:
    """The YAML template, converted by hand: the first thing it lacks is a signer."""
    document = {
        "Users": {"<UserName>": {"Certificate": "<PEM encoded certificate>", "Roles": []}},
        "Marbles": {
            "<MarbleName>": {
                "MaxActivations": 0,
                "Package": "<PackageName>",
                "Parameters": {"Argv": [], "Env": {}, "Files": {}},
            }
        },
        "Packages": {"<PackageName>": {"Debug": False, "ProductID": 0, "SecurityVersion": 0, "SignerID": ""}},
        "RecoveryKeys": {"<KeyName>": ""},
        "Roles": {"<RoleName>": {"ResourceType": "", "ResourceNames": [], "Actions": []}},
        "Secrets": {
            "<SecretName>": {
                "Cert": {},
                "Shared": False,
                "UserDefined": False,
                "Size": 0,
                "Type": "symmetric-key",
            }
        },
        "TLS": {"<TLSConfigName>": {"Outgoing": [{"Port": "", "Addr": ""}], "Incoming": [{"Port": ""}]}},
    }
    with pytest.raises(ManifestError) as caught:
        load(json.dumps(document).encode(), strictness=Strictness.MARBLERUN)

    messages = {issue.message for issue in caught.value.issues}
    assert "manifest misses value for SignerID in package <PackageName>" in messages
