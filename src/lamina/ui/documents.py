"""The documents of the API. `lamina.ui.openapi` makes the OpenAPI document from these types.

Times are seconds since the epoch, durations are seconds, sizes are bytes. A value of None is not
known or does not apply.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

BuildStatus = Literal["running", "completed", "error", "canceled"]
StepState = Literal["waiting", "running", "ran", "cached", "failed", "canceled"]
PairChange = Literal["added", "removed", "changed", "same"]


class Info(TypedDict):
    """The server. `changes`: whether requests that change the store are allowed; `report`: whether
    this is a static report; `images`: whether images can be analysed."""

    version: str
    store: str
    changes: bool
    report: bool
    images: bool


class Counts(TypedDict):
    """Numbers of steps. `total` is 0 while the build runs."""

    total: int
    completed: int
    cached: int


class BuildRow(TypedDict):
    """A build in the list. `images` are names of outputs, `revision` is that of the context's git
    repository."""

    ref: str
    name: str
    status: BuildStatus
    started: float
    completed: float | None
    steps: Counts
    warnings: int
    context: str
    dockerfile: str
    target: str
    platform: str
    repository: str
    revision: str
    images: list[str]
    error: str


class Builds(TypedDict):
    """The newest builds. `total` counts all records."""

    builds: list[BuildRow]
    total: int


class Lines(TypedDict):
    """Lines of a file, counted from 1."""

    file: str
    first: int
    last: int


class Usage(TypedDict):
    """The resource usage of commands. `cpu` is in seconds of CPU time."""

    cpu: float | None
    memory: int | None
    read: int | None
    written: int | None
    sent: int | None
    received: int | None


class KeyInput(TypedDict):
    """An input of a cache key: the key of a step, or the content that is read of it."""

    step: str
    selector: str
    digest: str
    content: bool


class CacheKey(TypedDict):
    """The cache key of a step. `origin` is the imported cache that its result came from."""

    key: str
    operation: str
    origin: str
    inputs: list[KeyInput]


class Transfer(TypedDict):
    """A part of a step's work, for example the download of a layer."""

    name: str
    current: int
    total: int
    started: float | None
    completed: float | None


class StepDocument(TypedDict):
    """A step. `number` counts from 1 in the order of the start. `ready` is when its inputs were
    complete. `stage` and `position` (`2/3`) are parts of its name, `text` is the rest. `reason`
    says why it missed the cache; `internal` steps are no operations of the definition."""

    number: int
    digest: str
    name: str
    text: str
    stage: str
    platform: str
    position: str
    state: StepState
    internal: bool
    inputs: list[str]
    ready: float | None
    started: float | None
    completed: float | None
    error: str
    reason: str
    lines: Lines | None
    usage: Usage | None
    cache: CacheKey | None
    source: str
    mounts: list[str]
    transfers: list[Transfer]
    logLines: int


class Warning(TypedDict):
    """A warning, of the Dockerfile's checks for example."""

    step: str
    text: str
    detail: list[str]
    url: str
    lines: Lines | None


class Output(TypedDict):
    """An output. `size` is that of an image's layers and configurations."""

    kind: str
    name: str
    digest: str
    size: int | None


class Attachment(TypedDict):
    """A document of the build's results: a manifest, a configuration or an attestation."""

    digest: str
    platform: str
    type: str


class AttachmentContent(TypedDict):
    """The content of an attachment: a JSON document, or a text."""

    digest: str
    type: str
    content: Any


class Material(TypedDict):
    """An input of the build by digest."""

    uri: str
    digests: list[str]


class NamedValue(TypedDict):
    """A setting of the request."""

    name: str
    value: str


class BuildError(TypedDict):
    """The error that ended a build."""

    message: str
    hint: str
    sources: str


class Build(TypedDict):
    """A build. `dockerfile` is the text of the Dockerfile, "" if it is not known."""

    row: BuildRow
    inputs: list[NamedValue]
    steps: list[StepDocument]
    usage: Usage | None
    warnings: list[Warning]
    failure: BuildError | None
    outputs: list[Output]
    attachments: list[Attachment]
    materials: list[Material]
    dockerfile: str
    dockerfileName: str
    complete: bool


class Cause(TypedDict):
    """A cause of a cache miss. `step` is the digest of the step that it is about."""

    step: str
    kind: str
    text: str
    diff: list[str]


class StepExplanation(TypedDict):
    """Why a step missed the cache. `compared` is the build that it was compared with."""

    step: str
    text: str
    compared: str
    causes: list[Cause]
    roots: list[Cause]


class Explanations(TypedDict):
    """The explanations of all steps that ran. `keysRecorded`: whether the builder records keys."""

    ref: str
    keysRecorded: bool
    steps: list[StepExplanation]


