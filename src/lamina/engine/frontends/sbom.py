"""Makes SBOM attestations, with the scanner of lamina or a generator image.

The image follows BuildKit's scanner protocol (BuildKit's `docs/attestations/sbom-protocol.md`): it
reads the file systems at `BUILDKIT_SCAN_SOURCE` and below `BUILDKIT_SCAN_SOURCE_EXTRAS`, and writes
in-toto statements to `BUILDKIT_SCAN_DESTINATION`.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, NoReturn, Protocol

from lamina.attest.contract import CORE, Attestation, AttestationKind
from lamina.attest.options import SbomFormat
from lamina.base.errors import InvalidInput
from lamina.base.reference import parse_reference
from lamina.dockerfile.graph import Inputs
from lamina.dockerfile.image_config import ImageConfig
from lamina.engine.build_result import Solvable
from lamina.engine.steps import step
from lamina.exporters.attestation import Statement
from lamina.llb.op import (
    DESCRIPTION_NAME,
    NO_INPUT,
    NO_OUTPUT,
    ExecMeta,
    ExecOp,
    Mount,
    MountType,
    Op,
    OpMetadata,
    SourceOp,
    TmpfsOpt,
)
from lamina.llb.platform import llb_platform
from lamina.llb.state import Vertex, marshal, unmarshal
from lamina.refs.ref import Ref
from lamina.sbom import cyclonedx, spdx
from lamina.sbom.subject import Subject
from lamina.sources.image import ResolveMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamina.attest.contract import DescribedImage
    from lamina.attest.options import SbomOptions
    from lamina.engine.frontends.contract import FrontendBuild
    from lamina.llb.state import Edge
    from lamina.sbom.package import Scan
    from lamina.system.cancel import Cancellation

_NAME = "sbom"
_SOURCE, _DESTINATION = "/run/src", "/run/out/"
_FORMATS = {
    SbomFormat.SPDX: (spdx.PREDICATE, spdx.spdx_document, "spdx.json"),
    SbomFormat.CYCLONEDX: (cyclonedx.PREDICATE, cyclonedx.cyclonedx_document, "cdx.json"),
}


class SbomScanner(Protocol):
    """Makes the attestations of file systems."""

    def attestation(
        self, name: str, core: Solvable, extras: Mapping[str, Solvable], epoch: int | None, /
    ) -> Attestation:
        """The attestation of a result. Nothing is scanned yet.

        Args:
            name: what the result is called in progress.
            extras: further file systems to scan, by name: the context, other stages.
            epoch: the time of the documents in seconds since 1970, None for now.
        """
        ...


def has_sbom(attestations: Iterable[Attestation]) -> bool:
    known = [predicate for predicate, _, _ in _FORMATS.values()]
    return any(one.predicate_type in known for one in attestations)


def make_scanner(
    build: FrontendBuild, options: SbomOptions, resolve: str = "", *, ignore_cache: bool = False
) -> SbomScanner:
    """The scanner that the options choose.

    Args:
        resolve: where the generator is looked up (`image-resolve-mode`), "" for the build's
            default.
        ignore_cache: whether a generator runs even if its result is in the cache.

    Raises NotFound, Unavailable, InvalidInput (the image is no generator).
    """
    if not options.generator:
        return BuiltInScanner(build, options.format)
    mode = ResolveMode(resolve) if resolve else build.resolve_mode
    return GeneratorImage(build, options, mode, ignore_cache=ignore_cache)


class BuiltInScanner:
    """Implements `SbomScanner` with `lamina.sbom`."""

    def __init__(self, build: FrontendBuild, chosen: SbomFormat) -> None:
        self._build = build
        self._format = chosen

    def attestation(
        self, name: str, core: Solvable, extras: Mapping[str, Solvable], epoch: int | None
    ) -> Attestation:
        files = ScannedFiles(self._build, name, {"": core, **extras}, self._format, epoch)
        return _bundle(files, _FORMATS[self._format][0])


class ScannedFiles(Solvable):
    """The documents about file systems, made when they are needed.

    Args:
        sources: the file systems by name; the main one has the name "".
    """

    def __init__(
        self,
        build: FrontendBuild,
        name: str,
        sources: Mapping[str, Solvable],
        chosen: SbomFormat,
        epoch: int | None,
    ) -> None:
        super().__init__(None, None, _unsolvable)
        self._build = build
        self._name = name
        self._sources = sources
        self._format = chosen
        self._created = time.time() if epoch is None else epoch
        self._scans: dict[str, Scan] = {}

    @property
    def empty(self) -> bool:
        return False

    def statements(self, image: DescribedImage | None) -> Sequence[Statement]:
        predicate, write, suffix = _FORMATS[self._format]
        found = []
        for name in self._sources:
            if name or image is None:
                subject = Subject(name or self._name, self._created, container=not name)
            else:
                known = image.name or self._name
                subject = Subject(known, self._created, image.digest, tuple(image.layers))
            document = json.dumps(write(self._scan(name), subject), ensure_ascii=False).encode(
                "utf-8", "replace"
            )
            stem = f"{_NAME}-{name}" if name else _NAME
            found.append(Statement(predicate, f"{stem}.{suffix}", document))
        return found

    def _make(self, cancel: Cancellation | None) -> Ref:
        """A snapshot with the statements, for clients that read them."""
        refs = self._build.refs
        statements = self.statements(None)
        with refs.writable(Ref(), cancel or self._build.cancel) as (root, staged):
            for one in statements:
                with open(os.path.join(root, one.path), "w", encoding="utf-8") as file:
                    json.dump(one.to_json(()), file, ensure_ascii=False)
        return refs.commit(staged, Ref(), "sbom")

    def _scan(self, name: str) -> Scan:
        if name not in self._scans:
            from lamina.sbom.scanner import scan

            build = self._build
            files = self._sources[name]
            title = f"{self._name} {name}".strip()
            with step(f"[{title}] generating sbom", build.events):
                tree = build.tree(files)
                layers = build.refs.differences(files.ref(), build.cancel)
                self._scans[name] = scan(tree, layers, build.cancel)
        return self._scans[name]


class GeneratorImage:
    """Implements `SbomScanner` with an image that follows the scanner protocol."""

    def __init__(
        self,
        build: FrontendBuild,
        options: SbomOptions,
        mode: ResolveMode,
        *,
        ignore_cache: bool,
    ) -> None:
        self._build = build
        self._options = options
        self._ignore_cache = ignore_cache
        reference = parse_reference(options.generator)
        allowed = build.image_by_policy(reference, build.platform)
        if allowed is None:
            raise InvalidInput(f"a source policy converts {reference} to another kind")
        title = f"resolve image config for docker-image://{allowed}"
        with step(title, build.events):
            found = build.resolver(mode).resolve(allowed, build.platform, build.cancel)
        self._image = allowed._replace(digest=found.digest)
        settings = ImageConfig.parse(found.config).settings
        args = (*(settings.get("Entrypoint") or ()), *(settings.get("Cmd") or ()))
        if not args:
            raise InvalidInput(
                f"scanner {self._image} does not have cmd",
                hint="an SBOM generator is an image with an entrypoint or a command",
            )
        self._meta = ExecMeta(
            tuple(map(str, args)),
            tuple(map(str, settings.get("Env") or ())),
            str(settings.get("WorkingDir") or "/"),
        )

    def attestation(
        self, name: str, core: Solvable, extras: Mapping[str, Solvable], _: int | None
    ) -> Attestation:
        scanned = [(f"{_SOURCE}/core/{_NAME}", core)]
        scanned += [(f"{_SOURCE}/extras/{_NAME}-{key}", extras[key]) for key in sorted(extras)]
        env = [
            *self._meta.env,
            f"BUILDKIT_SCAN_DESTINATION={_DESTINATION}",
            f"BUILDKIT_SCAN_SOURCE={scanned[0][0]}",
        ]
        if extras:
            env.append(f"BUILDKIT_SCAN_SOURCE_EXTRAS={_SOURCE}/extras")
        env += [f"BUILDKIT_SCAN_{key}={value}" for key, value in self._options.parameters]
        title = f"[{name}] generating sbom using {self._image}"
        files = self._build.solvable(marshal(self._run(scanned, env, title)))
        return _bundle(files, spdx.PREDICATE)

    def _run(self, scanned: list[tuple[str, Solvable]], env: list[str], title: str) -> Edge:
        platform = llb_platform(self._build.platform)
        source = f"docker-image://{self._image}"
        image = Vertex(
            Op(source=SourceOp(source), platform=platform),
            metadata=OpMetadata(description=((DESCRIPTION_NAME, source),)),
        )
        edges = [
            None if files.definition is None else unmarshal(files.definition)
            for _, files in scanned
        ]
        inputs = Inputs([image.output(), *edges])
        mounts = [
            Mount(0, "", "/", NO_OUTPUT),
            Mount(NO_INPUT, "", "/tmp", NO_OUTPUT, False, MountType.TMPFS, TmpfsOpt()),
            *(
                Mount(inputs.index(number), "", path, NO_OUTPUT, readonly=True)
                for number, (path, _) in enumerate(scanned, 1)
            ),
            Mount(NO_INPUT, "", _DESTINATION, 0),
        ]
        meta = self._meta._replace(env=tuple(env))
        run = Vertex(
            Op(exec=ExecOp(meta, tuple(mounts)), platform=platform),
            tuple(inputs.edges),
            OpMetadata(self._ignore_cache, ((DESCRIPTION_NAME, title),)),
        )
        return run.output()


def _bundle(files: Solvable, predicate: str) -> Attestation:
    metadata = {"reason": _NAME.encode(), CORE: _NAME.encode()}
    return Attestation("", predicate, AttestationKind.BUNDLE, files=files, metadata=metadata)


def _unsolvable(*_: object) -> NoReturn:
    raise AssertionError("scanned files have no graph")
