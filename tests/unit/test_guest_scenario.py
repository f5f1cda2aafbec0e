"""Steps and their results on the wire: the host's half against the agent's, compiled natively."""

import ctypes
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.guest import exchange, wire
from harness.guest.errors import GuestConfused
from harness.guest.exchange import LoadRequest, case_fields, observation_of, step_bytes
from harness.guest.wire import FIELD, Message, MessageType, decode_fields, number
from harness.model import LoadSettings, ObservationStatus, Stage
from harness.scenario import MORE_NUMBERS, NUMBERS, Step, StepOp, number_names

AGENT = Path(wire.__file__).parent / "agent"

# Says back what the agent understood of a step, as the result of a step.
GLUE = """
#include "step.h"
#include <string.h>
static uint8_t bytes[4 << 20], more[5 << 20], out[6 << 20];
const uint8_t *echo(const uint8_t *body, size_t length, size_t *used)
{
	static struct step step;
	static struct step_result result;
	struct fields room = {.data = more, .size = sizeof(more)}, all = {.data = out, .size = sizeof(out)};
	const char *wrong;
	size_t i;

	result = (struct step_result){.fields = {.data = bytes, .size = sizeof(bytes)}};
	wrong = fields_add_up(body, length) ? step_read(&step, 7, body, length) : "does not add up";
	if (wrong)
		result_fail(&result, 22, "%s", wrong);
	result_value(&result, step.name, strlen(step.name));
	result_value(&result, step.fact, strlen(step.fact));
	result_value(&result, step.key, step.key_size);
	result_value(&result, step.value, step.value_size);
	for (i = 0; i < step.arg_count; i++)
		result_value(&result, step.args[i], strlen(step.args[i]));
	result_number(&result, step.op);
	result_number(&result, step.limit_ms);
	result_number(&result, step.flags);
	result_number(&result, step.count);
	result_number(&result, step.may_fail);
	result_write(&all, 18, step.index, &result, &room);
	*used = all.used;
	return out;
}
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """What the agent makes of a step's bytes, decoded as the host decodes a result."""
    folder = tmp_path_factory.mktemp("native")
    (folder / "glue.c").write_text(GLUE)
    library = folder / "step.so"
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", f"-I{AGENT}"]
    sources = [folder / "glue.c", AGENT / "step.c", AGENT / "wire.c"]
    subprocess.run(["gcc", *flags, *sources, "-o", library, "-lz"], check=True)
    native = ctypes.CDLL(library)
    native.echo.restype = ctypes.POINTER(ctypes.c_uint8)

    def run(body):
        used = ctypes.c_size_t()
        answer = native.echo(body, ctypes.c_size_t(len(body)), ctypes.byref(used))
        return told((18, decode_fields(bytes(answer[: used.value]))[0][1]))

    return run


def told(*fields):
    """The step results of a RESULT with these fields."""
    answer = Message(MessageType.RESULT, 1, ((1, number(0)), *fields))
    return observation_of(answer, 1).steps


words = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)
numbers = st.integers(0, 2**64 - 1)
steps = st.builds(
    Step,
    op=st.sampled_from(StepOp),
    name=words,
    key=st.binary(max_size=40),
    value=st.binary(max_size=400),
    fact=words,
    flags=numbers,
    count=numbers,
    args=st.lists(words, max_size=20).map(tuple),
    time_limit_s=st.integers(0, 10**6).map(lambda ms: ms / 1000),
    may_fail=st.booleans(),
)


@settings(deadline=None)
@given(steps)
def test_a_step_arrives_as_it_was_sent(echo, step):
    (result,) = echo(step_bytes(step))
    value = b"" if step.fact else step.value
    sent = (step.name.encode(), step.fact.encode(), step.key, value, *(arg.encode() for arg in step.args))
    assert (result.index, result.errno, result.message) == (7, None, "")
    assert result.values == sent
    limit = round(step.time_limit_s * 1000)
    assert result.numbers == (step.op, limit, step.flags, step.count, step.may_fail)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_no_step_and_harms_nothing(echo, noise):
    (result,) = echo(noise)
    assert result.index in {0, 7}


