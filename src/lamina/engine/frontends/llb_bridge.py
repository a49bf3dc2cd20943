"""The gateway API: serves a build to its frontend (`moby.buildkit.v1.frontend.LLBBridge`).

A frontend runs in a client or in a container. It solves definitions, reads the results, and returns
a result.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from lamina.api import gateway as api
from lamina.api.caps import APICap
from lamina.api.exporter import FindExportersRequest
from lamina.api.failures import to_status
from lamina.api.message import request_of
from lamina.api.sourcemeta import (
    ResolveImageConfigRequest,
    ResolveImageConfigResponse,
    ResolveSourceMetaRequest,
)
from lamina.api.status import error_of
from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.base.events import WarningEvent
from lamina.base.location import Location
from lamina.base.reference import parse_reference
from lamina.engine.build_result import BuildResult
from lamina.engine.caching.build_caches import client_import
from lamina.engine.frontends.capabilities import FRONTEND, LLB
from lamina.engine.frontends.container_service import ContainerService
from lamina.engine.frontends.result_files import read_file, read_folder, stat_file
from lamina.engine.frontends.wire_attestations import read_attestations, wire_attestations
from lamina.engine.frontends.wire_result import read_result, result_metadata
from lamina.engine.frontends.wire_stat import wire_stat
from lamina.engine.steps import step
from lamina.llb.op import Op
from lamina.llb.platform import op_platform
from lamina.sources.image import ResolveMode
from lamina.sources.material import ImageMaterial
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from lamina.api.worker import WorkerRecord
    from lamina.attest.contract import FrontendCall
    from lamina.engine.build_result import Solvable
    from lamina.engine.frontends.contract import FrontendBuild
    from lamina.llb.op import Definition
    from lamina.refs.ref import Ref
    from lamina.refs.tree import Tree
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Handler, ServerCall

    Answer = Callable[[Any, Cancellation], Any]

_OCI_LAYOUT = 1
_DRAIN_SECONDS = 1.0  # seconds that requests have to end


class LlbBridge:
    """Serves one frontend until it has returned.

    Args:
        call: the call of the frontend; without a name, it runs in the client.
        inputs: definitions that the client passed to the frontend.
        workers: the workers, as frontends see them.
    """

    def __init__(
        self,
        build: FrontendBuild,
        call: FrontendCall,
        inputs: Mapping[str, Definition],
        workers: tuple[WorkerRecord, ...],
    ) -> None:
        self._build = build
        self._call = call
        self._inputs = inputs
        self._workers = workers
        self._lock = threading.Condition()
        self._refs: dict[str, Solvable] = {}
        self._failed: dict[str, Ref] = {}  # results of failed steps
        self._outcome: BuildResult | StatusError | None = None
        self._returned = False
        self._answering = 0
        self._closed = False
        self._containers = ContainerService(build, self._found)

    def handlers(self) -> dict[str, Handler]:
        """The methods of the service. Calls of others are UNIMPLEMENTED."""
        cancellable: dict[str, tuple[type, Answer]] = {
            api.SOLVE: (api.SolveRequest, self.solve),
            api.READ_FILE: (api.ReadFileRequest, self.read_file),
            api.READ_DIR: (api.ReadDirRequest, self.read_dir),
            api.STAT_FILE: (api.StatFileRequest, self.stat_file),
            api.EVALUATE: (api.EvaluateRequest, self.evaluate),
        }
        served: dict[str, tuple[type, Callable[[Any], Any]]] = {
            api.PING: (api.PingRequest, self.ping),
            api.RESOLVE_IMAGE_CONFIG: (ResolveImageConfigRequest, self.resolve_image_config),
            api.RESOLVE_SOURCE_META: (ResolveSourceMetaRequest, self.resolve_source_meta),
            api.INPUTS: (api.InputsRequest, self.inputs),
            api.WARN: (api.WarnRequest, self.warn),
        }
        answers: dict[str, tuple[type, Answer]] = {
            **{method: (kind, _without_cancel(made)) for method, (kind, made) in served.items()},
            **cancellable,
            **self._containers.served(),
        }
        return {
            api.EXEC_PROCESS: self._exec_process,
            api.RETURN: self._return,
            **{m: partial(self._serve, kind, answer) for m, (kind, answer) in answers.items()},
        }

    def _exec_process(self, call: ServerCall) -> None:
        with self._answered():
            self._containers.exec_process(call)

    def _return(self, call: ServerCall) -> None:
        # `close` does not wait for this call: the build may be over before the response is sent.
        self._respond(api.ReturnRequest, _without_cancel(self.returned), self._open(), call)

    def _serve(self, request: type, answer: Answer, call: ServerCall) -> None:
        self._respond(request, answer, self._answered(), call)

    def _respond(
        self,
        request: type,
        answer: Answer,
        admitted: AbstractContextManager[None],
        call: ServerCall,
    ) -> None:
        asked: Any = request_of(call, request, api.SCHEMA)
        try:
            with admitted, self._build.as_requester():
                answered = answer(asked, call.cancel)
        except LaminaError as error:
            raise to_status(error, self._identify) from error
        call.send(encode(answered, api.SCHEMA))

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            self._check_open()
        yield

    def _check_open(self) -> None:
        if self._closed:
            raise NotFound("the build is over")

    @contextmanager
    def _answered(self) -> Iterator[None]:
        with self._lock:
            self._check_open()
            self._answering += 1
        try:
            yield
        finally:
            with self._lock:
                self._answering -= 1
                self._lock.notify_all()

    def close(self) -> None:
        """End the service: the build needs nothing more from the frontend.

        Open calls fail, and when this returns, no work is done for them. Exception: a call that
        waits for an answer of a client ends with the client's session.
        """
        with self._lock:
            self._closed = True
        self.release_containers()
        with self._lock:
            answering = self._answering > 0
        if answering:
            self._build.end()
        with self._lock:
            self._lock.wait_for(lambda: not self._answering, _DRAIN_SECONDS)

    def release_containers(self) -> None:
        """Release the frontend's containers. It can create no more of them."""
        self._containers.close(_DRAIN_SECONDS)

    def wait(self, cancel: Cancellation) -> BuildResult:
        """The frontend's result. Raises StatusError (the frontend's error), Cancelled."""
        with self._lock, cancel.calling(self._wake):
            while self._outcome is None and not cancel.cancelled:
                self._lock.wait()
            outcome = self._outcome
        cancel.check()
        assert outcome is not None
        if isinstance(outcome, StatusError):
            raise outcome
        return outcome

    @property
    def failed(self) -> bool:
        """Whether the frontend has returned an error."""
        with self._lock:
            return self._returned and isinstance(self._outcome, StatusError)

    def end(self, error: StatusError) -> None:
        """Report that the frontend is gone. Without a result, that is an error."""
        self._settle(error)

    def exporter_request(self, result: BuildResult) -> FindExportersRequest:
        """The description of the result for clients that choose outputs by it. Its refs are
        readable."""
        refs = tuple(self._register(part.files).id for part in result.parts)
        return FindExportersRequest(
            tuple(sorted(result_metadata(result).items())), tuple(filter(None, refs))
        )

    def ping(self, _: api.PingRequest) -> api.PongResponse:
        return api.PongResponse(
            tuple(APICap(name, enabled=True) for name in FRONTEND),
            tuple(APICap(name, enabled=True) for name in LLB),
            self._workers,
        )

    def solve(self, request: api.SolveRequest, cancel: Cancellation) -> api.SolveResponse:
        build = self._build
        build.import_caches(
            [client_import({"type": e.type, **dict(e.attrs)}) for e in request.cache_imports]
        )
        if request.frontend:
            if request.definition is not None and request.definition.ops:
                raise InvalidInput("cannot solve with both a definition and a frontend")
            inputs = dict(request.frontend_inputs)
            attrs = dict(request.frontend_opt)
            result = build.run_frontend(request.frontend, attrs, inputs, self._call)
        elif request.definition is not None and request.definition.ops:
            files = build.solvable(request.definition, request.source_policies)
            result = read_result(files, None, {})
            result = result._replace(metadata={})
            if self._call.frontend:
                build.note_origin(request.definition, self._call)
        else:
            result = BuildResult(())
        if request.evaluate:
            for part in result.parts:
                part.files.ref(cancel)
        return self._answer(request, result)

    def resolve_image_config(
        self, request: ResolveImageConfigRequest
    ) -> ResolveImageConfigResponse:
        build = self._build
        platform = op_platform(request.platform, build.platform)
        name = request.log_name or f"resolve image config for {request.ref}"
        reference = parse_reference(request.ref)
        ref = request.ref
        if request.resolver_type == _OCI_LAYOUT:
            attrs = {"oci.session": request.session_id, "oci.store": request.store_id}
            source = build.sources.layout(request.ref, attrs, platform, build.session)
            with step(name, build.events):
                found = source.resolve(build.cancel)
        else:
            allowed = build.image_by_policy(reference, platform, request.source_policies)
            if allowed is None:
                raise InvalidInput(f"a source policy converts {reference} to another kind")
            if allowed != reference:
                reference, ref = allowed, str(allowed)
            resolver = build.resolver(ResolveMode.parse(request.resolve_mode))
            with step(name, build.events):
                found = resolver.resolve(reference, platform, build.cancel)
        local = request.resolver_type == _OCI_LAYOUT
        build.note(ImageMaterial(ref, platform, found.digest, local))
        return ResolveImageConfigResponse(str(found.digest), found.config, ref)

    def resolve_source_meta(self, request: ResolveSourceMetaRequest) -> Any:
        from lamina.engine.frontends.source_meta import resolve_source_meta

        evaluator = self._build.policy_evaluator(request.source_policies)
        if evaluator is not None and request.source is not None:
            op = evaluator.evaluate(Op(source=request.source, platform=request.platform))
            request = request._replace(source=op.source)
        return resolve_source_meta(self._build, request)

    def read_file(self, request: api.ReadFileRequest, cancel: Cancellation) -> api.ReadFileResponse:
        offset, length = request.range or (0, 0)
        data = read_file(self._tree(request.ref, cancel), request.file_path, offset, length)
        return api.ReadFileResponse(data)

    def read_dir(self, request: api.ReadDirRequest, cancel: Cancellation) -> api.ReadDirResponse:
        found = read_folder(
            self._tree(request.ref, cancel), request.dir_path, request.include_pattern
        )
        return api.ReadDirResponse(tuple(map(wire_stat, found)))

    def stat_file(self, request: api.StatFileRequest, cancel: Cancellation) -> api.StatFileResponse:
        return api.StatFileResponse(
            wire_stat(stat_file(self._tree(request.ref, cancel), request.path))
        )

    def evaluate(self, request: api.EvaluateRequest, cancel: Cancellation) -> api.EvaluateResponse:
        self._solvable(request.ref).ref(cancel)
        return api.EvaluateResponse()

    def inputs(self, _: api.InputsRequest) -> api.InputsResponse:
        return api.InputsResponse(tuple(sorted(self._inputs.items())))

    def warn(self, request: api.WarnRequest) -> api.WarnResponse:
        location = None
        if request.info is not None:
            lines = [(r.start.line, r.end.line) for r in request.ranges if r.start and r.end]
            first, last = (lines[0][0], lines[-1][1]) if lines else (0, 0)
            text = request.info.data.decode("utf-8", "surrogateescape")
            location = Location(
                request.info.filename, first, last, text, language=request.info.language
            )
        self._build.events(
            WarningEvent(
                parse_digest(request.digest),
                request.short.decode("utf-8", "replace"),
                tuple(line.decode("utf-8", "replace") for line in request.detail),
                request.url,
                location,
                request.level,
            )
        )
        return api.WarnResponse()

    def returned(self, request: api.ReturnRequest) -> api.ReturnResponse:
        if request.error is not None:
            outcome: BuildResult | StatusError = error_of(request.error)
        else:
            outcome = self._read(request.result or api.Result())
        with self._lock:
            if self._returned:
                raise InvalidInput("the frontend has returned already")
            self._returned = True
        self._settle(outcome)
        return api.ReturnResponse()

    def _settle(self, outcome: BuildResult | StatusError) -> None:
        with self._lock:
            if self._outcome is None:
                self._outcome = outcome
            self._lock.notify_all()

    def _wake(self) -> None:
        with self._lock:
            self._lock.notify_all()

    def _answer(self, request: api.SolveRequest, result: BuildResult) -> api.SolveResponse:
        metadata = tuple(sorted(result_metadata(result).items()))
        if not request.frontend:
            metadata = ()
        attestations = (
            wire_attestations(result, self._register) if request.allow_result_return else ()
        )
        if result.several:
            if not request.allow_result_return:
                raise InvalidInput("solve did not return default result")
            refs = tuple((part.key, self._register(part.files)) for part in result.parts)
            if request.allow_result_array_ref:
                wire = api.Result(
                    refs=api.RefMap(refs), metadata=metadata, attestations=attestations
                )
            else:
                ids = api.RefMapDeprecated(tuple((key, ref.id) for key, ref in refs))
                wire = api.Result(refs_deprecated=ids, metadata=metadata)
            return api.SolveResponse(result=wire)
        files = result.parts[0].files if result.parts else None
        ref = api.Ref() if files is None else self._register(files)
        if request.final:
            self._settle(result)
        if not request.allow_result_return:
            return api.SolveResponse(ref.id, api.Result(ref_deprecated=ref.id, metadata=metadata))
        if request.allow_result_array_ref:
            wire = api.Result(ref=ref, metadata=metadata, attestations=attestations)
            return api.SolveResponse(result=wire)
        return api.SolveResponse(result=api.Result(ref_deprecated=ref.id, metadata=metadata))

    def _register(self, files: Solvable) -> api.Ref:
        if files.empty:
            return api.Ref()
        ref = os.urandom(16).hex()
        with self._lock:
            self._refs[ref] = files
        return api.Ref(ref, files.definition)

    def _read(self, result: api.Result) -> BuildResult:
        metadata = dict(result.metadata)
        attestations = read_attestations(result, lambda ref: self._solvable(ref, empty=True))
        several: dict[str, str] | None = None
        single: str | None = None
        if result.refs is not None:
            several = {key: ref.id for key, ref in result.refs.refs}
        elif result.refs_deprecated is not None:
            several = dict(result.refs_deprecated.refs)
        elif result.ref is not None:
            single = result.ref.id
        else:
            single = result.ref_deprecated
        if several is not None:
            found = {key: self._solvable(ref, empty=True) for key, ref in several.items()}
            return read_result(None, found, metadata, attestations)
        found_one = None if single is None else self._solvable(single, empty=True)
        return read_result(found_one, None, metadata, attestations)

    def _solvable(self, ref: str, *, empty: bool = False) -> Solvable:
        """The result with a ref's ID. "" is an empty file system, where one is allowed."""
        if not ref and empty:
            return self._build.solvable(None)
        with self._lock:
            found = self._refs.get(ref)
        if found is None:
            raise NotFound(f"no such ref: {ref}")
        return found

    def _found(self, ref: str, cancel: Cancellation) -> Ref:
        """The result with an ID. Raises NotFound, and the error that stopped it."""
        with self._lock:
            result = self._failed.get(ref)
            found = self._refs.get(ref)
        if result is not None:
            return result
        if found is None:
            raise NotFound(f"return reference {ref} not found")
        return found.ref(cancel)

    def _identify(self, result: object) -> str:
        """Make the result of a failed step usable for containers. Returns its id."""
        from lamina.refs.ref import Ref

        if not isinstance(result, Ref):
            return ""
        ref = os.urandom(16).hex()
        with self._lock:
            self._failed[ref] = result
        return ref

    def _tree(self, ref: str, cancel: Cancellation) -> Tree:
        found = self._solvable(ref).ref(cancel)
        return self._build.refs.tree(found, self._build.cancel)


def _without_cancel(answer: Callable[[Any], Any]) -> Answer:
    return lambda request, _: answer(request)


def gone(reason: str) -> StatusError:
    """The error of a frontend that ends without a result."""
    return StatusError(Code.UNKNOWN, reason)
