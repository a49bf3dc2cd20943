"""Home directories and IDs of the users of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.advise.programs import Invocation
    from lamina.advise.stages import Plan, Stage, Step

_ROOT = frozenset(("", "root", "0"))
_UID_FLAGS = frozenset(("-u", "--uid"))
_GID_FLAGS = frozenset(("-g", "--gid"))
_HOME_FLAGS = {"useradd": ("-d", "--home-dir", "--home"), "adduser": ("-h", "--home")}
_KNOWN = {"node": ("node", 1000, "/home/node"), "gradle": ("gradle", 1000, "/home/gradle")}
"""By user: a part of the image's name, user ID and home directory."""


class Account(NamedTuple):
    """`uid` is None for root."""

    home: str
    uid: int | None = None

    @property
    def owner(self) -> str:
        """Options of a mount that this user can write to."""
        return "" if self.uid is None else f",uid={self.uid},gid={self.uid}"


def account(plan: Plan, stage: Stage, step: Step) -> Account | None:
    """The user of a step; None if its ID is not known."""
    user = step.before.user
    home = step.before.variables.get("HOME", "")
    if user in _ROOT:
        return Account(home or "/root")
    if user in _KNOWN and _KNOWN[user][0] in stage.image:
        return Account(home or _KNOWN[user][2], _KNOWN[user][1])
    for below in plan.chain(stage):
        for other in below.steps:
            for found in other.invocations or ():
                created = _created(found, user)
                if created is not None:
                    return created._replace(home=home or created.home)
    return None


def _created(found: Invocation, user: str) -> Account | None:
    """The account that `useradd` or `adduser` creates, if it is this user's and has a fixed ID."""
    if found.program not in _HOME_FLAGS:
        return None
    values = [word.value for word in found.arguments]
    options: dict[str, str] = {}
    for at, value in enumerate(values):
        flag, equals, rest = value.partition("=")
        if flag.startswith("-"):
            options[flag] = rest if equals else "".join(values[at + 1 : at + 2])
    uid = next((options[flag] for flag in _UID_FLAGS if flag in options), "")
    gid = next((options[flag] for flag in _GID_FLAGS if flag in options), uid)
    if not uid.isdecimal() or user not in (uid, values[-1]) or (gid.isdecimal() and gid != uid):
        return None
    home = next((options[flag] for flag in _HOME_FLAGS[found.program] if flag in options), "")
    return Account(home or f"/home/{values[-1]}", int(uid))
