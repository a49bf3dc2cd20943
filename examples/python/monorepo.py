"""Several services that share a library. Only those with changed files are built."""

import os
import sys
from pathlib import Path

import lamina

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else "monorepo")
BASE = lamina.image(os.environ.get("BASE", "busybox"))
USES = {"api": ["lib"], "web": []}


def service(name: str) -> lamina.State:
    """A service: its own files and the libraries that it uses, and no others."""
    state = BASE
    for directory in (*USES[name], f"services/{name}"):
        state = state.copy(lamina.local(ROOT / directory), ".", f"/src/{directory}/")
    return state.run(f"cat /src/*/*.txt /src/services/*/*.txt > /built; echo built {name}")


with lamina.connect() as builder:
    for name in USES:
        ran: list[str] = []

        def note(event: object, ran: list[str] = ran) -> None:
            if isinstance(event, lamina.LogEvent):
                ran.append(event.data.decode().strip())

        builder.build(service(name), tags=[name], on_event=note)
        print(name, "built" if ran else "unchanged")
