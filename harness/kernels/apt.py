"""A private apt: own state, own cache, own source list, the machine's own mirror. Needs no root.

Each suite has a folder of its own, so asking for one never touches another. apt fetches the indexes
and verifies their signatures with the stock keyring; from a verified index we keep the few hundred
kernel packages in `kernels.json`, and everything later (newest match, SHA-256, address) is read
from there. Packages are checked against the SHA-256 of that index.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from harness.errors import UserError
from harness.kernels.download import TIMEOUT, download, file_sha256
from harness.kernels.errors import SourceError, disk_full, writing
from harness.kernels.mirrors import TARGETS_FORMAT, candidates, is_security_suite, parse_targets, source_line
from harness.kernels.progress import Step

MAX_AGE_S = 24 * 3600.0
JUST_NOW_S = 60.0  # even a refresh takes an index this young: the kernels before it asked already
MIRROR_VARIABLE = "BPFMATRIX_DEBIAN_MIRROR"
SECURITY_VARIABLE = "BPFMATRIX_DEBIAN_SECURITY_MIRROR"

_KEYRINGS = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")
_KEYRING_FOLDER = Path("/usr/share/keyrings")
_HELPER = "/usr/lib/apt/apt-helper"
_KERNEL_PACKAGE = re.compile(r"linux-(image|base|binary|modules)-[0-9]")
_FIELDS = {"Package", "Version", "Filename", "SHA256", "Size", "Depends"}
_PLATFORM_MISSING = UserError(
    "apt-get is missing; kernels of the source debian come through it",
    hint="bpfmatrix kernels add K --image PATH [--modules DIR], or pytest --kernel-image K=PATH",
)


@dataclass(frozen=True, slots=True)
class Package:
    """A kernel package as a verified index describes it; `size` is in bytes."""

    name: str
    version: str
    suite: str
    uri: str
    sha256: str
    size: int
    depends: tuple[str, ...]  # names only


@dataclass(frozen=True, slots=True)
class Apt:
    """The private apt below `root` (created when needed)."""

    root: Path

    def packages(self, suite: str, step: Step, *, refresh: bool = False) -> tuple[Package, ...]:
        """Kernel packages of `suite`; the index is fetched when missing, a day old, or `refresh`.

        Raises SourceError when no mirror serves it, UserError where apt or its keyring is missing.
        """
        index = self._folder(suite) / "kernels.json"
        before = _age(index)
        if before > (JUST_NOW_S if refresh else MAX_AGE_S):
            with self._lock(suite):
                if _age(index) >= before:  # nobody else fetched it while we waited
                    self._update(suite, step)
        try:
            rows = json.loads(index.read_text(encoding="utf-8"))
            return tuple(Package(**{**row, "depends": tuple(row["depends"])}) for row in rows)
        except (ValueError, TypeError, KeyError) as error:
            index.unlink()
            raise SourceError(f"reading {index}", f"damaged ({error}); run again") from error

    def fetch(self, package: Package, folder: Path, step: Step) -> Path:
        """Download `package` into `folder`, resuming what an interrupted attempt left there.

        Its SHA-256 is checked. Where our own connection fails (a proxy or credentials only apt
        knows, a mirror that is not HTTP) apt's downloader takes over.
        """
        target = folder / package.uri.rpartition("/")[2].replace("%2b", "+").replace("%7e", "~")
        if package.uri.startswith(("http://", "https://")):
            try:
                download(package.uri, target, package.sha256, step)
            except SourceError as error:
                self._helper(package, target, error.reason)
        else:
            self._helper(package, target, "")
        return target

    def _helper(self, package: Package, target: Path, before: str) -> None:
        part = target.with_name(target.name + ".part")
        uri = re.sub(r"^file:", "copy:", package.uri)  # apt would leave a local file where it is
        result = _run([_HELPER, *_OPTIONS, "download-file", uri, str(part), f"SHA256:{package.sha256}"])
        if result.returncode == 0 and part.is_file() and file_sha256(part) == package.sha256:
            part.replace(target)
            return
        if "No space left" in result.stderr:
            raise disk_full(target.parent)
        reasons = [line for line in result.stderr.splitlines() if line.startswith("E:") or "Hash Sum" in line]
        raise SourceError(
            package.uri, before or " ".join(map(str.strip, reasons)) or _last_lines(result.stderr)
        )

    def _update(self, suite: str, step: Step) -> None:
        uris = _mirrors(suite)
        reasons = []
        for number, uri in enumerate(uris, 1):
            step(f"index {suite}", number - 1, len(uris))
            config = self._configure(suite, uri)
            result = _run(["apt-get", "-c", str(config), "update"])
            errors = _errors(result.stdout + result.stderr)
            if "No space left" in result.stderr:
                raise disk_full(self.root)
            if result.returncode == 0 and not errors:
                self._extract(suite, config)
                return
            reasons.append(f"{uri}: {' '.join(errors) or _last_lines(result.stderr)}")
        raise SourceError(f"apt-get update for {suite} from {', '.join(uris)}", "; ".join(reasons))

    def _extract(self, suite: str, config: Path) -> None:
        command = ["apt-get", "-c", str(config), "indextargets", "Created-By: Packages"]
        targets = _run([*command, "--format", "$(FILENAME)|$(REPO_URI)"]).stdout
        found: list[Package] = []
        for line in targets.splitlines():
            filename, _, uri = line.partition("|")
            with subprocess.Popen([_HELPER, "cat-file", filename], stdout=subprocess.PIPE, text=True) as cat:
                found += parse_packages(cat.stdout or (), suite, uri)
            if cat.returncode:
                raise SourceError(f"reading the package index {filename}", "apt-helper cat-file failed")
        index = self._folder(suite) / "kernels.json"
        scratch = index.with_name(f"{index.name}.{os.getpid()}")
        scratch.write_text(json.dumps([asdict(package) for package in found]), encoding="utf-8")
        scratch.replace(index)

    def _configure(self, suite: str, uri: str) -> Path:
        """Write the source list and the configuration; `-c` is read after the machine's own files."""
        folder = self._folder(suite)
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "sources.list").write_text(source_line(uri, suite, str(_keyring())), encoding="utf-8")
        (folder / "status").touch()
        config = folder / "apt.conf"
        config.write_text(_CONFIGURATION.format(folder=folder), encoding="utf-8")
        return config

    def _folder(self, suite: str) -> Path:
        return self.root / suite

    def _lock(self, suite: str) -> FileLock:
        with writing(self.root):
            self._folder(suite).mkdir(parents=True, exist_ok=True)
            return FileLock(self._folder(suite) / "lock")


