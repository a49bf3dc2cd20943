"""The error tree.

    LaminaError
    ├── InvalidInput       the user's input is malformed or not allowed
    │   └── IncompleteMaterials … because a material of the build has no digest
    ├── NotFound           a file, stage, image or key does not exist
    ├── AlreadyExists      a name is in use
    ├── PermissionDenied   the system or a registry refused
    ├── Unavailable        a peer cannot be reached or is overloaded; a retry can help
    ├── Exhausted          no disk space, memory, or file descriptors left
    ├── Corrupt            bytes do not match their digest, size or format
    ├── Unsupported        valid, but not supported by lamina or this machine
    │   ├── MissingCapability   … that a frontend lacks
    │   └── UnknownRequest      … that a frontend does not implement
    ├── CommandFailed      the command of a step exited with another status than 0
    ├── Cancelled          the user or another part of the build stopped it
    └── Internal           a bug in lamina

An error has a kind (the class), a reason, and optionally a hint (what to do) and a location (where
in which text). `retryable` says whether the same call may succeed later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from lamina.base.redact import redacted

if TYPE_CHECKING:
    from typing import Self, TypedDict, Unpack

    from lamina.base.location import Location

    class ErrorContext(TypedDict, total=False):
        """What can be learned of an error on its way, as `LaminaError` has it."""

        reason: str
        hint: str
        location: Location | None
        during: str
        step: FailedStep | None
        frontends: tuple[tuple[str, str], ...]


FREE_SOME = "free some disk space: `lamina prune` drops unused build cache"


class FailedStep(NamedTuple):
    """An op, and what of it failed, where that is known.

    `data` is the op as its definition has it; `action` the place of a file op's action, `content`
    that of the input whose content was looked at for the cache.
    """

    digest: str
    data: bytes = b""
    action: int | None = None
    content: int | None = None


class LaminaError(Exception):
    """An error meant to be read by a person.

    Args:
        reason: one sentence, what failed and why, without a trailing full stop. Addresses in it
            lose their passwords.
        hint: what the reader can do about it; empty when there is nothing to say.
        location: the place in a text (a Dockerfile) that led here.

    `during` is what was being done, in the words that clients of BuildKit's API know; people
    who run lamina itself do without. `step` is the op that failed, None if none did.
    `frontends` are those that it went through, innermost first: their names, and their images.

    An error does not change: several builds may be told of the same one. Whoever knows more of it
    raises a copy (`with_context`).
    """

    kind: ClassVar[str] = "unknown"
    retryable: ClassVar[bool] = False

    def __init__(self, reason: str, *, hint: str = "", location: Location | None = None) -> None:
        reason = redacted(reason)
        super().__init__(reason)
        self.reason: Final = reason
        self.hint: Final = hint
        self.location: Final = location
        self.during: Final[str] = ""
        self.step: Final[FailedStep | None] = None
        self.frontends: Final[tuple[tuple[str, str], ...]] = ()

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dict__:
            raise AttributeError(
                f"errors do not change: `with_context` makes one with another {name}"
            )
        super().__setattr__(name, value)

    def __str__(self) -> str:
        return self.reason

    @property
    def advice(self) -> str:
        """The reason, and behind it what was probably meant, as BuildKit has it."""
        meant = self.hint.startswith("did you mean")
        return f"{self.reason} ({self.hint})" if meant else self.reason

    @property
    def message(self) -> str:
        """What clients of BuildKit's API are told: `during`, if anything, and `advice`."""
        return f"{self.during}: {self.advice}" if self.during else self.advice

    def at(self, location: Location | None) -> Self:
        """The same, located there if it has no place yet."""
        return self if self.location is not None else self.with_context(location=location)

    def with_context(self, **context: Unpack[ErrorContext]) -> Self:
        """A copy in which these fields are others. Raise it `from` this one."""
        clone = self.again()
        clone.__dict__.update(context)
        return clone

    def again(self) -> Self:
        """A copy to be raised to somebody else: raising changes an error's traceback."""
        clone = type(self).__new__(type(self), *self.args)
        clone.__dict__.update(self.__dict__)
        clone.__cause__ = self.__cause__
        return clone.with_traceback(self.__traceback__)


