"""Addresses as they may be shown: without what logs somebody in."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=://)([^/?#@\s:]*)(:[^/?#@\s]*)?(?=@)")


def redacted(text: str) -> str:
    """A text whose URLs keep their hosts and lose their users and passwords.

    `https://user:password@host/x` becomes `https://xxxxx:xxxxx@host/x`, as BuildKit shows it.
    """
    return _USERINFO.sub(_hidden, text) if "@" in text else text


def _hidden(match: re.Match[str]) -> str:
    user, password = match.groups()
    return ("xxxxx" if user else "") + (":xxxxx" if password is not None else "")
