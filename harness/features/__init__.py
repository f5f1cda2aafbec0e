"""Feature availability: what a kernel has of eBPF, documented and measured.

The pure parts (types, documented and measured facts, names, asking) know no guest and import quickly;
`harness.features.probe` asks kernels and is imported only by those that do.
"""
