"""Frontends in Python: build files whose functions are targets.

    import lamina
    from lamina.frontend import context, target

    @target
    def app(version: str = "1.0") -> lamina.State:
        \"\"\"The service.\"\"\"
        return lamina.image("python:3.12").copy(context(), ".", "/app").env(VERSION=version)

`lamina build -f build.py --target app --build-arg version=1.1 .` builds it. The module runs in a
container without a network. An image that carries lamina is a frontend for `# syntax=` with the
entrypoint `python -m lamina.frontend`.
"""

from lamina.frontend.session import (
    context,
    frontend_input,
    image_config,
    platform,
    read_directory,
    read_file,
)
from lamina.frontend.targets import Target, target

__all__ = [
    "Target",
    "context",
    "frontend_input",
    "image_config",
    "platform",
    "read_directory",
    "read_file",
    "target",
]
