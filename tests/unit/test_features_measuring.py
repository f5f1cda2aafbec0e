"""Measuring without a guest: lost guests, broken batches, what changed, what is stale, where it goes."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from features_support import feature, finding, kernel
from rich.console import Console

from harness.catalog.kernels import DebianSource, ImageSource, KernelSpec
from harness.cli import features as command
from harness.cli.featureprogress import FeatureProgress, count_text, plain
from harness.errors import InfrastructureError, UserError
from harness.features.changes import changes
from harness.features.measured import write
from harness.features.probe.attempts import Attempt, Placed
from harness.features.probe.environment import ABSENT, environment
from harness.features.probe.loads import Load
from harness.features.probe.measure import probe_digest
from harness.features.probe.respondent import MOST_LOSSES, Respondent
from harness.features.probe.rounds import Rounds
from harness.features.probe.subject import NO_ANSWER, Subject
from harness.features.types import FeatureKind, Finding, MeasuredFeature, Support
from harness.guest.calls import Answers, Called, Ending
from harness.model import Kernel, KernelVersion

DEADLY, ENDING, SLOW = b"dies", b"ends", b"slow"


class FakeGuest:
    """Answers every load; one that says so takes the process, the guest or the time along."""

    def __init__(self) -> None:
        self.asked = 0
        self.running = True
        self.slow_once = True

    def alive(self) -> bool:
        return self.running

    def close(self) -> None:
        self.running = False

    def calls(self, calls: Any, _limit: float, _grace: float) -> Answers:
        self.asked += 1
        done: list[Called] = []
        for call in calls:
            if DEADLY in call.data:
                self.running = False
                raise InfrastructureError("the guest did not survive")
            if ENDING in call.data:
                return Answers(tuple(done), Ending.EARLY)
            if SLOW in call.data and self.slow_once:
                self.slow_once = False
                return Answers(tuple(done), Ending.LIMIT)
            done.append(Called(3))
        return Answers(tuple(done))


def asked(*codes: bytes) -> tuple[list[Called], Respondent, Subject, list[FakeGuest]]:
    guests: list[FakeGuest] = []

    def begin() -> Any:
        guests.append(FakeGuest())
        return guests[-1]

    respondent = Respondent(begin)
    subject = Subject(respondent, None)
    return subject.ask([Load(1, code) for code in codes]), respondent, subject, guests


def test_a_guest_that_is_lost_costs_one_answer_and_is_replaced() -> None:
    answers, respondent, _, guests = asked(b"a", b"b", DEADLY, b"c", b"d")
    assert [each.errno for each in answers] == [None, None, NO_ANSWER, None, None]
    assert len(guests) == len(respondent.losses) + 1
    assert "did not survive" in respondent.losses[0]


def test_a_load_that_ends_the_process_costs_one_answer() -> None:
    answers, respondent, subject, _ = asked(b"a", ENDING, b"b", ENDING)
    assert [each.errno for each in answers] == [None, NO_ANSWER, None, NO_ANSWER]
    assert not respondent.losses
    assert subject.broken == 2


def test_a_batch_that_runs_out_of_time_goes_on_where_it_stopped() -> None:
    answers, _, subject, _ = asked(b"a", SLOW, b"b")
    assert [each.errno for each in answers] == [None, None, None]
    assert subject.broken == 0


def test_a_kernel_that_dies_again_and_again_is_given_up() -> None:
    with pytest.raises(InfrastructureError, match="did not survive"):
        asked(*[DEADLY] * (MOST_LOSSES + 1))


def test_after_abort_no_guest_is_started() -> None:
    _, respondent, _, guests = asked(b"a")
    guests[0].abort = guests[0].close  # type: ignore[attr-defined]
    respondent.abort()
    with pytest.raises(InfrastructureError, match="ended"):
        respondent.calls([], 1.0)
    assert len(guests) == 1


def test_settings_that_are_not_there_are_said() -> None:
    def read_file(path: str, _limit: int) -> bytes:
        if path.endswith("cmdline"):
            return b"quiet\n"
        raise FileNotFoundError(path)

    facts = SimpleNamespace(has_btf=True, version_text="#1 SMP")
    guest: Any = SimpleNamespace(read_file=read_file, facts=facts)
    found = environment(guest, machine(Path("x")))
    assert found["cmdline"] == "quiet"
    assert found["lockdown"] == ABSENT
    assert found["btf"] == "yes"


def by_type(name: str, **answers: str) -> MeasuredFeature:
    groups = [(finding(support), (program_type,)) for program_type, support in answers.items()]
    return MeasuredFeature(FeatureKind.HELPER, name, tuple(groups))


def test_what_changed_is_the_whole_or_the_program_types() -> None:
    before = kernel("7.3", "7.3.4", [by_type("bpf_a", xdp="yes", kprobe="no"), by_type("bpf_b", xdp="yes")])
    after = kernel(
        "7.3",
        "7.3.5",
        [by_type("bpf_a", xdp="yes", kprobe="yes"), by_type("bpf_b", xdp="no"), by_type("bpf_c", xdp="yes")],
    )
    assert [str(change) for change in changes(before, after)] == [
        "bpf_a (helper) in kprobe programs: no → yes (what it said)",
        "bpf_b (helper): yes → no (what it said)",
        "bpf_c (helper): not asked → yes (what it said)",
    ]
    assert not changes(before, before)


def machine(image: Path, config: Path | None = None) -> Kernel:
    return Kernel("7.3", KernelVersion(7, 3, 4), "7.3.4-test", "a test", "0" * 64, image, config=config)


def test_stale_is_what_has_another_image_configuration_agent_or_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "build_agent", lambda: SimpleNamespace(digest="an agent"))
    config = tmp_path / "config"
    config.write_text("CONFIG_BPF=y\n")
    there = machine(tmp_path / "image", config)
    assert command.is_stale(there, tmp_path)  # nothing was measured
    hashed = hashlib.sha256(config.read_bytes()).hexdigest()
    made = replace(
        kernel("7.3", "7.3.4", [feature(FeatureKind.JIT, "x86_64", "yes")]),
        agent="an agent",
        probe=probe_digest(),
        config_sha256=hashed,
    )
    write(made, tmp_path)
    assert not command.is_stale(there, tmp_path)
    for other in (
        replace(made, agent="older"),
        replace(made, probe="f" * 32),
        replace(made, sha256="1" * 64),
    ):
        write(other, tmp_path)
        assert command.is_stale(there, tmp_path)
    (tmp_path / "7.3.json").write_text("{")
    assert command.is_stale(there, tmp_path)


def test_images_of_yours_do_not_get_into_the_packages_data(tmp_path: Path) -> None:
    mine = KernelSpec("mine", ImageSource(tmp_path / "bzImage"))
    with pytest.raises(UserError, match="mine: an image of yours"):
        command._folder((mine,), None)
    assert command._folder((mine,), tmp_path) == tmp_path
    assert command._folder((KernelSpec("6.1", DebianSource((), "")),), None) == command.FOLDER


def test_counts_and_kinds_in_words() -> None:
    found = [feature(FeatureKind.HELPER, "a", "yes"), feature(FeatureKind.HELPER, "b", "unknown")]
    assert count_text(found) == "1 yes, 1 unknown"
    assert count_text([]) == "none"
    assert (plain(FeatureKind.MAP_TYPE), plain(FeatureKind.JIT)) == ("map types", "jit")


class Counted:
    """A subject whose every load is answered alike, and counted."""

    def __init__(self) -> None:
        one = Placed(Attempt("xdp", 6), Load(6, b""))
        other = Placed(Attempt("xdp", 6, attach="BPF_XDP_DEVMAP"), Load(6, b""))
        self.usable = {"xdp": (one, other)}
        self.refused: dict[str, Finding] = {}
        self.asked = 0
        self._words = "unknown func bpf_x#1\n"

    def ask(self, loads: Any, _before: Any = ()) -> list[Called]:
        self.asked += len(loads)
        return [Called(-1, "EINVAL", self._words) for _ in loads]


def test_what_one_type_was_asked_to_find_the_missing_is_not_asked_again() -> None:
    subject: Any = Counted()
    rounds = Rounds(subject, FeatureKind.HELPER, lambda placed, _: placed.load)
    assert not rounds.missing(["bpf_x", "bpf_y"])
    rounds.ask(["bpf_x", "bpf_y"])
    assert subject.asked == 4  # each name, by each of the two ways of loading
    assert rounds.feature("bpf_x", {}).support("xdp") is Support.NO


def watched(*, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, highlight=False)
    with FeatureProgress(console) as progress:
        progress.starting("6.1")
        progress.ready("6.1", "6.1.0-57-amd64 ready in 0.2 s")
        progress.asking("6.1", FeatureKind.MAP_TYPE)
        progress.asked("6.1", FeatureKind.MAP_TYPE, [feature(FeatureKind.MAP_TYPE, "a", "yes")], 0.25)
        progress.told("6.1", "a guest was [lost]")
    return out.getvalue()


def test_without_a_terminal_progress_is_plain_lines() -> None:
    assert watched(terminal=False).splitlines() == [
        "6.1: starting its guest",
        "6.1: 6.1.0-57-amd64 ready in 0.2 s",
        "6.1: map types: 1 yes (0.2 s)",
        "6.1: a guest was [lost]",
    ]


def test_on_a_terminal_only_what_must_be_known_stays() -> None:
    shown = watched(terminal=True)
    assert "a guest was [lost]" in shown
    assert "6.1: map types" not in shown
