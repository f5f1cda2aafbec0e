"""Asking the running kernel, for a loader's preflight: what `bpfmatrix check NAME --host` does."""
