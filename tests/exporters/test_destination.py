from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError, NotFound, Unsupported
from lamina.base.platform import Platform
from lamina.exporters.annotations import Annotation, Level
from lamina.exporters.attributes import parse_output, wire_output
from lamina.exporters.destination import (
    ArchiveOutput,
    CacheOnlyOutput,
    ImageForm,
    ImageOutput,
    LoadOutput,
    LocalOutput,
    Output,
    SaidEpoch,
    TarOutput,
)
from lamina.layers.compression import Algorithm, Compression


def image_form(*names: str) -> ImageForm:
    return ImageForm(names, inline_attestations=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out", LocalOutput("out")),
        ("-", TarOutput("-")),
        ('"a,b"', LocalOutput("a,b")),
        ("type=local,dest=out", LocalOutput("out")),
        ('type=local,"dest=a,b"', LocalOutput("a,b")),
        ("type=local,dest=out,mode=delete", LocalOutput("out", delete=True)),
        ("type=local,dest=out,source-date-epoch=5", LocalOutput("out", SaidEpoch(5))),
        ("type=local,dest=out,source-date-epoch=", LocalOutput("out", SaidEpoch(None))),
        ("type=tar", TarOutput("-")),
        ("TYPE=tar,Dest=X.tar", TarOutput("X.tar")),
        ("type=oci", ArchiveOutput("oci", "-", ImageForm())),
        ("type=docker", LoadOutput(ImageForm())),
        ("type=docker,context=c", LoadOutput(ImageForm(), "c")),
        ("type=docker,dest=x.tar", ArchiveOutput("docker", "x.tar", ImageForm())),
        ("type=oci,dest=out,tar=false", ArchiveOutput("oci", "out", ImageForm(), False)),
        ("type=cacheonly", CacheOnlyOutput()),
        ("type=image", ImageOutput(image_form())),
        (
            "type=image,name=app,push=true,registry.insecure=1",
            ImageOutput(image_form("docker.io/library/app:latest"), True, True),
        ),
        (
            "type=image,name=host:1/a,push=true,push-by-digest=true,name-canonical=true,store=0",
            ImageOutput(image_form("host:1/a"), True, False, True, True, False),
        ),
        (
            'type=registry,"name=a:1,ghcr.io/b"',
            ImageOutput(image_form("docker.io/library/a:1", "ghcr.io/b:latest"), True),
        ),
        (
            "type=image,compression=zstd,compression-level=9,force-compression=true,"
            "annotation.k=v=w,annotation-manifest-descriptor.D=e,rewrite-timestamp=true",
            ImageOutput(
                ImageForm(
                    (),
                    Compression(Algorithm.ZSTD, 9),
                    True,
                    False,
                    (
                        Annotation(Level.MANIFEST_DESCRIPTOR, "D", "e"),
                        Annotation(Level.MANIFEST, "k", "v=w"),
                    ),
                    True,
                    inline_attestations=True,
                )
            ),
        ),
        ("type=image,oci-mediatypes=false", ImageOutput(image_form()._replace(docker_types=True))),
        (
            "type=image,compression=uncompressed",
            ImageOutput(image_form()._replace(compression=Compression(Algorithm.NONE))),
        ),
    ],
)
def test_good(text: str, expected: Output) -> None:
    found = parse_output(text)
    if isinstance(found, ImageOutput):
        found = found._replace(form=found.form._replace(said=()))
    assert found == expected


def test_names_are_kept_as_written() -> None:
    output = parse_output('type=image,"name=a:1, ghcr.io/b"')
    assert isinstance(output, ImageOutput)
    assert output.form.names == ("docker.io/library/a:1", "ghcr.io/b:latest")
    assert output.form.said == ("a:1", "ghcr.io/b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("dest=out", "needs a type"),
        ("type=nope", 'unknown type "nope"'),
        ("type=local", "needs dest"),
        ("type=local,out", "not key=value"),
        ("type=local,output=x", "is not an attribute"),
        ("type=local,dest=x,mode=move", "copy or delete"),
        ("type=local,dest=x,compression=gzip", "does not support compression"),
        ("type=oci,tar=false", "needs dest"),
        ("type=oci,tar=false,dest=-", "needs a directory"),
        ("type=oci,tar=maybe", "true or false"),
        ("type=image,dest=x", "does not support dest"),
        ("type=image,push=true", "requires an image name"),
        ("type=image,name=a:1,push-by-digest=true", "by digest"),
        ("type=image,name=UPPER/x!", "invalid reference"),
        ("type=image,compression=lzma", "unknown compression"),
        ("type=image,compression=gzip,compression-level=10", "takes 0 to 9"),
        ("type=image,annotation.a=b,oci-mediatypes=false", "conflict"),
        ("type=image,annotation-x.a=b", "annotation type"),
        ("type=image,annotation=b", "does not support annotation"),
        ("type=image,source-date-epoch=now", "seconds"),
        ('type=image,"name=a', "malformed"),
    ],
)
def test_bad(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_output(text)
    assert words in caught.value.reason


def test_estargz() -> None:
    with pytest.raises(Unsupported):
        parse_output("type=image,compression=estargz")


def test_annotations_of_every_level() -> None:
    output = parse_output(
        "type=image,annotation-index.a=1,annotation[linux/arm64].b=2,oci-artifact=false,"
        "annotation-index-descriptor.c=3,annotation-manifest-descriptor[linux/arm/v7].d=4,"
        "dangling-name-prefix=x,danging-name-empty-only=true"
    )
    assert isinstance(output, ImageOutput)
    assert output.form.annotations == (
        Annotation(Level.INDEX_DESCRIPTOR, "c", "3"),
        Annotation(Level.INDEX, "a", "1"),
        Annotation(Level.MANIFEST_DESCRIPTOR, "d", "4", Platform("linux", "arm", "v7")),
        Annotation(Level.MANIFEST, "b", "2", Platform("linux", "arm64")),
    )
    assert output.form.artifact is False
    assert (output.dangling, output.dangling_alone) == ("x", True)


def test_from_the_wire() -> None:
    attributes = {"name": "*", "push": "", "containerimage.config": "{}", "nobody.knows": "x"}
    output = wire_output("image", attributes)
    assert isinstance(output, ImageOutput)
    assert output.push
    assert output.form.names == ("*",)
    assert output.form.metadata == {"containerimage.config": b"{}", "nobody.knows": b"x"}
    assert wire_output("docker", {}, "0") == ArchiveOutput("docker", "0", ImageForm())
    assert wire_output("oci", {"tar": "false"}, "3") == ArchiveOutput(
        "oci", "3", ImageForm(), False
    )
    assert wire_output("local", {"attestation-prefix": "a-", "what": "ever"}, "1") == LocalOutput(
        "1", attestation_prefix="a-"
    )
    assert wire_output("tar", {}, "2") == TarOutput("2")
    with pytest.raises(NotFound, match="could not be found"):
        wire_output("registry", {})


@given(st.text())
def test_anything_is_read_or_refused(text: str) -> None:
    for prefix in ("", "type=image,", "type=local,dest="):
        with contextlib.suppress(LaminaError):
            parse_output(prefix + text)
