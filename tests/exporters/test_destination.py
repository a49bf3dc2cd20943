from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError, Unsupported
from lamina.exporters.destination import (
    ArchiveOutput,
    CacheOnlyOutput,
    ImageForm,
    ImageOutput,
    LoadOutput,
    LocalOutput,
    Output,
    TarOutput,
    parse_output,
)
from lamina.layers.compression import Algorithm, Compression


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out", LocalOutput("out")),
        ("-", TarOutput("-")),
        ('"a,b"', LocalOutput("a,b")),
        ("type=local,dest=out", LocalOutput("out")),
        ('type=local,"dest=a,b"', LocalOutput("a,b")),
        ("type=local,dest=out,mode=delete", LocalOutput("out", delete=True)),
        ("type=local,dest=out,source-date-epoch=5", LocalOutput("out", 5)),
        ("type=tar", TarOutput("-")),
        ("TYPE=tar,Dest=X.tar", TarOutput("X.tar")),
        ("type=oci", ArchiveOutput("oci", "-", ImageForm())),
        ("type=docker", LoadOutput(ImageForm())),
        ("type=docker,context=c", LoadOutput(ImageForm(), "c")),
        ("type=docker,dest=x.tar", ArchiveOutput("docker", "x.tar", ImageForm())),
        ("type=oci,dest=out,tar=false", ArchiveOutput("oci", "out", ImageForm(), False)),
        ("type=cacheonly", CacheOnlyOutput()),
        ("type=image", ImageOutput(ImageForm())),
        (
            "type=image,name=app,push=true,registry.insecure=1",
            ImageOutput(ImageForm(("docker.io/library/app:latest",)), True, True),
        ),
        (
            "type=image,name=host:1/a,push=true,push-by-digest=true,name-canonical=true,store=0",
            ImageOutput(ImageForm(("host:1/a",)), True, False, True, True, False),
        ),
        (
            'type=registry,"name=a:1,ghcr.io/b"',
            ImageOutput(ImageForm(("docker.io/library/a:1", "ghcr.io/b:latest")), True),
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
                    (("k", "v=w"),),
                    (("D", "e"),),
                    True,
                )
            ),
        ),
        ("type=image,oci-mediatypes=false", ImageOutput(ImageForm(docker_types=True))),
        (
            "type=image,compression=uncompressed",
            ImageOutput(ImageForm(compression=Compression(Algorithm.NONE))),
        ),
    ],
)
def test_good(text: str, expected: Output) -> None:
    assert parse_output(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("dest=out", "needs a type"),
        ("type=nope", 'unknown type "nope"'),
        ("type=local", "needs dest"),
        ("type=local,out", "not key=value"),
        ("type=local,output=x", "means nothing"),
        ("type=local,dest=x,mode=move", "copy or delete"),
        ("type=local,dest=x,compression=gzip", "knows no compression"),
        ("type=oci,tar=false", "needs dest"),
        ("type=oci,tar=false,dest=-", "needs a folder"),
        ("type=oci,tar=maybe", "true or false"),
        ("type=image,dest=x", "writes no file"),
        ("type=image,push=true", "needs a name"),
        ("type=image,name=a:1,push-by-digest=true", "by digest"),
        ("type=image,name=UPPER/x!", "invalid reference"),
        ("type=image,compression=lzma", "unknown compression"),
        ("type=image,compression=gzip,compression-level=10", "takes 0 to 9"),
        ("type=image,compression=zstd,oci-mediatypes=false", "conflicts"),
        ("type=image,annotation.a=b,oci-mediatypes=false", "conflict"),
        ("type=image,annotation-x.a=b", "annotation type"),
        ("type=image,annotation=b", "knows no annotation"),
        ("type=image,source-date-epoch=now", "seconds"),
        ('type=image,"name=a', "malformed"),
    ],
)
def test_bad(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_output(text)
    assert words in caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        "type=image,compression=estargz",
        "type=image,annotation-index.a=b",
        "type=image,annotation[linux/arm64].a=b",
    ],
)
def test_unsupported(text: str) -> None:
    with pytest.raises(Unsupported):
        parse_output(text)


@given(st.text())
def test_anything_is_read_or_refused(text: str) -> None:
    for prefix in ("", "type=image,", "type=local,dest="):
        with contextlib.suppress(LaminaError):
            parse_output(prefix + text)
