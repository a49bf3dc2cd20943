"""Images of this project: `lamina build -f build.py --target app .`"""

from typing import Literal

import lamina
from lamina.frontend import context, read_file, target


@target
def base() -> lamina.State:
    """Busybox with a user."""
    return lamina.image("busybox").run("adduser -D app || echo app:x:1000:1000::/: >> /etc/passwd")


@target(default=True)
def app(mode: Literal["debug", "release"] = "debug", port: int = 8080) -> lamina.State:
    """The service."""
    version = read_file("VERSION").decode().strip()
    state = base().copy(context(include=["index.html"]), "index.html", "/www/")
    if mode == "debug":
        state = state.env(DEBUG="1")
    command = ["httpd", "-f", "-p", str(port), "-h", "/www"]
    return state.label({"version": version}).expose(port).cmd(command)
