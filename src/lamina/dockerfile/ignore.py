"""The `.dockerignore` file; how its patterns match is `lamina.base.patterns`."""

from __future__ import annotations

from lamina.base.patterns import clean


def read_patterns(data: bytes) -> tuple[str, ...]:
    """The patterns of a `.dockerignore` file: comments and blank lines left out, cleaned."""
    patterns = []
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    for raw in text.split("\n"):
        if raw.startswith("#"):
            continue
        line = raw.strip()
        if not line:
            continue
        negated = line.startswith("!")
        if negated:
            line = line[1:].strip()
        if line:
            line = clean(line)
            if len(line) > 1 and line.startswith("/"):
                line = line[1:]
        patterns.append("!" + line if negated else line)
    return tuple(patterns)