class SavedStep(TypedDict):
    """A cached step, and how long it took when it last ran."""

    step: str
    seconds: float


class Savings(TypedDict):
    """What the cache saved. `unknown` counts cached steps without a recorded duration. `costliest`
    is the step that took most time, "" if none ran."""

    seconds: float
    steps: list[SavedStep]
    unknown: int
    costliest: str


class StepLog(TypedDict):
    """The size of a step's log."""

    step: str
    lines: int
    bytes: int


class LogIndex(TypedDict):
    """The logs of a build. `complete`: the whole log is read, and the build has ended."""

    steps: list[StepLog]
    complete: bool


class LogLine(TypedDict):
    """A line: its number from 0, seconds since the start of the step, 1 for standard output or 2
    for standard error, and its text with escape sequences."""

    number: int
    time: float
    stream: int
    text: str


class LogPage(TypedDict):
    """Lines of a step's log. `total` is the number of its lines so far."""

    step: str
    total: int
    lines: list[LogLine]


class LogMatch(TypedDict):
    """A line that contains the searched text."""

    step: str
    line: int


class LogMatches(TypedDict):
    """Lines that contain a text. `more`: there are more than those listed."""

    matches: list[LogMatch]
    more: bool


class ComparedSide(TypedDict):
    """One of two compared builds."""

    ref: str
    name: str
    status: str
    started: float
    seconds: float


class ComparedStep(TypedDict):
    """A step of one of two builds. `seconds` is None if it did not run."""

    digest: str
    name: str
    cached: bool
    ran: bool
    seconds: float | None
    error: str


class StepPair(TypedDict):
    """A step in two builds."""

    change: PairChange
    before: ComparedStep | None
    after: ComparedStep | None
    causes: list[str]


class InputPair(TypedDict):
    """An input that differs."""

    name: str
    before: str | None
    after: str | None


class ChangedPath(TypedDict):
    """A changed file of the context."""

    path: str
    change: str


class OutputPair(TypedDict):
    """An output in two builds."""

    change: PairChange
    before: Output | None
    after: Output | None


class Comparison(TypedDict):
    """The differences of two builds. `files` are the first changed ones of `fileCount`."""

    equal: bool
    before: ComparedSide
    after: ComparedSide
    steps: list[StepPair]
    inputs: list[InputPair]
    files: list[ChangedPath]
    fileCount: int
    outputs: list[OutputPair]


class ImageRow(TypedDict):
    """An image of the local store."""

    name: str
    digest: str
    size: int
    created: float
    platform: str


class Images(TypedDict):
    """The images of the local store, the newest first."""

    images: list[ImageRow]


class Node(TypedDict):
    """A file, or a directory with its largest `children`. One node named `…` is the rest."""

    name: str
    size: int
    children: list[Node]


class LayerDocument(TypedDict):
    """A layer. `size` is that of the blob, `content` that of its files. `hidden` are the bytes of
    lower layers that it deletes or replaces; `wasted` those of its own that upper layers hide.
    `repeated` are bytes of files that another layer or path has with the same content."""

    number: int
    digest: str
    step: str
    size: int
    content: int
    files: int
    deleted: int
    hidden: int
    wasted: int
    repeated: int
    tree: Node


class WastedFile(TypedDict):
    """A path whose content is in several layers: all but the last copy are wasted."""

    path: str
    layers: list[int]
    bytes: int


class PackageRow(TypedDict):
    """An installed package."""

    kind: str
    name: str
    version: str


class Image(TypedDict):
    """An image of one platform."""

    name: str
    digest: str
    platform: str
    size: int
    content: int
    wasted: int
    layers: list[LayerDocument]
    wastedFiles: list[WastedFile]
    packages: list[PackageRow]
    config: dict[str, Any]


class LayerFile(TypedDict):
    """An entry of a directory in a layer. `kind`: `directory`, `file`, `deleted`, …; `size` of a
    directory is that of all files below it."""

    name: str
    kind: str
    size: int
    mode: str
    owner: str


class LayerFiles(TypedDict):
    """The entries of a directory in a layer."""

    path: str
    entries: list[LayerFile]


class StoreRecord(TypedDict):
    """A record of the cache. `removable`: pruning removes it, unless a build begins to use it."""

    id: str
    type: str
    size: int
    created: float
    used: float | None
    count: int
    description: str
    shared: bool
    removable: bool


class StoreUsage(TypedDict):
    """The disk usage of the builder's cache."""

    records: list[StoreRecord]
    size: int
    removable: int


class Pruned(TypedDict):
    """The outcome of pruning."""

    records: int
    bytes: int


class Problem(TypedDict):
    """An error of the API."""

    error: str
    hint: str
