"""The configuration that answers depend on: symbols of the kernel's, settings of the running one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from harness.features.probe.asked import FileQuestion, Symbol, checked
from harness.features.probe.files import read_files, text_of
from harness.features.probe.kernelconfig import KernelConfig, kernel_config
from harness.features.probe.subject import Subject
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Method, Support, evidence
from harness.guest.calls import Called

_NO_CONFIG = Finding(
    Support.UNKNOWN,
    Method.NONE,
    "the kernel's configuration came with no file, and the guest does not show it",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the running kernel; `on` is searched in the file's text. `absent`: no file means no."""

    path: str
    why: str
    on: str = ""
    absent: str = ""


@cache
def symbols() -> Mapping[str, str]:
    """The symbols that are asked for, each with what depends on it."""
    found: Mapping[str, str] = checked("config.yaml")["symbols"]
    return found


@cache
def settings() -> Mapping[str, Setting]:
    """The settings that are asked for, by name."""
    return {name: Setting(**row) for name, row in checked("config.yaml")["files"].items()}


def probe_config(subject: Subject) -> list[MeasuredFeature]:
    """The symbols as `CONFIG_…`, the settings by their names."""
    config = kernel_config(subject)
    found = {f"CONFIG_{name}": config_finding(config, Symbol(name, proves=True)) for name in symbols()}
    files = read_files(subject, (one.path for one in settings().values()))
    found |= {name: _setting(one, files) for name, one in settings().items()}
    return [MeasuredFeature(FeatureKind.CONFIG, name, ((found[name], ()),)) for name in sorted(found)]


def config_finding(config: KernelConfig | None, question: Symbol) -> Finding:
    """What a symbol of the configuration says; unknown where it is set and proves nothing."""
    if config is None:
        return _NO_CONFIG
    value = config.value(question.symbol)
    words = config.words(question.symbol)
    if value is None:
        return Finding(Support.NO, Method.CONFIG, evidence(words))
    if not question.proves:
        words = f"{words}, which does not tell; the guest cannot try it"
        return Finding(Support.UNKNOWN, Method.NONE, evidence(words))
    return Finding(Support.YES, Method.CONFIG, evidence(words))


def file_findings(subject: Subject, questions: Mapping[str, FileQuestion]) -> dict[str, Finding]:
    """What files of the guest say of features."""
    paths = [path for one in questions.values() for path in (one.path, one.beside) if path]
    files = read_files(subject, paths)
    return {name: _file(one, files) for name, one in questions.items()}


def _file(question: FileQuestion, files: Mapping[str, Called]) -> Finding:
    path, called = question.path, files.get(question.path)
    if called is None:
        return Finding(Support.UNKNOWN, Method.NONE, evidence(f"{path}: no answer"))
    if called.errno == "ENOENT" and text_of(files, question.beside) is not None:
        return Finding(Support.NO, Method.FILE, evidence(f"no {path} beside {question.beside}"))
    if called.errno:
        return Finding(Support.UNKNOWN, Method.NONE, evidence(f"{path}: {called.errno}"))
    text = text_of(files, path) or ""
    if question.least is None:
        return Finding(Support.YES, Method.FILE, evidence(f"{path} is there"))
    if not re.fullmatch(r"\d{1,9}", text):
        return Finding(Support.UNKNOWN, Method.NONE, evidence(f"{path}: {text}"))
    support = Support.YES if int(text) >= question.least else Support.NO
    return Finding(support, Method.FILE, evidence(f"{path}: {text}, {question.least} is needed"))


def _setting(setting: Setting, files: Mapping[str, Called]) -> Finding:
    called = files.get(setting.path)
    if called is not None and called.errno == "ENOENT" and setting.absent == "no":
        return Finding(Support.NO, Method.FILE, evidence(f"there is no {setting.path}"))
    if called is None or called.errno:
        words = f"{setting.path}: {called.errno if called else 'no answer'}"
        return Finding(Support.UNKNOWN, Method.NONE, evidence(words))
    text = text_of(files, setting.path) or ""
    if not setting.on:
        return Finding(Support.YES, Method.FILE, evidence(f"{setting.path} is there"))
    support = Support.YES if re.search(setting.on, text) else Support.NO
    return Finding(support, Method.FILE, evidence(f"{setting.path}: {text}"))