@pytest.mark.parametrize(
    "step",
    [
        Step(StepOp.TRIGGER, "n" * 256),
        Step(StepOp.TRIGGER, "nul\0inside"),
        Step(StepOp.TRIGGER, args=("x",) * 257),
        Step(StepOp.TRIGGER, args=("x" * 40_000, "y" * 40_000)),
        Step(StepOp.TRIGGER, args=("nul\0inside",)),
    ],
)
def test_a_step_out_of_bounds_is_refused(echo, step):
    (result,) = echo(step_bytes(step))
    assert result.errno == "EINVAL"
    assert result.message


def nested(*fields):
    return b"".join(FIELD.pack(tag, len(value)) + value for tag, value in fields)


@given(st.lists(st.tuples(st.integers(0, 8), st.binary(max_size=12)), max_size=8), st.binary(max_size=6))
def test_a_hostile_step_result_is_refused_or_read_never_more(fields, stray):
    try:
        results = told((18, nested(*fields) + stray))
    except GuestConfused:
        return
    assert len(results) == 1
    assert all(isinstance(value, bytes) for value in results[0].values)


def test_hostile_step_results_are_bounded(monkeypatch):
    monkeypatch.setattr(exchange, "_MAX_VALUE", 10)
    many = nested(
        (1, number(0)), (3, b"w" * 10_000), *(((4, b"x" * 20),) * 2000), *(((5, number(1)),) * 2000)
    )
    (result,) = told((18, many))
    assert len(result.values) == len(result.numbers) == 1024
    assert len(result.values[0]) == 10
    assert len(result.message) == 8192
    assert len(told(*[(18, nested((1, number(0))))] * 5000)) == 4096


@pytest.mark.parametrize("body", [nested((2, number(0))), nested((1, b"short")), b"stray"])
def test_a_step_result_that_is_none_is_refused(body):
    with pytest.raises(GuestConfused, match="step's result"):
        told((18, body))


def test_stages_and_results_of_a_scenario_that_failed():
    step = nested((1, number(3)), (2, number(110)), (3, b"too \xff late"), (4, b"\1"), (5, number(9)))
    answer = Message(MessageType.RESULT, 1, ((1, number(1)), (2, number(6)), (3, number(110)), (18, step)))
    observation = observation_of(answer, 1)
    assert (observation.status, observation.stage) == (ObservationStatus.FAILED, Stage.RUN)
    assert observation.errno == "ETIMEDOUT"
    (result,) = observation.steps
    assert (result.index, result.errno, result.message) == (3, "ETIMEDOUT", "too � late")
    assert (result.values, result.numbers) == ((b"\1",), (9,))


def test_a_case_carries_its_steps_in_order_and_one_without_carries_none():
    request = LoadRequest(Path("x"), "0", "prog", LoadSettings())
    assert 11 not in dict(case_fields(request, (10, b""), None))
    scenario = (Step(StepOp.LOAD), Step(StepOp.READ, "hits"))
    fields = case_fields(LoadRequest(Path("x"), "0", "prog", LoadSettings(), scenario), (10, b""), "btf")
    assert [value for tag, value in fields if tag == 11] == [step_bytes(step) for step in scenario]


def test_the_agent_knows_the_same_operations_as_the_host():
    listing = (AGENT / "step.h").read_text().partition("enum step_op {")[2].partition("}")[0]
    names = [word.strip().removeprefix("OP_") for word in listing.replace(" = 1", "").split(",")]
    assert names == [*(op.name for op in StepOp), "END", ""]


def test_the_names_of_a_steps_numbers():
    assert number_names(StepOp.TRIGGER, "tcp") == ("done", "failed", "port", "client_port")
    assert number_names(StepOp.READ, "tcp") == ()
    assert {op for op, _ in MORE_NUMBERS} <= {StepOp.TRIGGER, StepOp.FACT}
    assert all(len(set(names)) == len(names) for names in NUMBERS.values())
