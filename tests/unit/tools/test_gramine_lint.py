"""The lint of the enclave: our template passes, and every rule refuses what it is there for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from coordinator.main import EXECUTOR_THREADS
from coordinator.settings import PlatformName
from tools import gramine_lint
from tools.gramine_lint import LintError, lint, lint_image, main, parse, render

if TYPE_CHECKING:
    from pathlib import Path

RENDERED = render(gramine_lint.TEMPLATE.read_text())
BROKEN = [
    ("no-insecure-keys", 'loader.log_level = "error"', "loader.insecure__use_cmdline_argv = true\n\\g<0>"),
    ("no-insecure-keys", r"sgx\.debug = false", '\\g<0>\nfs.insecure__keys.default = "00"'),
    ("known-keys", "sgx.debug = false", "\\g<0>\nsgx.allowed_ioctls = []"),
    ("known-keys", "sgx.debug = false", "\\g<0>\nsgx.new.thing = 1"),
    ("no-debug", "sgx.debug = false", "sgx.debug = true"),
    ("no-debug", "sgx.debug = false\n", ""),
    ("dcap", '"dcap"', '"none"'),
    ("strict-files", '"strict"', '"allow_all_but_log"'),
    ("no-subprocesses", "sys.disallow_subprocesses = true", "sys.disallow_subprocesses = false"),
    ("orderly-end", "sys.enable_sigterm_injection = true\n", ""),
    ("no-host-names", "domain_names_conf = false", "domain_names_conf = true"),
    ("fixed-arguments", '"-I", ', ""),
    ("fixed-arguments", '"/opt/coordinator"]', '"-m", "coordinator"]'),
    ("fixed-arguments", 'loader.log_level = "error"', '\\g<0>\nloader.argv_src_file = "file:args"'),
    ("fixed-arguments", "loader.argv = .*\n", ""),
    ("environment", 'COORDINATOR_PLATFORM = "gramine"', 'COORDINATOR_PLATFORM = "simulation"'),
    ("environment", 'COORDINATOR_PLATFORM = "gramine"', "COORDINATOR_PLATFORM = { passthrough = true }"),
    ("environment", "loader.env.MALLOC_ARENA_MAX.*\n", ""),
    ("environment", 'loader.env.LD_LIBRARY_PATH = ".*"', "loader.env.LD_PRELOAD = { passthrough = true }"),
    ("environment", "METRICS_UUID =", "ALLOW_SECURITY_VERSION_DECREASE ="),
    ("environment", "METRICS_UUID = .*", 'GENESIS = "x"'),
    ("threads", "max_threads = 12", "max_threads = 8"),
    ("threads", "sgx.max_threads = 12\n", ""),
    ("memory", 'enclave_size = "1G"', 'enclave_size = "256M"'),
    ("memory", 'enclave_size = "1G"', 'enclave_size = "768M"'),
    ("sealing-masks", "sgx.seal_key.xfrm_mask = .*\n", ""),
    ("sealing-masks", "0xffffffffffffffff", "0xfffffffffffffffd"),
    ("identity", "isvprodid = 3", "isvprodid = 0"),
    ("identity", "isvsvn = 3", "isvsvn = 0"),
    ("trusted-files", '  "file:/opt/coordinator/",\n', ""),
    ("trusted-files", '"file:/usr/bin/python3.11",', '"file:/usr/bin/python3.11", "file:/usr/bin/",'),
    ("trusted-files", r'"file:/usr/lib/x86_64-linux-gnu/libz.so.1"', '"file:/home/libz.so.1"'),
    ("allowed-files", '"file:/collateral/"', '"file:/opt/coordinator/"'),
    ("mounts", 'path = "/state", uri = "file:/state"', 'path = "/opt/coordinator", uri = "file:/state"'),
    ("mounts", 'type = "tmpfs"', 'type = "encrypted"'),
    ("mounts", '"file:/opt/root"', '"file:/"'),
    ("no-diagnostics", 'log_level = "error"', 'log_level = "trace"'),
    ("no-diagnostics", "sgx.debug = false", "\\g<0>\nsgx.enable_stats = true"),
]


def test_our_template_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to find in what we ship; threads and platform are the Coordinator's own."""
    assert lint(parse(RENDERED)) == []
    assert main([]) == 0
    assert f"{len(gramine_lint.RULES)} rules, 0 findings" in capsys.readouterr().out
    assert gramine_lint.COORDINATOR_THREADS == 1 + EXECUTOR_THREADS
    assert gramine_lint.FIXED["EDG_COORDINATOR_PLATFORM"] == PlatformName.GRAMINE


@pytest.mark.parametrize(("rule", "pattern", "replacement"), BROKEN)
def test_each_rule_refuses(rule: str, pattern: str, replacement: str) -> None:
    """One change, one rule broken, with its reason."""
    changed, count = re.subn(pattern, replacement, RENDERED, count=1)
    assert count == 1
    findings = lint(parse(changed))
    assert {finding.rule for finding in findings} == {rule}
    assert all(finding.what and finding.reason in str(finding) for finding in findings)


def test_every_rule_has_a_test() -> None:
    """A rule that nothing can break is no rule."""
    assert {rule for rule, _, _ in BROKEN} == {rule.name for rule in gramine_lint.RULES}


def test_the_host_sets_nothing_that_decides() -> None:
    """What the environment may not carry in: the platform, first manifests, lowered floors, empty quotes."""
    for name in ("PLATFORM", "GENESIS_DIGEST", "INSECURE_EMPTY_QUOTE", "ALLOW_SECURITY_VERSION_DECREASE"):
        assert f"EDG_COORDINATOR_{name}" not in gramine_lint.HOST_MAY_SET
    pinned = RENDERED.replace(
        "env.MALLOC", 'env.EDG_COORDINATOR_GENESIS_DIGEST = "sha256:00"\nloader.env.MALLOC'
    )
    assert lint(parse(pinned)) == []


@pytest.mark.parametrize("text", ["{{ unknown }}", "{% if x %}", "{{ a.b }}", "{# x #}"])
def test_templates_hold_variables_only(text: str) -> None:
    """What the lint cannot render it does not judge."""
    with pytest.raises(LintError):
        render(text)


def test_the_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The simulation, installers, links and files that others may write are found; so is what is no TOML."""
    for name, content in {
        "__main__.py": "",
        "marbleops/attestation/quote.py": "",
        "coordinator/hidden.py": "x = b'INSECURE-SOFTTEE'",
        "marbleops/attestation/platform/base.py": "",
        "pip/main.py": "",
        "a.pth": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)
    assert {finding.what for finding in lint_image(tmp_path)} == {
        "marbleops/attestation/platform is there",
        "coordinator/hidden.py holds 'INSECURE-SOFTTEE'",
        "pip/main.py installs or redirects code",
        "a.pth installs or redirects code",
    }
    (tmp_path / "marbleops/attestation/quote.py").chmod(0o666)
    (tmp_path / "__main__.py").unlink()
    (tmp_path / "link").symlink_to("/")
    whats = {finding.what for finding in lint_image(tmp_path)}
    assert {
        "marbleops/attestation/quote.py can be written by others",
        "__main__.py is missing",
        "link is a link",
    } < whats
    assert main(["--image", str(tmp_path)]) == 1
    (tmp_path / "bad").write_text("[")
    assert main(["--manifest", str(tmp_path / "bad")]) == 2
    assert "not TOML" in capsys.readouterr().err
