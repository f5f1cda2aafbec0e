"""The `scenario` of a manifest: its steps as one variant sees them, every mistake refused with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.catalog.packets import PACKETS, packet
from harness.catalog.schemacheck import suggest
from harness.catalog.selection import Values, check_when, selects
from harness.catalog.steptable import (
    ACTIONS,
    COMMON_KEYS,
    FACTS,
    IRREVERSIBLE,
    MAP_FLAGS,
    MAX_TIMES,
    PREFLIGHT_NEEDS,
    SURROUNDINGS,
    TARGETS,
    TRIGGER_KEYS,
    TRIGGERS,
    Action,
    Parameter,
)
from harness.catalog.texts import Node, Point, Texts, whole
from harness.catalog.values import hex_bytes, typed, value_of
from harness.catalog.yamlfile import Document
from harness.errors import UserError
from harness.model import Loader, LoadSettings
from harness.scenario import Step, StepOp

DEFAULT_LIMIT_S = 5.0
_LABEL = re.compile(r"[a-z_][a-z0-9_]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,126}")
_MAX_PAGES = 1 << 20
_MAX_FLAGS = (1 << 64) - 1


def check_conditions(document: Document, axes: Mapping[str, Values], points: Sequence[Point]) -> None:
    """Raise UserError at a step or check whose `when` names nothing, or selects none of the variants."""
    for section in ("scenario", "checks"):
        for index, entry in enumerate(document.data.get(section, ())):
            if "when" not in entry:
                continue
            path = (section, index, "when")
            check_when(document, path, axes)
            if not any(selects(entry["when"], point) for point in points):
                raise UserError("this condition selects no variant", where=document.origin(path))


def condition_axes(document: Document) -> set[str]:
    """Return the axes the steps' and checks' conditions name: these are used, whatever the template reads."""
    entries = [*document.data.get("scenario", ()), *document.data.get("checks", ())]
    return {axis for entry in entries for axis in entry.get("when", ())}


def read_steps(document: Document, texts: Texts, point: Point, settings: LoadSettings) -> tuple[Step, ...]:
    """Return the steps of the variant at `point`; UserError with file:line for whatever cannot be meant."""
    steps: list[Step] = []
    for index, data in enumerate(document.data.get("scenario", ())):
        if selects(data.get("when", {}), point):
            node = Node(document, ("scenario", index), data, texts, point)
            step = _step(node, settings)
            _check_order(node, steps, step)
            _check_surrounding(node, step, settings)
            steps.append(step)
    if steps and settings.loader is Loader.RAW:
        raise UserError(
            "a scenario needs the loader libbpf, and here the loader is raw",
            where=document.origin(("scenario",)),
            hint="take raw from the axis, or exclude it from every step with `when: {loader: [libbpf]}`",
        )
    return tuple(steps)


def _step(node: Node, settings: LoadSettings) -> Step:
    word = _action_word(node)
    action = ACTIONS[word]
    name = _subject(node, word, action)
    parameters = TRIGGERS[name] if action.op is StepOp.TRIGGER else ()
    _refuse_foreign(node, word, action, parameters)
    fields = _FIELDS.get(action.op, _nothing)(node, name)
    return Step(
        op=action.op,
        name=name,
        label=_label(node),
        time_limit_s=_limit(node, action, settings),
        may_fail=node.flag("may_fail"),
        line=node.document.line(node.path),
        **fields,
    )


def _action_word(node: Node) -> str:
    named = [key for key in node.data if key in ACTIONS]
    if "set" in named and "fact" in named:
        named.remove("fact")  # there it is where the value comes from
    if len(named) > 1:
        raise node.error(f"one action per step, here {' and '.join(named)}", named[1])
    if named:
        return named[0]
    unknown = next((key for key in node.data if key not in COMMON_KEYS), None)
    if unknown is None:
        raise node.error(f"a step without an action; steps: {', '.join(ACTIONS)}")
    raise node.error(f"unknown step {unknown!r}; {suggest(unknown, ACTIONS, 'steps')}", unknown)


def _subject(node: Node, word: str, action: Action) -> str:
    if not action.subject:
        if node.data[word] is not None:
            raise node.error(f"{word} takes nothing; write `{word}:`", word)
        return ""
    if not isinstance(node.data[word], str):
        raise node.error(f"{word}: expected {action.subject}'s name", word)
    name = node.text(word)
    known = {StepOp.TRIGGER: tuple(TRIGGERS), StepOp.FACT: FACTS, StepOp.ENV: SURROUNDINGS}.get(action.op)
    if known is not None:
        if name not in known:
            kind = {StepOp.TRIGGER: "triggers", StepOp.FACT: "facts"}.get(action.op, "surroundings")
            raise node.error(f"unknown {kind[:-1]} {name!r}; {suggest(name, known, kind)}", word)
    elif not _IDENTIFIER.fullmatch(name):
        raise node.error(f"{word}: {name[:40]!r} cannot be {action.subject}'s name", word)
    return name


def _refuse_foreign(node: Node, word: str, action: Action, parameters: tuple[Parameter, ...]) -> None:
    own = [*action.required, *action.optional]
    if action.op is StepOp.TRIGGER:
        own = [parameter.name for parameter in parameters] + list(TRIGGER_KEYS)
    for key in node.data:
        if key != word and key not in own and key not in COMMON_KEYS:
            what = f"trigger {node.data[word]}" if action.op is StepOp.TRIGGER else word
            raise node.error(
                f"{key!r} does not belong to {what}; {suggest(key, (*own, *COMMON_KEYS), 'its keys')}", key
            )
    for key in action.required:
        if key not in node.data:
            raise node.error(f"{word} needs the key {key!r}", word)


def _label(node: Node) -> str:
    if "as" not in node.data:
        return ""
    label = node.text("as")
    if not _LABEL.fullmatch(label):
        raise node.error(f"as: {label[:40]!r} is no name; small letters, digits and _", "as")
    return label


def _limit(node: Node, action: Action, settings: LoadSettings) -> float:
    most = settings.time_limit_s
    if "time_limit" not in node.data:
        return most if action.op is StepOp.LOAD else min(DEFAULT_LIMIT_S, most)
    limit = node.seconds("time_limit", DEFAULT_LIMIT_S, 3600)
    if limit > most:
        raise node.error(
            f"the step may take {limit:g} s, the whole case only {most:g} s",
            "time_limit",
            "raise settings: {time_limit: …}",
        )
    return limit


def _nothing(node: Node, name: str) -> dict[str, Any]:
    return {}


def _set(node: Node, name: str) -> dict[str, Any]:
    ways = [way for way in ("fact", "value") if way in node.data]
    if not ways:
        return {"value": typed(node, ("set", *COMMON_KEYS))}
    if len(ways) > 1 or any(key in node.data for key in (*_inline_types(node), "size")):
        raise node.error("set takes one of: a typed value, value, fact")
    if ways == ["value"]:
        return {"value": value_of(node, "value")}
    fact = node.text("fact")
    if fact not in FACTS:
        raise node.error(f"unknown fact {fact!r}; {suggest(fact, FACTS, 'facts')}", "fact")
    return {"fact": fact}


def _inline_types(node: Node) -> list[str]:
    return [key for key in node.data if key not in ("set", "fact", "value", *COMMON_KEYS)]


def _attach(node: Node, name: str) -> dict[str, Any]:
    if "to" not in node.data:
        return {}
    text = node.text("to")
    kind, colon, rest = text.partition(":")
    forms = ", ".join(f"{form}:{target.words}" for form, target in TARGETS.items())
    target = TARGETS.get(kind)
    if target is None:
        near = suggest(kind, TARGETS).partition("? ")
        lead = f"{near[0]}? " if near[1] else ""
        raise node.error(f"unknown attach target {text[:60]!r}; {lead}forms: {forms}", "to")
    if not colon or not re.fullmatch(target.pattern, rest):
        raise node.error(f"attach target {text[:60]!r}: expected {kind}:{target.words}", "to")
    if target.among and rest not in target.among:
        raise node.error(
            f"the guest's agent has no function {rest!r}; {suggest(rest, target.among, 'functions')}", "to"
        )
    return {"args": (text,)}


def _trigger(node: Node, name: str) -> dict[str, Any]:
    args: list[str] = []
    for parameter in TRIGGERS[name]:
        args += _argument(node, name, parameter)
    return {
        "args": tuple(args),
        "count": node.number("times", 1, MAX_TIMES, default=1),
        "flags": _flags(node),
    }


def _argument(node: Node, trigger: str, parameter: Parameter) -> tuple[str, ...]:
    """Return what the wire carries for one parameter; one left out at the end has nothing."""
    key = parameter.name
    if key not in node.data:
        if parameter.default is None:
            raise node.error(f"trigger {trigger} needs the key {key!r}", "trigger")
        return (parameter.default,) if parameter.default else ()
    if parameter.many:
        return node.words(key)
    if parameter.low is not None and parameter.high is not None:
        return (str(node.number(key, parameter.low, parameter.high)),)
    text = node.text(key)
    if parameter.pattern and not re.fullmatch(parameter.pattern, text):
        raise node.error(f"{key}: {text[:60]!r}; expected {parameter.words}", key)
    return (text,)


def _preflight(node: Node, name: str) -> dict[str, Any]:
    needs = node.words("needs") if "needs" in node.data else ()
    for need in needs:
        if not re.fullmatch(PREFLIGHT_NEEDS, need):
            words = "libbpf=N.N, memlock=BYTES, no_btf or no_tracing"
            raise node.error(f"needs: {need[:40]!r}; expected {words}", "needs")
    return {"args": needs}


def _env(node: Node, name: str) -> dict[str, Any]:
    if "bytes" not in node.data:
        return {}
    if name != "small_memlock":
        raise node.error(f"bytes belongs to small_memlock, not to {name}", "bytes")
    return {"args": (str(node.number("bytes", 0, 1 << 40)),)}


def _test_run(node: Node, name: str) -> dict[str, Any]:
    data, context = b"", b""
    if "packet" in node.data and "hex" in node.data:
        raise node.error("test_run takes packet or hex, not both", "hex")
    if "packet" in node.data:
        word = node.text("packet")
        if word not in PACKETS:
            raise node.error(f"unknown packet {word!r}; {suggest(word, PACKETS, 'packets')}", "packet")
        data = packet(word)
    elif "hex" in node.data:
        data = hex_bytes(node, "hex")
    if "ctx_hex" in node.data:
        context = hex_bytes(node, "ctx_hex")
    return {"value": data, "key": context, "count": node.number("repeat", 1, MAX_TIMES, default=1)}


def _update(node: Node, name: str) -> dict[str, Any]:
    return {"key": value_of(node, "key"), "value": value_of(node, "value"), "flags": _flags(node)}


def _lookup(node: Node, name: str) -> dict[str, Any]:
    return {"key": value_of(node, "key"), "flags": _flags(node)}


def _delete(node: Node, name: str) -> dict[str, Any]:
    return {"key": value_of(node, "key")}


def _fill(node: Node, name: str) -> dict[str, Any]:
    return {"count": node.number("times", 1, MAX_TIMES), "flags": _flags(node)}


def _perf_open(node: Node, name: str) -> dict[str, Any]:
    return {"count": node.number("pages", 0, _MAX_PAGES)}


def _flags(node: Node) -> int:
    if "flags" not in node.data:
        return 0
    text = node.text("flags")
    if text in MAP_FLAGS:
        return MAP_FLAGS[text]
    if whole(text) is None:
        raise node.error(f"flags: {text[:40]!r}; a number, or {suggest(text, MAP_FLAGS, 'one of')}", "flags")
    return node.number("flags", 0, _MAX_FLAGS)


_FIELDS: Mapping[StepOp, Callable[[Node, str], dict[str, Any]]] = {
    StepOp.SET: _set,
    StepOp.ATTACH: _attach,
    StepOp.TRIGGER: _trigger,
    StepOp.TEST_RUN: _test_run,
    StepOp.UPDATE: _update,
    StepOp.LOOKUP: _lookup,
    StepOp.DELETE: _delete,
    StepOp.FILL: _fill,
    StepOp.PERF_OPEN: _perf_open,
    StepOp.PREFLIGHT: _preflight,
    StepOp.ENV: _env,
}


def _check_order(node: Node, earlier: Sequence[Step], step: Step) -> None:
    """Refuse what this order of steps can never do."""
    if step.label and any(before.label == step.label for before in earlier):
        line = next(before.line for before in earlier if before.label == step.label)
        raise node.error(f"two results are called {step.label!r}; the first in line {line}", "as")
    if step.op is StepOp.LOAD and (before := _loader_of(earlier)) is not None:
        raise node.error(f"the object is loaded already, by the step in line {before.line}", "load")
    if step.op is StepOp.PERF and not _has(earlier, StepOp.PERF_OPEN, step.name):
        raise node.error(f"perf drains what perf_open opened, and no step before opens {step.name!r}", "perf")
    if step.op is StepOp.DETACH and not _has(earlier, StepOp.ATTACH, step.name):
        raise node.error(f"no step before attaches {step.name!r}", "detach")


def _loader_of(steps: Iterable[Step]) -> Step | None:
    needs = {action.op for action in ACTIONS.values() if action.loads} | {StepOp.LOAD}
    return next((step for step in steps if step.op in needs), None)


def _has(steps: Iterable[Step], op: StepOp, name: str) -> bool:
    return any(step.op is op and step.name == name for step in steps)


def _check_surrounding(node: Node, step: Step, settings: LoadSettings) -> None:
    if step.op is StepOp.ENV and step.name in IRREVERSIBLE and not settings.disposable:
        raise node.error(
            f"{step.name} cannot be taken back: the guest must be thrown away afterwards",
            "env",
            "write settings: {disposable: true}",
        )
