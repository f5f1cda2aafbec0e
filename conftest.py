"""Make `pytest` at the repository's root run the matrix: see `harness/pytest_plugin`.

`pytester` (a part of pytest, switched off unless named) is what the plugin's own tests need; pytest takes
`pytest_plugins` from this file only.
"""

pytest_plugins = ["harness.pytest_plugin", "pytester"]
