"""`junit.xml`: a test suite per kernel, a test case per variant; what got worse fails, what is broken errs.

Unlike `bpfmatrix report --format junit`, where a case fails that is not as its manifest expects, a case of a
night fails when it is worse than before: the file and the exit status say the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from harness.model import HOST, CaseResult, KernelRun, Outcome
from harness.nightly.against import cases_of
from harness.nightly.types import Night
from harness.record.changes import Change, ChangeKind
from harness.report.matrix import HOST_COLUMN
from harness.verdict.expect import describe_verdict
from harness.verdict.text import stripped

_LOG = 1 << 14  # characters of log in a failure; CI systems choke on more
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(night: Night) -> str:
    """Return the document, XML 1.0."""
    run = night.run
    root = ET.Element("testsuites", name="bpfmatrix nightly")
    changes = cases_of(night.findings.comparisons)
    files = {info.name: info.path for info in run.programs}
    host = (HOST_COLUMN,) if any(case.kernel == HOST for case in run.cases) else ()
    for kernel in (*run.kernels, *host):
        suite = ET.SubElement(root, "testsuite", name=xml_text(kernel.name), timestamp=run.start.rstrip("Z"))
        _properties(suite, {"kernel": kernel.name, "release": kernel.release, "source": kernel.source})
        if kernel.problem:
            element = ET.SubElement(
                suite, "testcase", classname=xml_text(kernel.name), name="the kernel itself"
            )
            _problem(element, "error", "infrastructure", kernel.problem)
        for case in (case for case in run.cases if case.kernel == kernel.name):
            element = _case(suite, case, changes.get(case.id, ()), night)
            if files.get(case.program):
                element.set("file", xml_text(files[case.program]))
        _missing(suite, kernel, changes)
        _count(suite)
    _count(root)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def xml_text(text: str) -> str:
    """Return what XML 1.0 can hold: escape sequences go, anything else it cannot hold is named."""
    return _NOT_XML.sub(lambda found: f"<U+{ord(found[0]):04X}>", stripped(text))


def _case(suite: ET.Element, case: CaseResult, changes: Sequence[Change], night: Night) -> ET.Element:
    seconds = (case.observation.wall_us if case.observation else 0) / 1e6
    element = ET.SubElement(
        suite,
        "testcase",
        classname=xml_text(f"{case.kernel}.{case.program.replace('/', '.')}"),
        name=xml_text(case.id),
        time=f"{seconds:.3f}",
    )
    facts = {"kernel": case.kernel, "verdict": describe_verdict(case.verdict, case.behaviour)}
    facts |= {"cause": case.verdict.cause} if case.verdict.cause else {}
    worse = [change for change in changes if change.regression and not change.flaky]
    if any(change.flaky for change in changes):
        facts["flaky"] = "true"
    _properties(element, facts)
    if worse:
        lines = [_words(change, night) for change in worse]
        _problem(element, "failure", worse[0].kind.value, lines[0], "\n".join([*lines, _log(case)]))
    elif case.outcome is Outcome.NOT_RUN:
        ET.SubElement(element, "skipped", message=xml_text(case.reason or "not run"))
    return element


def _missing(suite: ET.Element, kernel: KernelRun, changes: Mapping[str, Sequence[Change]]) -> None:
    """Cases that were there before have no row: each is a failed test of its own."""
    gone = [
        change
        for every in changes.values()
        for change in every[:1]
        if change.kind is ChangeKind.CASE_MISSING and change.kernel == kernel.name
    ]
    for change in gone:
        program = change.case.partition("[")[0].replace("/", ".")
        element = ET.SubElement(
            suite, "testcase", classname=xml_text(f"{kernel.name}.{program}"), name=xml_text(change.id)
        )
        _properties(element, {"kernel": kernel.name})
        _problem(element, "failure", change.kind.value, f"it was {change.before} before")


def _words(change: Change, night: Night) -> str:
    why = [str(reason) for reason in change.reasons]
    why += [night.findings.release_before[change.id]] if change.id in night.findings.release_before else []
    tail = f" ({'; '.join(why)})" if why else ""
    return f"{change.kind.value}: {change.before} → {change.after}{tail}"


def _log(case: CaseResult) -> str:
    seen = case.observation
    log = (seen.verifier_log or seen.loader_log or seen.console_tail) if seen else case.build_log
    omitted = log.count("\n", 0, max(0, len(log) - _LOG))
    head = f"({omitted} lines omitted; the whole log is in run.json)\n" if omitted else ""
    return head + log[-_LOG:]


def _problem(element: ET.Element, tag: str, kind: str, message: str, text: str = "") -> None:
    made = ET.SubElement(element, tag, type=xml_text(kind), message=xml_text(message))
    made.text = xml_text(text or message)


def _properties(element: ET.Element, facts: Mapping[str, str]) -> None:
    properties = ET.SubElement(element, "properties")
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=name, value=xml_text(value))


def _count(element: ET.Element) -> None:
    """Write the numbers CI systems show of a whole."""
    cases = element.findall(".//testcase")
    element.set("tests", str(len(cases)))
    element.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        element.set(name, str(len(element.findall(f".//testcase/{tag}"))))
