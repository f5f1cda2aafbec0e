"""`docs/bpftool.md`: what bpftool says differently of each kernel, who is right, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from harness.features.bpftool.both import Both
from harness.features.bpftool.compare import Difference, Reason, in_common, only_one, reason_of
from harness.features.probe.attempts import program_types
from harness.features.types import FeatureKind
from harness.verdict.text import one_line

_HEAD = """# `bpftool feature probe` beside `bpfmatrix features`

Written by `python scripts/compare_bpftool.py --write docs/bpftool.md`, which asks each kernel with both, one
after the other in the same guest: bpfmatrix, then the distribution's `bpftool -j feature probe kernel full`
({versions}). Every difference has a reason in `harness/features/data/bpftool.jsonl`;
`tests/vm/test_bpftool_vm.py` fails on one without.

bpftool answers yes or no. Of a helper it looks for the verifier's words it knows and takes everything else
for a yes.
"""

# bpftool asks for no helper of these: libbpf_probe_bpf_helper() of libbpf 1.1 refuses to.
_SILENT = {"ext", "lsm", "struct_ops", "tracing"}


def render(both: Sequence[Both]) -> str:
    """The whole page, kernels in the order given."""
    versions = ", ".join(sorted({f"bpftool {each.probed.version}" for each in both}))
    parts = [_HEAD.format(versions=versions), _overview(both)]
    grouped: dict[Reason | None, list[tuple[str, Difference]]] = {}
    for each in both:
        for found in each.differences:
            reason = reason_of(found, each.measured.version)
            grouped.setdefault(reason, []).append((each.measured.kernel, found))
    loose = grouped.pop(None, [])
    for number, (why, cases) in enumerate(((why, cases) for why, cases in grouped.items() if why), 1):
        parts.append(_reason(number, why, cases))
    if loose:
        parts.append("## Without a reason\n\n" + _table(loose))
    parts.append(_apart(both))
    return "\n".join(parts)


def _overview(both: Sequence[Both]) -> str:
    rows = []
    for each in both:
        common = in_common(each.answers, each.measured.features())
        rows.append(
            [
                each.measured.kernel,
                each.measured.release,
                *(
                    f"{_count(each, kind)} of {common.get(kind, 0)}"
                    for kind in (
                        FeatureKind.HELPER,
                        FeatureKind.MAP_TYPE,
                        FeatureKind.PROGRAM_TYPE,
                        FeatureKind.LANGUAGE,
                        FeatureKind.CONFIG,
                    )
                ),
            ]
        )
    headers = ["kernel", "release", "helpers × program types", "map types", "program types", "misc", "system"]
    table = tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
    return f"## How much differs\n\nDifferent answers of all that both give.\n\n{table}\n"


def _count(each: Both, kind: FeatureKind) -> int:
    return sum(found.point.kind is kind for found in each.differences)


def _reason(number: int, why: Reason, cases: Sequence[tuple[str, Difference]]) -> str:
    says = "yes" if why.bpftool else "no"
    right = {"probe": "bpfmatrix is right", "bpftool": "bpftool is right"}.get(
        why.right, "each is right about its own question"
    )
    title = f"## {number}. bpftool says {says}, bpfmatrix {why.probe}: {right}"
    return f"{title}\n\n{_plain(why.why)} ({_plain(why.source)})\n\n{_table(cases)}"


def _types(names: Sequence[str]) -> str:
    """Program types, the shorter way: those, or all that bpftool asks about but the others."""
    asked = set(program_types()) - _SILENT
    others = sorted(asked - set(names))
    if len(others) < len(names) and others:
        return f"all but {', '.join(others)}"
    return ", ".join(sorted(names)) if others else "all"


def _table(cases: Iterable[tuple[str, Difference]]) -> str:
    """A row per feature and kernel: how many program types, and the words of one of them."""
    rows: dict[tuple[str, str], list[Difference]] = {}
    for kernel, found in cases:
        rows.setdefault((found.point.name, kernel), []).append(found)
    merged: dict[tuple[str, str, str], list[str]] = {}
    for (name, kernel), group in rows.items():
        types = _types([found.point.program_type for found in group if found.point.program_type])
        merged.setdefault((name, types, _plain(group[0].finding.evidence)), []).append(kernel)
    table = [
        [f"`{name}`", types or "–", ", ".join(kernels), words]
        for (name, types, words), kernels in sorted(merged.items())
    ]
    headers = ["feature", "program types", "on", "what the kernel said"]
    return tabulate(table, headers=headers, tablefmt="github", disable_numparse=True) + "\n"


def _apart(both: Sequence[Both]) -> str:
    """What only one of the two answers."""
    lines = [
        "## What only one of them answers\n",
        "*All* and *all but* above are about the types bpftool asks about, which are not "
        f"{', '.join(sorted(_SILENT))}.\n",
    ]
    for each in both:
        alone, missing = only_one(each.answers, each.measured.features())
        silent = ", ".join(each.answers.not_asked) or "none"
        kinds: dict[FeatureKind, int] = {}
        for kind, _ in missing:
            kinds[kind] = kinds.get(kind, 0) + 1
        names = ", ".join(f"`{point.name}`" for point in alone) or "nothing"
        ours = ", ".join(f"{count} {kind.replace('_', ' ')}s" for kind, count in kinds.items()) or "nothing"
        lines.append(
            f"* {each.measured.kernel}: bpftool asks for no helper of {silent} programs and does not know "
            f"{ours}; bpfmatrix does not ask about {names}."
        )
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    clean = one_line(text, 600)
    for sign in "\\`*_|<>[]":
        clean = clean.replace(sign, f"\\{sign}")
    return clean
