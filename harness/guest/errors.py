"""How a guest fails. Inside this room only: callers see InfrastructureError or a recorded crash or hang."""

from __future__ import annotations


class GuestFailure(Exception):  # noqa: N818 - the subclasses name the failure
    """The guest can no longer be used."""


class GuestGone(GuestFailure):
    """QEMU ended or closed the port: a panic, a kill, a power-off."""


class GuestSilent(GuestFailure):
    """No answer within the deadline."""


class GuestConfused(GuestFailure):
    """An answer that is not one: wrong type, wrong id, ERROR."""
