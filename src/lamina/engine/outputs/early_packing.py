"""Packs layers while later steps still run, if an output needs them.

Only snapshots that the result is based on are packed, because each becomes a layer of it. The
thread yields to steps. What it does not reach, or fails to pack, is packed during the export.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.base.events import VertexEvent
from lamina.exporters.destination import (
    ArchiveOutput,
    ImageOutput,
    LoadOutput,
    LocalOutput,
    TarOutput,
)
from lamina.layers.compression import Compression
from lamina.system.cancel import Cancellation
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.digest import Digest
    from lamina.base.events import Event, EventSink
    from lamina.exporters.destination import ImageForm, Output
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.solver.contract import Graph
    from lamina.solver.job import Job

_NICE = 10


class EarlyPacking:
    """Packs layers when a build's events report finished steps; passes all events to `sink`.

    `compression` is that of the outputs. It is None until they are known, or if an output needs the
    files of the results.
    """

    def __init__(self, refs: RefManager, sink: EventSink, cancel: Cancellation) -> None:
        self._refs = refs
        self._sink = sink
        self._cancel = Cancellation(cancel)
        self._lock = threading.Lock()
        self._form: ImageForm | None = None
        self.compression: Compression | None = None
        self._graphs: Sequence[Graph] = ()
        self._job: Job[Ref] | None = None
        self._path: frozenset[Digest] | None = None
        self._workers: WorkerPool | None = None

    def __call__(self, event: Event, /) -> None:
        self._sink(event)
        if (
            self._form is not None
            and isinstance(event, VertexEvent)
            and event.completed is not None
            and not event.cached
            and not event.error
        ):
            self._made(event.digest)

    def begin(self, job: Job[Ref], graphs: Sequence[Graph], outputs: Sequence[Output]) -> None:
        """Start packing the layers of these graphs' results, with the compression of the
        outputs."""
        forms = [
            output.form
            for output in outputs
            if isinstance(output, (ImageOutput, ArchiveOutput, LoadOutput))
        ]
        if not any(isinstance(output, LocalOutput | TarOutput) for output in outputs):
            self.compression = forms[0].compression if forms else Compression()
        if forms:
            self._job, self._graphs = job, graphs
            self._form = forms[0]

    def end(self) -> None:
        """Start no more layers. The current ones are finished."""
        with self._lock:
            self._form = None
            workers, self._workers = self._workers, None
        if workers is not None:
            workers.__exit__(None, None, None)

    def _made(self, digest: Digest) -> None:
        with self._lock:
            if self._form is None or self._job is None:
                return
            if self._path is None:
                self._path = frozenset().union(*map(layer_vertices, self._graphs))
            if digest not in self._path:
                return
            if self._workers is None:
                self._workers = WorkerPool(1, "pack")
            for node in list(self._job.nodes.values()):
                if node.spec.digest == digest:
                    for ref in (node.results or {}).values():
                        self._workers.submit(partial(self._pack, ref, self._form))

    def _pack(self, ref: Ref, form: ImageForm) -> None:
        if self._form is None or self._cancel.cancelled or ref.snapshot is None:
            return
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            self._refs.packer.packed(
                ref, form.compression, self._cancel, force=form.force_compression
            )
        except (LaminaError, OSError):
            return  # the export raises the error again


def layer_vertices(graph: Graph) -> frozenset[Digest]:
    """The vertices whose results become layers of the target, including the target."""
    from lamina.llb.codec import decode_op

    found: set[int] = set()
    todo = [graph.target[0]]
    while todo:
        index = todo.pop()
        if index in found:
            continue
        found.add(index)
        vertex = graph.vertices[index]
        op = decode_op(vertex.data)
        below: set[int] = set()
        if op.exec is not None:
            below = {mount.input for mount in op.exec.mounts if mount.dest == "/"}
        elif op.file is not None:
            below = {action.input for action in op.file.actions}
        elif op.merge is not None:
            below = {entry.input for entry in op.merge.inputs}
        todo += [vertex.inputs[number][0] for number in below if 0 <= number < len(vertex.inputs)]
    return frozenset(graph.vertices[index].digest for index in found)
