"""Rulings on claims, from measured cells alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from plugin_support import kernel_run, row, run_of

from harness.advice import Advice, Answer, Clause, NoteClaim
from harness.catalog.manifest import read_manifest
from harness.catalog.programs import load_programs
from harness.errors import UserError
from harness.model import CaseResult, KernelRun, Outcome, ProgramInfo, Stage, Verdict, VerdictKind
from harness.paths import project_root
from harness.record import runfile
from harness.report import render
from harness.scenario import Behaviour
from harness.verdict.advice import Ruling, answers_so, rule, spans, works_everywhere
from harness.verdict.causes import UNCLASSIFIED, cause_by_id

OLD, NEW = (replace(kernel_run(name), version=f"{name}.0") for name in ("5.10", "7.3"))
ACCEPT = Verdict(VerdictKind.ACCEPT)
REJECT = Verdict(VerdictKind.REJECT, Stage.LOAD, "EACCES", "unbounded-size")


def case(form: str, kernel: str, verdict: Verdict, behaviour: Behaviour | None = None) -> CaseResult:
    return replace(
        row(form),
        id=f"programs/f/p[{form}]@{kernel}",
        program="programs/f/p",
        variant=form,
        kernel=kernel,
        verdict=verdict,
        outcome=Outcome.AS_EXPECTED if verdict.kind is not VerdictKind.NONE else Outcome.NOT_RUN,
        axes=MappingProxyType({"form": form}),
        behaviour=behaviour,
    )


def clause(answer: Answer, *forms: str, **more: object) -> Clause:
    when = MappingProxyType({"form": forms} if forms else {})
    return replace(Clause(when, answer), **more)  # type: ignore[arg-type]


def rulings(claim: NoteClaim, *cases: CaseResult) -> list[Ruling]:
    return [each.ruling for each in rule(claim, (OLD, NEW), cases).kernels]


def test_all_clauses_must_hold() -> None:
    claim = NoteClaim("a is refused, b is not", (clause(Answer.REJECT, "a"), clause(Answer.ACCEPT, "b")))
    cases = [case("a", "5.10", REJECT), case("b", "5.10", ACCEPT)]
    cases += [case("a", "7.3", ACCEPT), case("b", "7.3", ACCEPT)]
    ruled = rule(claim, (OLD, NEW), cases)
    assert [each.ruling for each in ruled.kernels] == [Ruling.CONFIRMED, Ruling.REFUTED]
    assert str(ruled) == "confirmed on 5.10; refuted on 7.3"
    assert [decided.id for decided in ruled.kernels[1].cases] == ["programs/f/p[a]@7.3"]


def test_what_was_not_measured_decides_nothing() -> None:
    claim = NoteClaim("a is refused", (clause(Answer.REJECT, "a"),))
    assert rulings(claim, case("a", "5.10", Verdict(VerdictKind.NONE))) == [Ruling.UNDECIDED] * 2
    crashed = replace(REJECT, abnormal=Outcome.CRASH)
    assert rulings(claim, case("a", "5.10", crashed))[0] is Ruling.UNDECIDED
    assert str(rule(claim, (OLD, NEW), [])) == "undecided"


def test_a_clause_that_fails_refutes_even_beside_one_not_measured() -> None:
    claim = NoteClaim("both", (clause(Answer.REJECT, "a"), clause(Answer.REJECT, "b")))
    assert rulings(claim, case("a", "5.10", ACCEPT))[0] is Ruling.REFUTED
    assert rulings(claim, case("a", "5.10", REJECT))[0] is Ruling.UNDECIDED


def test_a_clause_of_other_kernels_leaves_a_claim_open() -> None:
    claim = NoteClaim("before 5.2", (clause(Answer.REJECT, "a", kernels="<5.2"),))
    assert rulings(claim, case("a", "5.10", ACCEPT), case("a", "7.3", ACCEPT)) == [Ruling.UNDECIDED] * 2


def test_some_is_enough_when_it_says_so() -> None:
    claim = NoteClaim("some", (clause(Answer.REJECT, some=True),))
    assert rulings(claim, case("a", "5.10", REJECT), case("b", "5.10", ACCEPT))[0] is Ruling.CONFIRMED
    assert rulings(claim, case("a", "5.10", ACCEPT), case("b", "5.10", ACCEPT))[0] is Ruling.REFUTED


@pytest.mark.parametrize(
    ("wanted", "verdict", "behaviour", "answer"),
    [
        (clause(Answer.REJECT, stage="load", errno="EACCES", cause="unbounded-size"), REJECT, None, True),
        (clause(Answer.REJECT, stage="compile"), REJECT, None, False),
        (clause(Answer.REJECT, errno="EINVAL"), REJECT, None, False),
        (clause(Answer.REJECT, cause="other"), REJECT, None, False),
        (clause(Answer.BEHAVES), ACCEPT, Behaviour.BEHAVES, True),
        (clause(Answer.BEHAVES), ACCEPT, Behaviour.MISBEHAVES, False),
        (clause(Answer.BEHAVES), ACCEPT, None, False),
        (clause(Answer.MISBEHAVES), ACCEPT, Behaviour.MISBEHAVES, True),
        (clause(Answer.MISBEHAVES), REJECT, None, False),
        (clause(Answer.ACCEPT), ACCEPT, Behaviour.MISBEHAVES, True),
    ],
)
def test_an_answer_is_exact(
    wanted: Clause, verdict: Verdict, behaviour: Behaviour | None, answer: bool
) -> None:
    assert answers_so(wanted, case("a", "5.10", verdict, behaviour)) is answer


def test_a_form_is_recommended_only_where_it_works_on_every_kernel_measured() -> None:
    assert works_everywhere([case("a", "5.10", ACCEPT), case("a", "7.3", ACCEPT, Behaviour.BEHAVES)])
    assert not works_everywhere([case("a", "5.10", ACCEPT), case("a", "7.3", REJECT)])
    assert not works_everywhere([case("a", "5.10", ACCEPT, Behaviour.MISBEHAVES)])
    assert not works_everywhere([case("a", "5.10", Verdict(VerdictKind.NONE))])


def advised_run() -> tuple[CaseResult, Advice]:
    advice = Advice(
        (NoteClaim("Form <a> is refused.", (clause(Answer.REJECT, "a"),)),),
        wrong=MappingProxyType({"form": ("a",)}),
        right=(MappingProxyType({"form": ("b",)}),),
        figures=True,
    )
    return case("a", "5.10", REJECT), advice


def test_the_page_judges_and_escapes() -> None:
    refused, advice = advised_run()
    refused = replace(refused, source="int a; /* ``` </td> */", pitfall="N01")
    good = replace(case("b", "5.10", ACCEPT), source="int b;", pitfall="N01")
    info = ProgramInfo("programs/f/p", title="T", pitfall="N01", claim="c", advice=advice)
    run = replace(run_of(refused, good, kernels=(OLD,)), programs=(info,))
    page = render(run, "pitfalls")
    words = re.sub(" +", " ", page)
    assert "| [N01](#n01) | T | Form \\<a\\> is refused. | ✓ **confirmed** |" in words
    assert "  - as seen on 5.10: `a` rejected at load EACCES" in page
    assert "**Recommended:** `b`, accepted on every kernel measured." in page
    assert "````c\nint a; /* ``` </td> */\n````" in page


def judged(*cases: CaseResult, kernels: tuple[KernelRun, ...] = (OLD, NEW), **changes: object) -> str:
    """The page of these cases, whose entry has the advice of `advised_run` with `changes`."""
    _, advice = advised_run()
    info = ProgramInfo("programs/f/p", pitfall="N01", advice=replace(advice, **changes))  # type: ignore[arg-type]
    shown = [replace(each, pitfall="N01") for each in cases]
    return render(replace(run_of(*shown, kernels=kernels), programs=(info,)), "pitfalls")


def test_kernels_that_no_variant_tells_apart_share_a_column() -> None:
    middle = replace(kernel_run("6.1"), version="6.1.0")
    answers = [("5.10", REJECT), ("6.1", REJECT), ("7.3", ACCEPT)]
    page = judged(*(case("a", *answer) for answer in answers), kernels=(OLD, middle, NEW))
    assert re.search(r"\| variants +\| 5\.10, 6\.1 +\| 7\.3 +\|", page)
    assert re.search(r"\| `a` +\| ✗ load EACCES \| ✓ +\|", page)
    assert "**confirmed on 5.10, 6.1; refuted on 7.3**" in page


def test_variants_are_named_by_their_axes_where_that_is_shorter() -> None:
    cases = [
        replace(
            case(f"{form}-{size}", "5.10", ACCEPT if form == "stack" else REJECT),
            axes=MappingProxyType({"form": form, "size": size}),
        )
        for form in ("a", "stack", "global")
        for size in (16, 1024)
    ]
    page = judged(*cases, kernels=(OLD,))
    assert re.search(r"\| `form=a,global` +\| ✗ load EACCES \|", page)
    assert re.search(r"\| `form=stack` +\| ✓ +\|", page)
    page = judged(*cases[:3], kernels=(OLD,))
    assert re.search(r"\| `form=a` +\| ✗ load EACCES \|", page)
    assert re.search(r"\| `stack-16` +\| ✓ +\|", page)
    page = judged(
        case("a", "5.10", REJECT), case("b", "5.10", ACCEPT), case("c", "5.10", ACCEPT), kernels=(OLD,)
    )
    assert re.search(r"\| `b`, `c` +\| ✓ +\|", page)


def test_a_form_that_works_on_some_kernels_is_named_with_them() -> None:
    page = judged(case("b", "5.10", REJECT), case("b", "7.3", ACCEPT))
    assert "**Recommended:** nothing works on every kernel measured; `b` does on 7.3." in page
    assert "<th>right: <code>b</code>" in page
    assert "no form of this entry works on every kernel measured" in judged(
        case("b", "5.10", REJECT), case("b", "7.3", REJECT)
    )


def test_sources_are_shown_without_what_all_programs_have() -> None:
    source = '// Says <a>.\n#include "vmlinux_mini.h"\n\n\nint {};\n\nchar LICENSE[] SEC("license") = "{}";\n'
    wrong = replace(case("a", "5.10", REJECT), source=source.replace("{}", "a", 1).replace("{}", "MIT"))
    right = replace(case("b", "5.10", ACCEPT), source=source.replace("{}", "b", 1).replace("{}", "GPL"))
    page = judged(wrong, right, kernels=(OLD,))
    assert "<th>wrong: <code>a</code></th>" in page
    assert "\n\nSays \\<a\\>.\n\n```c\n" in page
    assert '```c\nint a;\n\nchar LICENSE[] SEC("license") = "MIT";\n```' in page


def test_only_the_cells_that_decide_are_evidence() -> None:
    claim = NoteClaim("all are refused", (clause(Answer.REJECT),))
    some = NoteClaim("one is refused", (clause(Answer.REJECT, some=True),))
    cases = [case("a", "5.10", REJECT), case("b", "5.10", ACCEPT)]
    assert [each.variant for each in rule(claim, (OLD,), cases).kernels[0].cases] == ["b"]
    assert [each.variant for each in rule(some, (OLD,), cases).kernels[0].cases] == ["a"]


def test_neighbouring_kernels_are_named_together() -> None:
    every = ["5.10", "6.1", "6.12", "7.0", "7.3"]
    assert spans(["6.1", "6.12", "7.0", "7.3"], every) == "6.1 to 7.3"
    assert spans(["5.10", "6.1", "7.3"], every) == "5.10, 6.1, 7.3"
    assert spans([], every) == ""


def test_advice_survives_a_run_file(tmp_path: Path) -> None:
    refused, advice = advised_run()
    info = ProgramInfo("programs/f/p", advice=advice)
    run = replace(run_of(refused, kernels=(OLD,)), programs=(info,))
    runfile.write(run, tmp_path / "run.json")
    assert runfile.read(tmp_path / "run.json").programs == (info,)


MANIFEST = """title: T
claim: c
axes: {form: [a, b]}
advice:
"""


@pytest.mark.parametrize(
    ("block", "line", "message"),
    [
        ("  claims: [{says: s, holds_when: [{when: {from: [a]}, is: accept}]}]", 5, "no axis 'from'"),
        ("  claims: [{says: s, holds_when: [{when: {form: [c]}, is: accept}]}]", 5, "no value 'c'"),
        ("  claims: [{says: s, holds_when: [{is: accept, errno: EINVAL}]}]", 5, "accept has no errno"),
        ("  claims: [{says: s, holds_when: [{is: fine}]}]", 5, "'fine' is none of them"),
        ("  claims: [{says: s, holds_when: [{is: accept, kernels: new}]}]", 5, "not a comparison"),
        ("  claims: [{says: s, holds_when: [{is: accept}]}]\n  wrong: {form: [a, b]}", 6, "selects 2: a, b"),
    ],
)
def test_mistakes_have_a_line(tmp_path: Path, block: str, line: int, message: str) -> None:
    (tmp_path / "p.bpf.c.j2").write_text("// {{ form }}\n")
    manifest = tmp_path / "p.yaml"
    manifest.write_text(MANIFEST + block + "\n")
    with pytest.raises(UserError, match=r"p\.yaml") as problem:
        read_manifest("f/p", tmp_path / "p.bpf.c.j2", manifest)
    assert message in str(problem.value)
    assert f"p.yaml:{line}" in str(problem.value)


def test_every_entry_of_the_catalogue_has_advice_and_its_causes_exist() -> None:
    for program in load_programs([project_root() / "programs"]):
        assert program.advice is not None, f"{program.name} judges nothing"
        for claim in program.advice.claims:
            for each in claim.clauses:
                known = not each.cause or cause_by_id(each.cause).id != UNCLASSIFIED
                assert known, f"{program.name}: no cause {each.cause!r}"
