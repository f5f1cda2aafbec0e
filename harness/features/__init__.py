"""Feature availability: what a kernel has of eBPF, documented and measured.

    from harness.features import Support, supports

    if supports("bpf_ringbuf_output", kernel="5.4") is Support.YES: …

The pure parts (types, documented and measured facts, names, asking) know no guest and import quickly;
`harness.features.probe` asks kernels and is imported only by those that do.
"""

from harness.features.api import answers, supports
from harness.features.ask import Answer, Basis
from harness.features.types import FeatureKind, Support

__all__ = ["Answer", "Basis", "FeatureKind", "Support", "answers", "supports"]
