"""Kernels on disk: where they come from, the cache they live in, what is kept of each."""
