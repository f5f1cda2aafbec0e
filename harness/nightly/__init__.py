"""The nightly compatibility report: what changed since yesterday, on which kernel, and is it our fault."""
