"""The matrix for machines: CSV with a line per case, and JUnit XML for CI systems."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree as ET

from harness.model import HOST, CaseResult, Outcome, Run
from harness.report.matrix import BAD, HOST_COLUMN
from harness.verdict.behaviour import check_words
from harness.verdict.expect import describe_expected, describe_verdict
from harness.verdict.text import one_line, visible

COLUMNS = (
    "id",
    "pitfall",
    "program",
    "variant",
    "kernel",
    "release",
    "compiler",
    "loader",
    "verdict",
    "stage",
    "errno",
    "cause",
    "message",
    "insns_processed",
    "kernel_time_us",
    "expected",
    "outcome",
    "reason",
    "behaviour",
    "failed_checks",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_JUNIT_LOG = 1 << 14  # characters of log in a failure; CI systems choke on more


def render_csv(run: Run) -> str:
    """Return RFC 4180 text, header first. Texts a spreadsheet would run as a formula get an apostrophe."""
    releases = {kernel.name: kernel.release for kernel in run.kernels}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for case in run.cases:
        writer.writerow([spreadsheet_text(value) for value in _values(case, releases.get(case.kernel, ""))])
    return out.getvalue()


def _values(case: CaseResult, release: str) -> list[str | int | None]:
    seen = case.observation
    return [
        case.id,
        case.pitfall,
        case.program,
        case.variant,
        case.kernel,
        release,
        case.compiler,
        case.loader,
        case.verdict.kind.value,
        case.verdict.stage.value if case.verdict.stage else None,
        case.verdict.errno,
        case.verdict.cause,
        case.verdict.message,
        seen.insns_processed if seen else None,
        seen.kernel_time_us if seen else None,
        describe_expected(case.expected) if case.expected else None,
        case.outcome.value,
        case.reason,
        case.behaviour.value if case.behaviour else None,
        "; ".join(check_words(check) for check in case.checks if not check.holds),
    ]


def spreadsheet_text(value: str | int | None) -> str | int:
    """`value` as one line of a CSV field that no spreadsheet runs as a formula; nothing is ""."""
    if not isinstance(value, str):
        return "" if value is None else value
    text = one_line(value, 500)
    return f"'{text}" if text.startswith(_FORMULA) else text


def render_junit(run: Run) -> str:
    """Return JUnit XML: a test suite per kernel, a test case per variant, the kernel as a property."""
    root = ET.Element("testsuites", name="bpfmatrix")
    columns = run.kernels
    if any(case.kernel == HOST for case in run.cases):
        columns = (*columns, HOST_COLUMN)
    for kernel in columns:
        cases = [case for case in run.cases if case.kernel == kernel.name]
        suite = ET.SubElement(
            root, "testsuite", name=_xml(kernel.name), timestamp=_xml(run.start), hostname=_xml(run.host)
        )
        properties = ET.SubElement(suite, "properties")
        for name, value in (("kernel", kernel.name), ("release", kernel.release), ("source", kernel.source)):
            ET.SubElement(properties, "property", name=name, value=_xml(value))
        for case in cases:
            _junit_case(suite, case)
        suite.set("tests", str(len(cases)))
        suite.set("failures", str(sum(case.outcome in BAD for case in cases)))
        suite.set("skipped", str(sum(case.outcome is Outcome.NOT_RUN for case in cases)))
        suite.set("errors", "0")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _junit_case(suite: ET.Element, case: CaseResult) -> None:
    seconds = (case.observation.wall_us if case.observation else 0) / 1e6
    element = ET.SubElement(
        suite,
        "testcase",
        classname=_xml(f"{case.kernel}.{case.program.replace('/', '.')}"),
        name=_xml(case.id),
        time=f"{seconds:.3f}",
    )
    properties = ET.SubElement(element, "properties")
    ET.SubElement(properties, "property", name="kernel", value=_xml(case.kernel))
    ET.SubElement(
        properties, "property", name="verdict", value=_xml(describe_verdict(case.verdict, case.behaviour))
    )
    if case.verdict.cause:
        ET.SubElement(properties, "property", name="cause", value=_xml(case.verdict.cause))
    if case.outcome is Outcome.NOT_RUN:
        ET.SubElement(element, "skipped", message=_xml(case.reason or "not run"))
    elif case.outcome in BAD:
        failure = ET.SubElement(element, "failure", type=case.outcome.value, message=_xml(case.reason))
        failure.text = _xml(_log_tail(case))


def _log_tail(case: CaseResult) -> str:
    seen = case.observation
    log = (seen.verifier_log or seen.loader_log or seen.console_tail) if seen else case.build_log
    omitted = log.count("\n", 0, max(0, len(log) - _JUNIT_LOG))
    head = f"({omitted} lines omitted; the whole log is in run.json)\n" if omitted else ""
    checks = "".join(f"check {check_words(check)}\n" for check in case.checks if not check.holds)
    return checks + head + log[-_JUNIT_LOG:]


def _xml(text: str) -> str:
    """Drop what XML 1.0 cannot hold by showing it instead."""
    return visible(text).replace("\ufffe", "<U+FFFE>").replace("\uffff", "<U+FFFF>")