class InvalidInput(LaminaError):
    kind = "invalid"


class IncompleteMaterials(InvalidInput):
    """Complete materials were asked for. `folders` are the client's, by name."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        named = f": folders of the client's: {', '.join(folders)}" if folders else ""
        super().__init__(
            f"provenance materials are incomplete{named}",
            hint="leave out complete-materials, or build from a repository or an archive by URL",
        )
        self.folders = folders


class NotFound(LaminaError):
    kind = "not found"


class AlreadyExists(LaminaError):
    kind = "already exists"


class PermissionDenied(LaminaError):
    kind = "permission denied"


class SourceDenied(PermissionDenied):
    """A client that judges sources denies one; `messages` are its own words."""

    def __init__(self, reason: str, messages: tuple[str, ...] = ()) -> None:
        super().__init__(reason, hint="; ".join(messages))
        self.messages = messages


class Unavailable(LaminaError):
    kind = "unavailable"
    retryable = True


class Exhausted(LaminaError):
    kind = "exhausted"


class Corrupt(LaminaError):
    kind = "corrupt"


class Unsupported(LaminaError):
    kind = "unsupported"


class MissingCapability(Unsupported):
    """A capability was asked for that the frontend does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unsupported frontend capability {name}")
        self.name = name


class UnknownRequest(Unsupported):
    """A frontend was asked what it does not answer (`frontend.…`)."""

    def __init__(self, name: str, *, hint: str = "") -> None:
        super().__init__(f"unsupported request {name}", hint=hint)
        self.name = name


class CommandFailed(LaminaError):
    """A command ended with a status that its step does not accept.

    `exit_code` follows the shell: 128 + N for a command killed by signal N.
    """

    kind = "command failed"

    def __init__(
        self,
        reason: str,
        *,
        exit_code: int,
        hint: str = "",
        location: Location | None = None,
    ) -> None:
        super().__init__(reason, hint=hint, location=location)
        self.exit_code = exit_code


CONTEXT_CANCELLED = "context canceled"
"""By these words clients of BuildKit's API know a step or a build that was cancelled."""


class Cancelled(LaminaError):
    kind = "cancelled"

    @property
    def message(self) -> str:
        text = super().message
        return text if text.endswith(CONTEXT_CANCELLED) else f"{text}: {CONTEXT_CANCELLED}"


class Internal(LaminaError):
    kind = "internal"


def from_os_error(error: OSError, doing: str) -> LaminaError:
    """Translate the system's refusal into the tree; `doing` is a phrase like "write blob"."""
    import errno

    where = "" if error.filename is None else f" {_shortened(str(error.filename))}"
    reason = f"{doing}{where}: {error.strerror or error}"
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return NotFound(reason)
        case errno.EEXIST:
            return AlreadyExists(reason)
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return PermissionDenied(reason)
        case errno.ENOSPC | errno.EDQUOT:
            return Exhausted(reason, hint=FREE_SOME)
        case errno.EMFILE | errno.ENFILE | errno.ENOMEM:
            return Exhausted(reason)
        case errno.ENAMETOOLONG:
            return InvalidInput(reason, hint="a path may have 4095 bytes, a name in it 255")
        case errno.ELOOP:
            return InvalidInput(reason)
        case errno.ECONNREFUSED | errno.ETIMEDOUT | errno.EHOSTUNREACH | errno.ENETUNREACH:
            return Unavailable(reason)
        case _:
            return Internal(reason)


def _shortened(path: str) -> str:
    """Enough of a path to find it by."""
    return path if len(path) <= 300 else f"{path[:200]}…"
