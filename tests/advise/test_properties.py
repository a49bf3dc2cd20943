"""Properties of all advice, for any Dockerfile that can be parsed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.advise.advice import Edit, apply_edits, compatible
from lamina.advise.advisor import Request, advise, improve
from lamina.advise.context_files import ContextFiles
from lamina.advise.source import SourceText
from lamina.base.errors import LaminaError
from lamina.dockerfile.lexer import Node, parse_document
from lamina.dockerfile.stage import read_stages
from tests.corpus.corpus_case import read_case

if TYPE_CHECKING:
    from collections.abc import Sequence

FILES = ContextFiles(
    dict.fromkeys(
        (
            *("go.mod", "go.sum", "package.json", "package-lock.json", "yarn.lock", "pom.xml"),
            *("requirements.txt", "pyproject.toml", "poetry.lock", "uv.lock", "Gemfile"),
            *("Gemfile.lock", "composer.json", "composer.lock", "Cargo.toml", "Cargo.lock"),
            *("app.tar.gz", ".git/HEAD", "node_modules/a/index.js", "main.py"),
        ),
        1 << 20,
    ),
    texts={"package.json": "{}"},
)

COMMANDS = st.sampled_from(
    (
        *("apt-get update", "apt-get install -y curl", "apt-get clean", "apt install -y git"),
        *("rm -rf /var/lib/apt/lists/*", "rm -rf /var/cache/apk/* /tmp/x", "rm -rf ~/.cache"),
        *("apk add --no-cache bash", "apk update", "dnf install -y gcc", "yum clean all"),
        *("pip install --no-cache-dir -r requirements.txt", "python3 -m pip install -U pip"),
        *("PIP_NO_CACHE_DIR=1 pip install 'a b'", "poetry install", "uv sync --no-cache"),
        *("npm ci", "npm run build", "pnpm install --frozen-lockfile", "yarn", "yarn install"),
        *("go mod download", "CGO_ENABLED=0 go build -o /app .", "cargo build --release"),
        *("mvn -B package", "./gradlew build", "composer install", "bundle install"),
        *("make", 'echo "a && b"', "echo 'it'", "cd /tmp", "curl -o /tmp/x http://h/x"),
        *(
            "tar xf /tmp/app.tar.gz -C /opt",
            "rm /tmp/app.tar.gz",
            "rm -f /tmp/x",
            "sudo apt-get update",
        ),
        *("if true; then apt-get update; fi", "for i in 1 2; do echo $i; done", "(cd a && make)"),
        *(
            "useradd -u 1000 app",
            "set -eux",
            "ccache gcc a.c",
            "echo $TOKEN",
            "wget http://h/x.tgz",
        ),
        *("apk add --virtual .b gcc", "apk del .b", "echo ${A:-b}", "echo $(go env)", "echo \\\\"),
    )
)
JOINS = st.sampled_from(
    (" && ", "; ", " || ", " && \\\n    ", " \\\n    && ", " \\\n # note\n && ", " && \\\n\n  ")
)


@st.composite
def scripts(draw: st.DrawFn) -> str:
    commands = draw(st.lists(COMMANDS, min_size=1, max_size=5))
    text = commands[0]
    for command in commands[1:]:
        text += draw(JOINS) + command
    return text


@st.composite
def runs(draw: st.DrawFn) -> str:
    flags = draw(
        st.sampled_from(
            (
                *("", "", "", "--network=none ", "--mount=type=cache,target=/root/.cache/pip "),
                *("--mount=type=secret,id=x \\\n  ", "\\\n    ", "--mount=type=ssh "),
            )
        )
    )
    kind = draw(st.integers(0, 9))
    if kind == 0:
        lines = "\n".join(draw(st.lists(COMMANDS, min_size=1, max_size=4)))
        return f"RUN {flags}<<EOF\n{lines}\nEOF"
    if kind == 1:
        return f"RUN {flags}" + draw(
            st.sampled_from(('["pip", "install", "x"]', '["apt-get", "update"]', '["go", "build"]'))
        )
    return f"{draw(st.sampled_from(('RUN', 'run', 'ONBUILD RUN')))} {flags}{draw(scripts())}"


OTHERS = st.sampled_from(
    (
        *("COPY . .", "COPY . /app", "COPY --chown=1000 . /app/", "ADD . .", 'COPY [".", "/app"]'),
        *("COPY go.mod go.sum ./", "COPY app.tar.gz /tmp/", "COPY --from=0 /out /app/out"),
        *(
            "COPY --from=base / /",
            "WORKDIR /app",
            "WORKDIR src",
            "USER app",
            "USER root",
            "USER node",
        ),
        *("ENV A=1 PIP_NO_CACHE_DIR=1", "ENV PIP_NO_CACHE_DIR 1", "ENV GOPATH=/gp", "ARG TOKEN"),
        *("ARG TOKEN=x A=2", "ENV API_KEY=$TOKEN", "ENV X=y \\\n    PASSWORD=a \\\n    Z=1"),
        *('SHELL ["/bin/bash", "-c"]', 'SHELL ["powershell"]', 'CMD ["go", "run", "."]'),
        *("LABEL a=b", "EXPOSE 80", "VOLUME /data", 'ENTRYPOINT ["/app"]', "HEALTHCHECK NONE"),
        *("# a comment", "#", "", "# another = comment", "COPY <<EOF /a\nRUN pip install x\nEOF"),
    )
)
SEQUENCES = st.sampled_from(
    (
        "WORKDIR /app\n# all\nCOPY . .\n# and\nRUN npm ci && \\\n    npm run build",
        "WORKDIR /app\nCOPY . /app\nENV A=b\nRUN pip install -r requirements.txt\nRUN make",
        "COPY . /app\nWORKDIR /app\nUSER app\nRUN poetry install\nRUN npm ci --omit dev",
        "WORKDIR /src\nCOPY . .\nRUN CGO_ENABLED=0 go build -o /a . # note",
        "WORKDIR /src\nADD --chown=1 . ./\nRUN composer install --no-dev && make",
        "WORKDIR /src\nCOPY . .\nRUN apt-get update && apt-get install -y x\nRUN cargo build",
        "COPY app.tar.gz /tmp/\nRUN tar xf /tmp/app.tar.gz -C /opt\n# gone\nRUN rm /tmp/app.tar.gz",
        "COPY app.tar.gz /tmp/\nRUN tar xf /tmp/app.tar.gz \\\n  && rm -f /tmp/app.tar.gz /tmp/x",
        "RUN curl -o /tmp/x http://h/x\n# note\n\nRUN rm -f /tmp/x",
        "RUN cd /tmp && wget http://h/x.tgz\nRUN tar xf /tmp/x.tgz && make\nRUN rm /tmp/x.tgz",
        "RUN apk add --virtual .b gcc \\\n  && make\nRUN apk del .b",
        "COPY --from=base /out /app/out\nCOPY x /app/x\n# system\nRUN apt-get install -y x",
        "COPY x /app/x\nRUN apk add --no-cache x \\\n  y",
        "ARG TOKEN\nENV NPM_TOKEN=${TOKEN}\nRUN npm ci\nRUN echo $TOKEN",
        "RUN useradd -u 1000 app\nUSER app\nRUN pip install --user x",
    )
)
HEADS = st.sampled_from(
    (
        "FROM debian",
        "FROM golang:1.22 AS base",
        "FROM base",
        "FROM node:20-alpine AS web",
        "from scratch",
    )
)


@st.composite
def dockerfiles(draw: st.DrawFn) -> str:
    escape = draw(st.sampled_from(("", "", "# syntax=docker/dockerfile:1\n", "# escape=`\n")))
    lines = [draw(HEADS)]
    for _ in range(draw(st.integers(0, 9))):
        lines.append(draw(st.one_of(runs(), runs(), OTHERS, OTHERS, SEQUENCES, SEQUENCES, HEADS)))
    text = "\n".join(lines)
    if "`" in escape:
        text = text.replace("\\\n", "`\n")
    text = escape + text + draw(st.sampled_from(("\n", "", "\n\n# end\n")))
    if draw(st.integers(0, 4)) == 0:
        text = text.replace("\n", "\r\n")
    return text


def _parses(text: str) -> bool:
    try:
        read_stages(parse_document(text, "Dockerfile"))
    except LaminaError:
        return False
    return True


def _content(node: Node) -> tuple[object, ...]:
    return node.keyword, node.flags, node.rest, node.heredocs


def _untouched(text: str, edits: Sequence[Edit]) -> list[tuple[object, ...]]:
    """The instructions whose lines contain no edit."""
    source = SourceText(text, "Dockerfile")
    found = []
    for node in source.document.nodes:
        start = source.line_start(node.location.start)
        end = source.line_start(node.location.end + 1)
        inside = (
            edit.start < end and edit.end > start
            if edit.start < edit.end
            else start < edit.start < end
            for edit in edits
        )
        if not any(inside):
            found.append(_content(node))
    return found


def _is_subsequence(part: Sequence[object], whole: Sequence[object]) -> bool:
    rest = iter(whole)
    return all(one in rest for one in part)


def check(text: str, request: Request) -> None:
    items = advise(text, request)
    for item in items:
        if item.ignore_file:
            continue
        after = apply_edits(text, item.edits)
        assert after != text
        parsed = parse_document(after, "Dockerfile")
        read_stages(parsed)
        assert _is_subsequence(_untouched(text, item.edits), [_content(n) for n in parsed.nodes])
    chosen = [item for item in compatible(items) if not item.ignore_file]
    edits = [edit for item in chosen for edit in item.edits]
    parsed = parse_document(apply_edits(text, edits), "Dockerfile")
    assert _is_subsequence(_untouched(text, edits), [_content(n) for n in parsed.nodes])
    improved = improve(text, request)
    files = request.files.with_ignore_text(improved.ignore_file)
    assert advise(improved.dockerfile, request._replace(files=files)) == []


@settings(max_examples=400)
@given(dockerfiles())
def test_advice_on_any_dockerfile(text: str) -> None:
    if _parses(text):
        check(text, Request("Dockerfile", FILES))


def test_advice_on_the_corpus() -> None:
    folder = Path(__file__).parents[1] / "corpus" / "cases"
    checked = 0
    for path in sorted(folder.rglob("*.case")):
        text = read_case(path.read_text()).sections.get("Dockerfile", "")
        text = json.loads(text) if text.startswith('"') else text + "\n"
        if _parses(text):
            check(text, Request("Dockerfile", FILES))
            checked += 1
    assert checked > 500
