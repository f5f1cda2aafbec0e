"""Pure interpretation: verifier log to reason, observation to verdict, verdict to cause and outcome.

Nothing here starts a process or opens a socket, so a saved run file can be classified again.
"""
