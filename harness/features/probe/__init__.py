"""Asks a kernel, in its guest, what it has: what is asked is put together here, the agent makes the calls."""