# Everything apt may write goes below one folder; the machine's hooks (docker-clean and the like) and
# pinnings are none of ours. Started as root, apt would drop to a user who cannot enter our cache.
_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::State::extended_states "{folder}/extended_states";
Dir::Cache "{folder}/cache";
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"""
_OPTIONS = ("-o", "APT::Sandbox::User=root", "-o", f"Acquire::http::Timeout={int(TIMEOUT[1])}")


def parse_packages(lines: Iterable[str], suite: str, base: str) -> Iterator[Package]:
    """Kernel packages in a `Packages` file of the archive at `base`, read line by line."""
    fields: dict[str, str] = {}
    for line in itertools.chain(lines, ("\n",)):
        key, colon, value = line.rstrip("\n").partition(": ")
        if key == "Package":
            fields = {}
        if colon and key in _FIELDS:
            fields[key] = value
        if key == "" and fields:
            if _KERNEL_PACKAGE.match(fields.get("Package", "")) and fields.keys() >= _FIELDS - {"Depends"}:
                yield _package(fields, suite, base)
            fields = {}


def _package(fields: Mapping[str, str], suite: str, base: str) -> Package:
    return Package(
        name=fields["Package"],
        version=fields["Version"],
        suite=suite,
        uri=base.rstrip("/") + "/" + fields["Filename"].replace("+", "%2b").replace("~", "%7e"),
        sha256=fields["SHA256"],
        size=int(fields["Size"]),
        depends=_names(fields.get("Depends", "")),
    )


def _names(depends: str) -> tuple[str, ...]:
    return tuple(
        re.split(r"[ (:|]", item.strip(), maxsplit=1)[0] for item in depends.split(",") if item.strip()
    )


def _mirrors(suite: str) -> tuple[str, ...]:
    security = is_security_suite(suite)
    given = os.environ.get(SECURITY_VARIABLE if security else MIRROR_VARIABLE)
    if given:
        return (given.rstrip("/") + "/",)
    listing = _run(["apt-get", "indextargets", "--format", TARGETS_FORMAT, "Created-By: Packages"])
    found = candidates(parse_targets(listing.stdout), suite)
    if not found:
        kind, variable = ("security ", SECURITY_VARIABLE) if security else ("", MIRROR_VARIABLE)
        raise SourceError(
            f"this machine's apt sources, for the suite {suite}",
            f"they name no Debian {kind}archive; set {variable} to the address of one",
        )
    return found


def _keyring() -> Path:
    for name in _KEYRINGS:
        if (_KEYRING_FOLDER / name).is_file():
            return _KEYRING_FOLDER / name
    raise UserError(
        f"no keyring {' or '.join(_KEYRINGS)} in {_KEYRING_FOLDER}; without it nothing can be verified",
        hint="apt-get install debian-archive-keyring",
    )


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env=environment,
        )
    except FileNotFoundError as error:
        raise _PLATFORM_MISSING from error


def _errors(output: str) -> list[str]:
    """Lines apt marks as errors, and its warnings that an index could not be had (it exits 0 then)."""
    bad = ("E:", "Err:")
    return [line for line in output.splitlines() if line.startswith(bad) or "Failed to fetch" in line]


def _last_lines(text: str) -> str:
    lines: Iterable[str] = [line for line in text.strip().splitlines() if not line.startswith("W:")]
    return " ".join(list(lines)[-3:]) or "no reason given"


def _age(file: Path) -> float:
    """Seconds since `file` was written; infinite where it is not there."""
    try:
        return max(0.0, time.time() - file.stat().st_mtime)
    except FileNotFoundError:
        return float("inf")
