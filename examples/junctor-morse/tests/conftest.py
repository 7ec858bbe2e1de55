"""The kit's pytest plugin makes its assertions explain themselves."""

pytest_plugins = ["junctor.core.testing.plugin"]
