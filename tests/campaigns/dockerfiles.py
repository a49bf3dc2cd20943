"""Random Dockerfiles for the contexts of `contexts`.

Their results depend only on their inputs: on no times, no randomness, and no content of cache
mounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.campaigns.contexts import ARCHIVE

if TYPE_CHECKING:
    import random

_SOURCES = (
    *(".", "a", "d", "d/", "d/e", "s", "l", "d/l", "*.txt", "d/*", "**/*.txt", "[ab]*"),
    *("a b.txt", "d s", "*", "s/d/y.txt", "d/x d/y.txt"),
)
_FLAGS = (
    ("--link",),
    ("--chmod=640", "--chmod=u+x,go-r"),
    ("--chown=5:6", "--chown=app"),
    ("--exclude=*.txt", "--exclude=d/e", "--exclude=**/x"),
    ("--parents",),
)
# All that a command can see of a tree, except times.
_SEE = (
    "find . | sort | while read -r f; do stat -c '%n %a %F %u:%g' \"$f\";"
    ' [ ! -f "$f" ] || sha256sum "$f"; readlink "$f" || true; done'
)


class Dockerfile(NamedTuple):
    """A Dockerfile. `waiting` is the stage with a step that waits at the gate, if there is one (see
    `gate`)."""

    text: str
    waiting: str


def random_dockerfile(chance: random.Random, gate: str = "") -> Dockerfile:
    """One to three stages. With a gate, `host:port`, a step waits there for permission to
    continue."""
    stages = chance.randint(1, 3)
    lines = ["ARG WHAT=0"]
    held = chance.randrange(stages) if gate else -1
    commands: list[bool] = []
    for stage in range(stages):
        named = f" AS s{stage}"
        bases = ["base", "base", "scratch", *(f"s{n}" for n in range(stage))]
        base = "base" if stage == held else chance.choice(bases)
        lines.append(f"FROM {base}{named}")
        runs = base == "base" or (base != "scratch" and commands[int(base[1:])])
        commands.append(runs)
        lines.append("WORKDIR /w")
        if stage == held:
            lines.append(f"RUN --network=host nc {gate.replace(':', ' ')} </dev/null")
        for number in range(chance.randint(1, 4)):
            lines.append(_instruction(chance, stage, number, runs=runs))
    return Dockerfile("\n".join(lines) + "\n", f"s{held}" if gate else "")


def _instruction(chance: random.Random, stage: int, number: int, *, runs: bool) -> str:
    target = f"/to{stage}{number}/"
    kinds = ["copy"] * 4 + ["add", "env", "arg"] + ["run", "bind", "cached"] * (2 * runs)
    if stage:
        kinds += ["from"] * 2 + ["bind stage"] * runs
    out = f"/w/{stage}{number}"
    earlier = f"s{chance.randrange(stage)}" if stage else ""
    match chance.choice(kinds):
        case "copy":
            kinds_of_flags = chance.sample(_FLAGS, chance.choice((0, 0, 1, 2)))
            flags = [chance.choice(kind) for kind in kinds_of_flags]
            # User names are looked up in the image: with `scratch` it has none, and through a link
            # it has.
            flags = [flag for flag in flags if runs or flag != "--chown=app"]
            if "--link" in flags:
                flags = [flag for flag in flags if flag != "--chown=app"]
            return " ".join(["COPY", *flags, chance.choice(_SOURCES), target])
        case "add":
            return f"ADD {chance.choice((ARCHIVE, '*.tar', 'a', 'd'))} {target}"
        case "env":
            return f"ENV E{chance.randrange(2)}={chance.randrange(3)}"
        case "arg":
            return "ARG WHAT"
        case "run":
            return f'RUN echo "$WHAT $E0 $E1" > {out}; {_SEE} > /tmp/tree; mv /tmp/tree {out}.tree'
        case "bind":
            source = chance.choice((".", "d", "s", "a"))
            at = "/m/f" if source == "a" else "/m"
            mount = f"--mount=type=bind,source={source},target={at}"
            return f"RUN {mount} cd /m; {_SEE} > {out}"
        case "cached":
            mount = "--mount=type=cache,target=/c --mount=type=bind,target=/m"
            return f"RUN {mount} rm -rf /c/*; cp -r /m/d /c/; ls -R /c > {out}"
        case "bind stage":
            return f"RUN --mount=type=bind,from={earlier},target=/m cd /m/w; {_SEE} > {out}"
        case _:
            return f"COPY --from={earlier} /w {target}"
