"""The causes of a step's cache miss, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.records.content_changes import ContentChanges
    from lamina.records.steps import Step


class NeverBuilt(NamedTuple):
    """No recorded build on this store got as far as running the step."""

    reason: str = "never built here"


class CacheIgnored(NamedTuple):
    """The step ignored the cache (`--no-cache`, `--no-cache-filter`)."""

    reason: str = "--no-cache"


class ResultPruned(NamedTuple):
    """The key is the same, and its result was removed at `when` (seconds since the epoch)."""

    when: float


class ResultMissing(NamedTuple):
    """The key is the same, and its result is gone for an unrecorded reason."""

    reason: str = "its result is not in the store any more"


class CacheLacks(NamedTuple):
    """No result was made here, and the imported caches have none. `known`: one has the key."""

    known: bool = False


class NotCompleted(NamedTuple):
    """The key is the same, but the step failed in build `ref`, or was stopped."""

    ref: str
    failed: bool = True


class OnlyThisBuild(NamedTuple):
    """The key is only valid in one build, so the step runs in each."""

    reason: str = "its key is only valid in one build"


class NewStep(NamedTuple):
    """The compared build has no such instruction."""

    reason: str = "new instruction"


class TextChanged(NamedTuple):
    """A command, or the content of a file that the Dockerfile has."""

    subject: str
    before: str
    after: str


class VariableChanged(NamedTuple):
    """`origin` is `build argument`, `ENV` or `base image's ENV`. A value of None: the variable is
    not set."""

    origin: str
    name: str
    before: str | None
    after: str | None


class OptionChanged(NamedTuple):
    """Another option of the instruction changed. "" means that it was or is not set."""

    option: str
    before: str
    after: str


class CredentialsChanged(NamedTuple):
    """The credentials in a URL of the operation changed. Records do not contain them."""

    reason: str = "the credentials in a URL changed"


class PlatformChanged(NamedTuple):
    before: str
    after: str


class SourceMoved(NamedTuple):
    """A tag or URL has other content now. The values are digests, "" if unknown."""

    name: str
    before: str = ""
    after: str = ""


class RefMoved(NamedTuple):
    """A branch or a tag of a git repository points to another commit. `ref` is its full name."""

    ref: str
    before: str
    after: str


class DownloadChanged(NamedTuple):
    """A URL has other content now. The values are digests."""

    url: str
    before: str
    after: str


class SourceReplaced(NamedTuple):
    """The instruction names another image, repository or URL."""

    before: str
    after: str


class FilesChanged(NamedTuple):
    """The content that the step reads of `source`: a step, or None for a directory of the client.

    `changes` is None if there is no manifest to compare.
    """

    source: Step | None
    changes: ContentChanges | None


class DependsOn(NamedTuple):
    """The key or the content of an input changed; the input has its own causes."""

    step: Step


class StepRemoved(NamedTuple):
    """The compared build ran this step before the step."""

    name: str


class StepMoved(NamedTuple):
    """This other step has another position before the step."""

    name: str


class InputReplaced(NamedTuple):
    """The step builds on another step than before; names as progress shows them."""

    before: str
    after: str


class Unexplained(NamedTuple):
    """The key changed, and the records contain no cause: another version of lamina made it."""

    reason: str = "its key is computed in another way"


class NotRecorded(NamedTuple):
    """The builder records no keys: a buildkitd."""

    reason: str = (
        "what it reads changed, or its result was removed: the builder does not record which"
    )


Cause: TypeAlias = (
    NeverBuilt
    | CacheIgnored
    | ResultPruned
    | ResultMissing
    | CacheLacks
    | NotCompleted
    | OnlyThisBuild
    | NewStep
    | TextChanged
    | VariableChanged
    | OptionChanged
    | CredentialsChanged
    | PlatformChanged
    | SourceMoved
    | RefMoved
    | DownloadChanged
    | SourceReplaced
    | FilesChanged
    | DependsOn
    | StepRemoved
    | StepMoved
    | InputReplaced
    | Unexplained
    | NotRecorded
)


class RootCause(NamedTuple):
    """A cause that depends on no other step, and the step that it is a cause of."""

    step: Step
    cause: Cause


class Explanation(NamedTuple):
    """`causes` are the step's own ones, `roots` the root causes.

    `compared` is the ref of the build that the step was compared with, "" for none.
    """

    step: Step
    causes: tuple[Cause, ...]
    roots: tuple[RootCause, ...]
    compared: str = ""
