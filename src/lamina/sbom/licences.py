"""Declared licences as SPDX expressions (SPDX 2.3, annex D)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.named_tuple import NamedTuple
from lamina.sbom.licence_list import EXCEPTIONS, LICENCES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+)")
_REFERENCE = re.compile(r"[^A-Za-z0-9.-]+")
_LONGEST = 1000
_OPERATORS = ("AND", "OR", "WITH")
_KNOWN = {name.lower(): name for name in LICENCES}
_EXCEPTIONS = {name.lower(): name for name in EXCEPTIONS}
_ALIASES = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "bsd": "BSD-3-Clause",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd-3-clause license": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "expat": "MIT",
    "gpl": "GPL-1.0-or-later",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psf": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "psfl": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "zlib/libpng": "Zlib",
    "https://www.apache.org/licenses/license-2.0": "Apache-2.0",
    "https://www.apache.org/licenses/license-2.0.txt": "Apache-2.0",
    "http://www.apache.org/licenses/license-2.0": "Apache-2.0",
    "http://www.apache.org/licenses/license-2.0.txt": "Apache-2.0",
}
_GNU = re.compile(
    r"(?:GNU )?(AGPL|GPL|LGPL|GFDL)[ -]?v?(\d)(?:\.(\d))?(?:\.0)?(\+|-or-later|-only)?", re.I
)
"""How Debian, Fedora and others write GNU's licences: `GPL-2+`, `LGPLv2.1+`, `LGPL v3`."""


class Licence(NamedTuple):
    """A declared licence: an SPDX expression, "" for none, and the texts of its own references.

    `references` are the `LicenseRef-…` of the expression with what the package says instead.
    """

    expression: str = ""
    references: tuple[tuple[str, str], ...] = ()


def declared(names: Sequence[str]) -> Licence:
    """The licence of a package that declares names or expressions, all of which apply."""
    found = [_expression(name) for name in dict.fromkeys(names) if name.strip()]
    texts: dict[str, str] = {}
    parts: dict[str, None] = {}
    for one in found:
        texts.update(one.references)
        # Parts with parentheses stay together.
        whole = "(" in one.expression or " OR " in one.expression
        parts.update(dict.fromkeys([one.expression] if whole else one.expression.split(" AND ")))
    joined = [f"({part})" if len(parts) > 1 and " OR " in part else part for part in parts]
    return Licence(" AND ".join(joined), tuple(texts.items()))


@lru_cache(maxsize=4096)
def _expression(text: str) -> Licence:
    text = " ".join(text.split())[:_LONGEST]
    whole = _identifier(text)
    if whole:
        return Licence(whole)
    parsed = _Parser(text).parse()
    return parsed if parsed is not None else _own(text)


def _own(text: str) -> Licence:
    plain = _REFERENCE.sub("-", text).strip("-")[:60].rstrip("-.")
    if not plain or _REFERENCE.sub("-", text) != text or len(text) > len(plain):
        # Texts that differ only in other characters get different names.
        plain = f"{plain}-{digest_of(text.encode()).hex[:8]}".lstrip("-")
    name = f"LicenseRef-{plain}"
    return Licence(name, ((name, text),))


def _identifier(name: str) -> str:
    """The identifier of a name, "" if it is not a known licence."""
    lower = name.lower()
    known = _KNOWN.get(lower) or _ALIASES.get(lower, "")
    if known:
        return known
    if matched := _GNU.fullmatch(name):
        family, major, minor, later = matched.groups()
        wide = later in ("+", "-or-later")
        made = f"{family.upper()}-{major}.{minor or '0'}-{'or-later' if wide else 'only'}"
        return made if made in LICENCES else ""
    plain = lower.removesuffix("+")
    return f"{_KNOWN[plain]}+" if plain in _KNOWN else ""


class _Parser:
    """Parses an expression with names that are identifiers, aliases, or unknown."""

    def __init__(self, text: str) -> None:
        self._tokens = [match.group(1) for match in _TOKEN.finditer(text)]
        self._at = 0
        self._references: dict[str, str] = {}

    def parse(self) -> Licence | None:
        """The expression; None if the text is not one."""
        words = self._tokens
        operators: Mapping[str, str] = {name.lower(): name for name in _OPERATORS}
        self._tokens = [operators.get(word.lower(), word) for word in words]
        if not any(word in _OPERATORS for word in self._tokens):
            return None  # one unknown name, or a sentence
        try:
            made = self._choice(0)
        except ValueError:
            return None
        if self._at < len(self._tokens):
            return None
        return Licence(made, tuple(self._references.items()))

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise ValueError
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, token: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at] == token
        self._at += found
        return found

    def _choice(self, depth: int) -> str:
        parts = [self._all(depth)]
        while self._accept("OR"):
            parts.append(self._all(depth))
        return " OR ".join(parts)

    def _all(self, depth: int) -> str:
        parts = [self._simple(depth)]
        while self._accept("AND"):
            parts.append(self._simple(depth))
        return " AND ".join(parts)

    def _simple(self, depth: int) -> str:
        token = self._next()
        if token == "(":
            if depth > 20:
                raise ValueError
            inside = self._choice(depth + 1)
            if self._next() != ")":
                raise ValueError
            return f"({inside})"
        if token == ")" or token in _OPERATORS:
            raise ValueError
        known = _identifier(token)
        if not known:
            own = _own(token)
            self._references.update(own.references)
            known = own.expression
        if self._accept("WITH"):
            exception = _EXCEPTIONS.get(self._next().lower())
            if exception is None or known.startswith("LicenseRef-"):
                raise ValueError
            return f"{known} WITH {exception}"
        return known
