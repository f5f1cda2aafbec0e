"""bpftool's feature probe in the guest the probe asks: every different answer has a reason.

5.10 and the newest; others with BPFMATRIX_TEST_KERNELS="6.1 6.12".
"""

from __future__ import annotations

import os

import pytest

from harness.crew import warm_object
from harness.features.bpftool.both import ask_both
from harness.features.bpftool.compare import in_common, reason_of
from harness.features.types import FeatureKind
from harness.guest.options import AccelChoice, GuestOptions

pytestmark = pytest.mark.vm
KERNELS = os.environ.get("BPFMATRIX_TEST_KERNELS", "5.10 newest").split()


@pytest.fixture(scope="module", params=KERNELS)
def both(request, kernel, newest):
    machine = newest if request.param == "newest" else kernel(request.param)
    return ask_both(machine, GuestOptions(accel=AccelChoice.TCG), warm_object())


def test_every_difference_has_a_reason(both):
    loose = [found for found in both.differences if reason_of(found, both.measured.version) is None]
    assert not loose


def test_the_two_were_asked_enough_in_common(both):
    common = in_common(both.answers, both.measured.features())
    assert common[FeatureKind.HELPER] > 3000
    assert common[FeatureKind.MAP_TYPE] > 25
    assert common[FeatureKind.PROGRAM_TYPE] > 25
    assert FeatureKind.CONFIG in common


def test_where_bpftools_words_are_the_kernels_the_two_agree(both):
    if both.measured.kernel != "5.10":
        pytest.skip("the verifier's words have changed since")
    assert not both.differences
