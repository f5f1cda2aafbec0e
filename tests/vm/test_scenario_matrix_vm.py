"""A manifest with a scenario, from the command line to the reports: behaves, misbehaves, fails, hangs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from processes import ROOT, Command

from harness.record.runfile import read

pytestmark = pytest.mark.vm

INCLUDES = "#include <linux/bpf.h>"

TEMPLATE = """\
// Counts the mkdirat calls of one process, or of all but that one.
#include "vmlinux_mini.h"
#include <bpf/bpf_helpers.h>

int target;
int hits;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_mkdirat") int count(void *ctx)
{
	int *event;

	if ((int)(bpf_get_current_pid_tgid() >> 32) {{ "==" if inverted else "!=" }} target)
		return 0;
	hits++;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		*event = hits;
		bpf_ringbuf_submit(event, 0);
	}
	return 0;
}

SEC("kprobe") int elsewhere(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
"""

MANIFEST = """\
title: Counting the calls of one process
claim: A program sees the calls of the process it asks for.
axes:
  inverted: [false, true]
  also: [nothing, missing_function, hang]
exclude:
  - {when: {inverted: [true], also: [missing_function, hang]}, why: one of each is enough}
program: count
scenario:
  - {set: target, fact: tgid}
  - {attach: count}
  - {attach: elsewhere, to: "kprobe:no_such_function", when: {also: [missing_function]}}
  - {trigger: hang, time_limit: 0.5, when: {also: [hang]}}
  - {trigger: mkdirat, path: "/tmp/{{ also }}", times: 3, as: made}
  - {read: hits, as: hits}
  - {ring: events, as: seen}
checks:
  - {value: made.done, equals: 3}
  - {value: hits, equals: 3, why: once for each call}
  - {value: seen.records, equals: 3}
  - {value: seen.values.2, equals_value: hits}
expect:
  - {when: {also: [missing_function]}, verdict: reject, stage: attach, errno: ENOENT}
  - {when: {also: [hang]}, verdict: reject, stage: run, errno: ETIMEDOUT}
  - {when: {inverted: [true]}, verdict: accept, behaviour: misbehaves}
  - {verdict: accept}
"""


@pytest.fixture
def pitfall(tmp_path: Path) -> Path:
    folder = tmp_path / "family"
    folder.mkdir()
    (folder / "count.yaml").write_text(MANIFEST)
    template = folder / "count.bpf.c.j2"
    template.write_text(TEMPLATE)
    return template


def run(template: Path, out: Path, *names: str) -> tuple[int, str]:
    kernels = [word for name in names for word in ("--kernel", name)]
    command = Command("bpfmatrix", "run", "--programs", str(template), *kernels, "--out", str(out))
    status, printed = command.finish()
    command.assert_no_guest_left()
    return status, printed


def test_every_kind_of_answer_on_the_oldest_and_the_newest(
    pitfall: Path, tmp_path: Path, kernel: Any, newest: Any
) -> None:
    kernel("5.10")
    out = tmp_path / "out"
    status, printed = run(pitfall, out, "5.10", newest.name)
    assert status == 0, printed
    rows = {(case.variant, case.kernel): case for case in read(out / "run.json").cases}
    for name in ("5.10", newest.name):
        behaves, misbehaves = rows["no_inverted-nothing", name], rows["inverted-nothing", name]
        assert behaves.behaviour == "behaves", behaves
        assert [check.got for check in behaves.checks] == ["3", "3", "3", "3"]
        assert misbehaves.behaviour == "misbehaves"
        assert [check.holds for check in misbehaves.checks] == [True, False, False, False]
        assert misbehaves.checks[1].got == "0"
        missing, hung = rows["no_inverted-missing_function", name], rows["no_inverted-hang", name]
        assert (missing.verdict.stage, missing.verdict.cause) == ("attach", "attach-target-missing")
        assert missing.observation is not None
        assert len(missing.observation.steps) == 3
        assert (hung.verdict.stage, hung.verdict.cause) == ("run", "step-timeout")
        assert {case.outcome for case in (behaves, misbehaves, missing, hung)} == {"as_expected"}
    assert "✓✗ misbehaves" in printed
    assert "2 accepted but misbehaving" in " ".join(printed.split())


def test_reports_are_made_again_from_the_file(pitfall: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(pitfall, out, "5.10")
    for form in ("markdown", "html"):
        status, page = Command("bpfmatrix", "report", str(out / "run.json"), "--format", form).finish()
        assert status == 0
        assert page.rstrip() == (out / f"matrix.{'md' if form == 'markdown' else form}").read_text().rstrip()
        assert "hits" in page
    raw = json.loads((out / "run.json").read_text())
    case = next(case for case in raw["cases"] if case["variant"] == "no_inverted-nothing")
    assert case["steps"][-1]["numbers"] == {"records": 3, "bytes": 12}
    assert case["steps"][-1]["values"] == ["01000000", "02000000", "03000000"]


def test_pytest_says_what_was_expected_and_what_came(tmp_path: Path) -> None:
    """A project of its own, whose manifest does not know that one variant misbehaves."""
    (tmp_path / "kernels.yaml").symlink_to(ROOT / "kernels.yaml")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ntestpaths = programs\naddopts = -p harness.pytest_plugin\n"
    )
    folder = tmp_path / "programs" / "family"
    folder.mkdir(parents=True)
    (folder / "count.bpf.c.j2").write_text(TEMPLATE.replace('#include "vmlinux_mini.h"', INCLUDES))
    (folder / "count.yaml").write_text(MANIFEST.replace(", behaviour: misbehaves", ""))
    command = Command("pytest", "--kernel", "5.10", "-k", "nothing", folder=tmp_path)
    status, printed = command.finish()
    command.assert_no_guest_left()
    assert status == 1, printed
    assert "1 failed, 1 passed" in printed
    assert "unexpected: expected accept, behaves, got accept, misbehaves" in printed
    assert "check:    hits: expected 3, got 0 (once for each call)" in printed
    assert "1 of 4 checks hold" in printed
    (log,) = (tmp_path / "reports" / "logs").iterdir()
    assert "3. trigger mkdirat /tmp/nothing 3 times: done 3, failed 0" in log.read_text()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("{read: hits", "{read: hit"), "count.yaml:15: the object of no_inverted-nothing has no global"),
        (("{ring: events", "{ring: event"), "count.yaml:16: the object of no_inverted-nothing has no map"),
        (
            ("{attach: count}", "{attach: coun}"),
            "count.yaml:11: the object of no_inverted-nothing has no BPF",
        ),
        (("trigger: hang", "trigger: hung"), "count.yaml:13: unknown trigger 'hung'; did you mean 'hang'?"),
    ],
)
def test_a_name_that_is_nowhere_is_told_before_a_guest_boots(
    pitfall: Path, tmp_path: Path, wrong: tuple[str, str], words: str
) -> None:
    pitfall.with_name("count.yaml").write_text(MANIFEST.replace(*wrong))
    status, printed = run(pitfall, tmp_path / "out", "5.10")
    assert status == 2
    assert words in printed
    assert "starting its guest" not in printed
