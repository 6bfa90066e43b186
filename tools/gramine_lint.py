"""Refuse an enclave that would not protect: the manifest, rendered, and the tree of the image.

    tools/gramine-lint                                  the template of deploy/gramine
    tools/gramine-lint --manifest coordinator.manifest  one that gramine-manifest rendered
    tools/gramine-lint --image DIRECTORY                what is about to become /opt/coordinator

Every rule has its reason, which is printed with what breaks it. Exit code 0: nothing found, 1: something,
2: it could not be read.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
TEMPLATE: Final = ROOT / "deploy" / "gramine" / "coordinator.manifest.template"
LEFT_OUT: Final = ROOT / "deploy" / "gramine" / "left-out.txt"

COORDINATOR_THREADS: Final = 5
"""The event loop and ``coordinator.main.EXECUTOR_THREADS``; a test holds the two together."""
GRAMINE_THREADS: Final = 4
"""What Gramine's documentation reserves for a program of one thread: main, IPC, async, a pipe's handshake."""
MIN_ENCLAVE_BYTES: Final = 512 * 1024**2
PRODUCT_ID: Final = 3

HOST_MAY_SET: Final = frozenset(
    {
        "EDG_COORDINATOR_ALLOW_RESET",
        "EDG_COORDINATOR_DNS_NAMES",
        "EDG_COORDINATOR_MAX_CONNECTIONS",
        "EDG_COORDINATOR_MAX_CONNECTIONS_PER_SOURCE",
        "EDG_COORDINATOR_MAX_WAITING_ACTIVATIONS",
        "EDG_COORDINATOR_METRICS_UUID",
        "EDG_COORDINATOR_PROMETHEUS_ADDR",
        "EDG_HTTP_ERROR_LOG_LEVEL",
    }
)
FIXED: Final = {
    "EDG_COORDINATOR_PLATFORM": "gramine",
    "EDG_COORDINATOR_SEAL_DIR": "/state",
    "EDG_COORDINATOR_COLLATERAL": "/collateral",
    "MALLOC_ARENA_MAX": "1",
}
MAY_BE_FIXED: Final = frozenset({"EDG_COORDINATOR_GENESIS_DIGEST", *HOST_MAY_SET})
HARMLESS: Final = frozenset({"LD_LIBRARY_PATH", "EDG_COORDINATOR_CLIENT_ADDR", "EDG_COORDINATOR_MESH_ADDR"})
HOSTS_DIRECTORIES: Final = frozenset({"file:/state/", "file:/collateral/"})
CODE: Final = ("/opt/coordinator/", "/usr/lib/python3.11/", "/usr/bin/python3.11")
LIBRARIES: Final = "/usr/lib/x86_64-linux-gnu/"
GRAMINE: Final = "/usr/lib/x86_64-linux-gnu/gramine/"
ARGUMENTS: Final = ["-I", "-S", "-B"]
PROGRAM: Final = "/opt/coordinator"

VARIABLES: Final = {
    "gramine_libos": f"{GRAMINE}libsysdb.so",
    "gramine_runtime": f"{GRAMINE}runtime/glibc",
    "isvsvn": "3",
}
_VARIABLE: Final = re.compile(r"\{\{ ([a-z_]+) \}\}")
_UNITS: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_SIMULATION: Final = (b"INSECURE-SOFTTEE", b"build_pki")
"""What every simulated quote carries, and who makes the certificates below it."""

KNOWN_KEYS: Final = frozenset(
    {
        "fs.mounts",
        "fs.root.uri",
        "libos.entrypoint",
        "loader.argv",
        "loader.argv_src_file",
        "loader.entrypoint.uri",
        "loader.env_src_file",
        "loader.log_file",
        "loader.log_level",
        "sgx.allowed_files",
        "sgx.debug",
        "sgx.edmm_enable",
        "sgx.enable_stats",
        "sgx.enclave_size",
        "sgx.file_check_policy",
        "sgx.isvprodid",
        "sgx.isvsvn",
        "sgx.max_threads",
        "sgx.profile",
        "sgx.remote_attestation",
        "sgx.seal_key.flags_mask",
        "sgx.seal_key.misc_mask",
        "sgx.seal_key.xfrm_mask",
        "sgx.trusted_files",
        "sgx.vtune_profile",
        "sys.disallow_subprocesses",
        "sys.enable_extra_runtime_domain_names_conf",
        "sys.enable_sigterm_injection",
        "sys.fds.limit",
        "sys.stack.size",
    }
)
"""What a rule judges, or what nobody can do harm with."""

Manifest = dict[str, Any]


class LintError(Exception):
    """What should be looked at cannot be read."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must hold. ``check`` gives what breaks it, in words."""

    name: str
    reason: str
    check: Callable[[Manifest], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is broken."""

    rule: str
    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}\n    {self.reason}"


def render(template: str, variables: dict[str, str] = VARIABLES) -> str:
    """Fill a template in; raises ``LintError`` where it holds more than variables of ours."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise LintError(f"the template names {match[0]}, which is none of {', '.join(sorted(variables))}")
        return variables[match[1]]

    rendered = _VARIABLE.sub(value, template)
    if found := re.search(r"\{\{|\{%|\{#", rendered):
        line = rendered.count("\n", 0, found.start()) + 1
        raise LintError(f"line {line} has {found[0]!r}: only variables as {{{{ name }}}} can be checked here")
    return rendered


def parse(text: str) -> Manifest:
    """Parse a rendered manifest; raises ``LintError``."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LintError(f"not TOML: {error}") from error


def lint(manifest: Manifest) -> list[Finding]:
    """Return every broken rule of a manifest."""
    return [Finding(rule.name, what, rule.reason) for rule in RULES for what in rule.check(manifest)]


def lint_image(tree: Path) -> list[Finding]:
    """Return what the program's tree holds and must not."""
    findings = [
        Finding("no-simulation", f"{name} is there", _NO_SIMULATION)
        for name in LEFT_OUT.read_text().split()
        if (tree / name).exists()
    ]
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        if path.is_symlink():
            findings.append(Finding("plain-files", f"{name} is a link", _PLAIN))
        elif path.is_file():
            findings += _lint_file(path, name)
    if not (tree / "__main__.py").is_file():
        findings.append(Finding("program", "__main__.py is missing", "it is what python runs"))
    return findings


_NO_SIMULATION = "whoever could start the simulation inside a signed enclave could quote as anything (5.1)"
_PLAIN = "what the directory names must be what Gramine hashes, nothing beside it and nobody's to change"


def _lint_file(path: Path, name: str) -> Iterator[Finding]:
    if path.suffix == ".pth" or name.partition("/")[0] in {"pip", "setuptools", "wheel"}:
        yield Finding("plain-files", f"{name} installs or redirects code", _PLAIN)
    if path.stat().st_mode & 0o022:
        yield Finding("plain-files", f"{name} can be written by others", _PLAIN)
    if path.suffix in {".py", ".pyc"}:
        content = path.read_bytes()
        for word in _SIMULATION:
            if word in content:
                yield Finding("no-simulation", f"{name} holds {word.decode()!r}", _NO_SIMULATION)


def _get(manifest: Manifest, dotted: str) -> Any:
    value: Any = manifest
    for part in dotted.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _must_be(dotted: str, wanted: object) -> Callable[[Manifest], Iterator[str]]:
    def check(manifest: Manifest) -> Iterator[str]:
        found = _get(manifest, dotted)
        if found != wanted or type(found) is not type(wanted):
            yield f"{dotted} is {'not set' if found is None else repr(found)}, must be {wanted!r}"

    return check


def _insecure_keys(manifest: Manifest) -> Iterator[str]:
    def walk(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key.startswith("insecure__"):
                    yield f"{path}{key} is set"
                yield from walk(inner, f"{path}{key}.")
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner, path)

    yield from walk(manifest, "")


def _known_keys(manifest: Manifest) -> Iterator[str]:
    def walk(value: Manifest, path: str) -> Iterator[str]:
        for key, inner in value.items():
            name = f"{path}{key}"
            if name == "loader.env" or key.startswith("insecure__"):
                continue  # they have rules of their own
            if isinstance(inner, dict):
                yield from walk(inner, f"{name}.")
            elif name not in KNOWN_KEYS:
                yield f"{name} is set"

    yield from walk(manifest, "")


def _arguments(manifest: Manifest) -> Iterator[str]:
    argv = _get(manifest, "loader.argv")
    if not isinstance(argv, list) or len(argv) < 2 or argv[-1] != PROGRAM:
        yield f"loader.argv is {argv!r}, must end with {PROGRAM!r}"
        return
    yield from (f"loader.argv lacks {option}" for option in ARGUMENTS if option not in argv)
    yield from (f"loader.argv has {option}" for option in ("-c", "-m", "-i") if option in argv)
    for source in ("loader.argv_src_file", "loader.env_src_file"):
        if _get(manifest, source) is not None:
            yield f"{source} is set: write the values here"


def _environment(manifest: Manifest) -> Iterator[str]:
    found = _get(manifest, "loader.env")
    env = found if isinstance(found, dict) else {}
    for name, wanted in FIXED.items():
        if _value(env.get(name)) != wanted:
            yield f"loader.env.{name} must be {wanted!r}"
    for name, value in env.items():
        if isinstance(value, dict) and "passthrough" in value:
            if name not in HOST_MAY_SET:
                yield f"loader.env.{name} is passed through from the host"
        elif name not in FIXED and name not in HARMLESS and name not in MAY_BE_FIXED:
            yield f"loader.env.{name} is none that the Coordinator needs"


def _value(entry: Any) -> Any:
    return entry.get("value") if isinstance(entry, dict) else entry


def _threads(manifest: Manifest) -> Iterator[str]:
    needed = COORDINATOR_THREADS + GRAMINE_THREADS
    found = _get(manifest, "sgx.max_threads")
    if type(found) is not int or found < needed:
        yield f"sgx.max_threads is {found!r}, must be at least {needed}"


def _size(manifest: Manifest) -> Iterator[str]:
    text = _get(manifest, "sgx.enclave_size")
    match = re.fullmatch(r"(\d{1,6})([KMG]?)", text) if isinstance(text, str) else None
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    if size < MIN_ENCLAVE_BYTES or size & (size - 1):
        yield f"sgx.enclave_size is {text!r}, must be a power of two from 512M on"


def _seal_masks(manifest: Manifest) -> Iterator[str]:
    for name, digits in (("flags_mask", 16), ("xfrm_mask", 16), ("misc_mask", 8)):
        mask = _get(manifest, f"sgx.seal_key.{name}")
        if not isinstance(mask, str) or not re.fullmatch(rf"0x[0-9a-f]{{{digits}}}", mask):
            yield f"sgx.seal_key.{name} is {mask!r}, must be 0x and {digits} digits"
        elif name == "flags_mask" and not int(mask, 16) & 0x2:
            yield "sgx.seal_key.flags_mask leaves out DEBUG: a debug enclave would have the same keys"


def _identity(manifest: Manifest) -> Iterator[str]:
    if _get(manifest, "sgx.isvprodid") != PRODUCT_ID:
        yield f"sgx.isvprodid must be {PRODUCT_ID}, the Coordinator's"
    version = _get(manifest, "sgx.isvsvn")
    if type(version) is not int or not 1 <= version <= 0xFFFF:
        yield f"sgx.isvsvn is {version!r}, must be from 1 to 65535"


def _uris(manifest: Manifest, dotted: str) -> Iterator[str]:
    entries = _get(manifest, dotted)
    for entry in entries if isinstance(entries, list) else []:
        yield str(entry.get("uri") if isinstance(entry, dict) else entry)


def _trusted(manifest: Manifest) -> Iterator[str]:
    found = list(_uris(manifest, "sgx.trusted_files"))
    yield from (f"sgx.trusted_files lacks file:{code}" for code in CODE if f"file:{code}" not in found)
    for uri in found:
        path = uri.removeprefix("file:")
        library = path.startswith(LIBRARIES) and ".so" in path.rsplit("/", 1)[-1] and not path.endswith("/")
        if ".." in path or not (path in CODE or path.startswith(GRAMINE) or library):
            yield f"sgx.trusted_files has {uri}, which is not code of the Coordinator"


def _allowed(manifest: Manifest) -> Iterator[str]:
    for uri in _uris(manifest, "sgx.allowed_files"):
        if uri not in HOSTS_DIRECTORIES:
            yield f"sgx.allowed_files has {uri}; only {sorted(HOSTS_DIRECTORIES)} may be the host's"


def _mounts(manifest: Manifest) -> Iterator[str]:
    homes = {"/state", "/collateral", *(path.rstrip("/") for path in CODE), LIBRARIES.rstrip("/")}
    mounts = _get(manifest, "fs.mounts")
    for mount in mounts if isinstance(mounts, list) else []:
        kind, path, uri = mount.get("type", "chroot"), str(mount.get("path")), str(mount.get("uri"))
        if kind == "tmpfs" and path == "/tmp":
            continue
        source = uri.removeprefix("file:")
        plain = source in homes and path == source
        runtime = path == "/lib" and source.startswith(GRAMINE)
        if kind != "chroot" or ".." in uri or not (plain or runtime):
            yield f"fs.mounts puts {uri} ({kind}) at {path}"
    if _get(manifest, "fs.root.uri") != "file:/opt/root":
        yield "fs.root.uri must be file:/opt/root, an empty directory"


def _diagnostics(manifest: Manifest) -> Iterator[str]:
    if _get(manifest, "loader.log_level") not in {"none", "error"}:
        yield "loader.log_level must be none or error"
    for name in ("loader.log_file", "sgx.enable_stats", "sgx.profile", "sgx.vtune_profile"):
        if _get(manifest, name):
            yield f"{name} is set"


RULES: Final = (
    Rule("no-insecure-keys", "Gramine names so what gives the enclave to its host", _insecure_keys),
    Rule("known-keys", "a key that no rule knows is one that nobody has judged", _known_keys),
    Rule(
        "no-debug", "the host reads and writes a debug enclave's memory", _must_be("sgx.debug", wanted=False)
    ),
    Rule("dcap", "without it there are no quotes", _must_be("sgx.remote_attestation", "dcap")),
    Rule(
        "strict-files",
        "every other policy runs what the host puts there",
        _must_be("sgx.file_check_policy", "strict"),
    ),
    Rule(
        "no-subprocesses",
        "each would be an enclave of its own, with state of its own",
        _must_be("sys.disallow_subprocesses", wanted=True),
    ),
    Rule(
        "orderly-end",
        "without it a stop cuts calls off; the host can stop an enclave at any time anyway",
        _must_be("sys.enable_sigterm_injection", wanted=True),
    ),
    Rule(
        "no-host-names",
        "the Coordinator looks nothing up, so the host's answers have no place in it",
        _must_be("sys.enable_extra_runtime_domain_names_conf", wanted=False),
    ),
    Rule("fixed-arguments", "arguments, modules and site directories are code", _arguments),
    Rule("environment", "what the host sets must not change what is enforced", _environment),
    Rule("threads", "a thread more than the enclave has slots for ends the process", _threads),
    Rule("memory", "without room the enclave ends under load; the processor wants a power of two", _size),
    Rule("sealing-masks", "a default that changes with Gramine makes the state unreadable", _seal_masks),
    Rule(
        "identity", "clients pin SignerID, ProductID and SecurityVersion; 0 is what everybody has", _identity
    ),
    Rule("trusted-files", "what is hashed is what runs; more of it is more that must be believed", _trusted),
    Rule("allowed-files", "the host writes there: nothing but sealed state and signed documents", _allowed),
    Rule("mounts", "code of another place, or the host's files in the place of code", _mounts),
    Rule("no-diagnostics", "logs and profiles of the library OS leak what the enclave does", _diagnostics),
)


def main(arguments: list[str]) -> int:
    """Look at what is asked for, print what is wrong; return the exit code."""
    parser = argparse.ArgumentParser(prog="gramine-lint", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--manifest", type=Path, help="a rendered manifest instead of our template")
    parser.add_argument("--image", type=Path, help="the tree that becomes /opt/coordinator")
    options = parser.parse_args(arguments)
    try:
        ours = options.manifest is None
        text = render(TEMPLATE.read_text()) if ours else options.manifest.read_text()
        findings = lint(parse(text))
        if options.image is not None:
            findings += lint_image(options.image)
    except (OSError, LintError) as error:
        print(f"gramine-lint: {error}", file=sys.stderr)
        return 2
    for finding in findings:
        print(finding)
    print(f"gramine-lint: {len(RULES)} rules, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
