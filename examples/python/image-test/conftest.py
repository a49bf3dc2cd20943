"""The fixtures of lamina."""

pytest_plugins = ["lamina.testing"]
