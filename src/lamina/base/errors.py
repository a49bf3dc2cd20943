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

from typing import TYPE_CHECKING, Any, ClassVar, Final

from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted

if TYPE_CHECKING:
    from typing import Self, TypedDict, Unpack

    from lamina.base.location import Location

    class ErrorContext(TypedDict, total=False):
        """The fields of `LaminaError` that can be added to an error."""

        reason: str
        hint: str
        location: Location | None
        during: str
        step: FailedStep | None
        frontends: tuple[tuple[str, str], ...]


FREE_SOME = "free some disk space: `lamina prune` drops unused build cache"


class FailedStep(NamedTuple):
    """The op that failed, and which part of it, if known.

    `data` is the encoded op; `action` the index of a file op's action, `content` that of the input
    whose content was digested for the cache key.

    `inputs` and `mounts` are results that a client can look at, None where there is none. For an
    exec op they are those of its mounts, before the command ran and after it failed. For a file op
    `inputs` are those of the op, and `mounts` what its actions made until one failed. If content
    could not be digested, `inputs` is that input.
    """

    digest: str
    data: bytes = b""
    action: int | None = None
    content: int | None = None
    inputs: tuple[object, ...] = ()
    mounts: tuple[object, ...] = ()


class LaminaError(Exception):
    """An error for the user to read. Immutable.

    Args:
        reason: one sentence, what failed and why, without a trailing full stop. Passwords in
            addresses are removed.
        hint: what the user can do about it; may be empty.
        location: the location in a text (a Dockerfile) that caused it.

    `during` says what was being done, in the text that clients of BuildKit's API expect; lamina's
    own messages leave it out. `step` is the op that failed, or None. `frontends` are those that the
    error passed through, innermost first: their names and images.

    Several builds can get the same error, so context is added to a copy (`with_context`).
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
                f"errors are immutable: `with_context` returns one with another {name}"
            )
        super().__setattr__(name, value)

    def __str__(self) -> str:
        return self.reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.args, dict(self.__dict__))

    @property
    def advice(self) -> str:
        """The reason, followed by a suggestion, as BuildKit formats it."""
        meant = self.hint.startswith("did you mean")
        return f"{self.reason} ({self.hint})" if meant else self.reason

    @property
    def message(self) -> str:
        """The message for clients of BuildKit's API: `during`, if there is one, and `advice`."""
        return f"{self.during}: {self.advice}" if self.during else self.advice

    def at(self, location: Location | None) -> Self:
        """The error itself, or a copy with this location if it has none."""
        return self if self.location is not None else self.with_context(location=location)

    def with_context(self, **context: Unpack[ErrorContext]) -> Self:
        """A copy with other values of these fields. Raise it `from` this error."""
        clone = self.again()
        clone.__dict__.update(context)
        return clone

    def again(self) -> Self:
        """A copy, for raising it in another build: raising changes the traceback."""
        clone = type(self).__new__(type(self), *self.args)
        clone.__dict__.update(self.__dict__)
        clone.__cause__ = self.__cause__
        return clone.with_traceback(self.__traceback__)


def _unpickled(kind: type[LaminaError], args: tuple[str, ...], fields: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class InvalidInput(LaminaError):
    """The user's input is malformed or not allowed."""

    kind = "invalid"


class IncompleteMaterials(InvalidInput):
    """Complete materials were requested. `folders` are the names of the client's directories."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        named = f": directories of the client: {', '.join(folders)}" if folders else ""
        super().__init__(
            f"provenance materials are incomplete{named}",
            hint="leave out complete-materials, or build from a repository or an archive by URL",
        )
        self.folders = folders


class NotFound(LaminaError):
    """A file, stage, image or key does not exist."""

    kind = "not found"


class AlreadyExists(LaminaError):
    """A name is in use."""

    kind = "already exists"


class PermissionDenied(LaminaError):
    """The system or a registry refused."""

    kind = "permission denied"


class SourceDenied(PermissionDenied):
    """A client's source policy denies a source; `messages` are the client's."""

    def __init__(self, reason: str, messages: tuple[str, ...] = ()) -> None:
        super().__init__(reason, hint="; ".join(messages))
        self.messages = messages


class Unavailable(LaminaError):
    """A peer cannot be reached or is overloaded. A retry can help."""

    kind = "unavailable"
    retryable = True


class Exhausted(LaminaError):
    """No disk space, memory or file descriptors are left."""

    kind = "exhausted"


class Corrupt(LaminaError):
    """Bytes do not match their digest, size or format."""

    kind = "corrupt"


class Unsupported(LaminaError):
    """Valid, but not supported by lamina or this machine."""

    kind = "unsupported"


class MissingCapability(Unsupported):
    """A required capability that the frontend does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unsupported frontend capability {name}")
        self.name = name


class UnknownRequest(Unsupported):
    """A request that a frontend does not implement (`frontend.…`)."""

    def __init__(self, name: str, *, hint: str = "") -> None:
        super().__init__(f"unsupported request {name}", hint=hint)
        self.name = name


class CommandFailed(LaminaError):
    """A command exited with a status that its step does not accept.

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
"""The text by which clients of BuildKit's API recognise a cancelled step or build."""


class Cancelled(LaminaError):
    """The user or another part of the build stopped it."""

    kind = "cancelled"

    @property
    def message(self) -> str:
        text = super().message
        return text if text.endswith(CONTEXT_CANCELLED) else f"{text}: {CONTEXT_CANCELLED}"


class Internal(LaminaError):
    """A bug in lamina."""

    kind = "internal"


def from_os_error(error: OSError, doing: str) -> LaminaError:
    """Convert an OSError; `doing` is a phrase like "write blob"."""
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
    """A path, shortened for display."""
    return path if len(path) <= 300 else f"{path[:200]}…"
