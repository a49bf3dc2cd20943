"""Stages, metadata instructions, arguments: the conversions, decoded from their bytes."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.base.platform import Platform, parse_platform
from lamina.dockerfile.contract import NamedContext
from tests.dockerfile.memory_bridge import AMD64, BASE_ENV, image_config, run_conversion

if TYPE_CHECKING:
    from tests.dockerfile.memory_bridge import Convert

ARM64 = parse_platform("linux/arm64")


def test_a_small_file(convert: Convert) -> None:
    made = convert("FROM base\nENV A=1\nWORKDIR /app\nCOPY x .\nRUN make $A\nCMD run\n")
    assert [name.split("@")[0] for name in made.names] == [
        "[1/4] FROM docker.io/library/base:latest",
        "[2/4] WORKDIR /app",
        "[internal] load build context",
        "[3/4] COPY x .",
        "[4/4] RUN make 1",
    ]
    assert made.settings == {
        "Env": [BASE_ENV, "A=1"],
        "Cmd": ["/bin/sh", "-c", "run"],
        "WorkingDir": "/app",
        "ArgsEscaped": True,
    }
    assert made.history == [
        "base",
        "ENV A=1",
        "WORKDIR /app",
        "COPY x . # buildkit",
        "RUN /bin/sh -c make $A # buildkit",
        'CMD ["/bin/sh" "-c" "run"]',
    ]
    empty = [entry.get("empty_layer", False) for entry in made.config["history"]]
    assert empty == [False, True, False, False, False, True]
    assert all(e["comment"] == "buildkit.dockerfile.v0" for e in made.config["history"][1:])


def test_ops_carry_their_place(convert: Convert) -> None:
    made = convert("FROM base\nRUN \\\n  a\n")
    assert made.result.definition is not None
    source = made.result.definition.source
    assert source is not None
    assert source.infos[0].filename == "Dockerfile"
    ranges = [
        (r.start.line, r.end.line)
        for _, locations in source.locations
        for location in locations.locations
        for r in location.ranges
        if r.start and r.end
    ]
    assert sorted(ranges) == [(1, 1), (2, 3)]


def test_equal_files_give_equal_bytes(convert: Convert) -> None:
    text = "FROM base\nCOPY b a /x/\nRUN make\n"
    assert convert(text).result == convert(text).result


def test_platforms_and_constraints(convert: Convert) -> None:
    made = convert("FROM --platform=linux/arm64 base\nWORKDIR /x\nRUN a\n")
    assert made.named("FROM").platform == ("arm64", "linux", "", "", ())
    assert made.named("WORKDIR").platform is None
    assert made.named("RUN").platform == ("arm64", "linux", "", "", ())
    assert all(op.constraints == ((),) for op in made.ops)


def test_only_stages_that_the_target_needs_are_converted(convert: Convert) -> None:
    text = (
        "FROM base AS a\nRUN one\n"
        "FROM base AS unused\nRUN two\n"
        "FROM a AS b\nRUN three\n"
        "FROM scratch\nCOPY --from=b /x /x\n"
    )
    made = convert(text)
    assert [n.split("] ")[1].split("@")[0] for n in made.names] == [
        "FROM docker.io/library/base:latest",
        "RUN one",
        "RUN three",
        "COPY --from=b /x /x",
    ]
    assert made.names[1].startswith("[a 2/2]")
    assert made.names[2].startswith("[b 1/1]")
    assert made.names[3].startswith("[stage-3 1/1]")
    assert len(convert(text, target="A").ops) == 2
    with pytest.raises(NotFound, match='"1" could not be found'):
        convert(text, target="1")


def test_an_image_is_resolved_once(convert: Convert) -> None:
    made = convert("FROM base AS a\nRUN x\nFROM base\nCOPY --from=a /x /\nCOPY --from=base /y /\n")
    assert [name for name, _ in made.bridge.asked] == ["base"]


def test_scratch(convert: Convert) -> None:
    made = convert("FROM scratch\nENV A=1\n")
    assert made.result.definition is None
    assert made.settings["WorkingDir"] == "/"
    assert made.settings["Env"][0].startswith("PATH=/usr/local/sbin:")
    assert made.config["architecture"] == "amd64"
    assert "rootfs" not in made.config


def test_an_image_without_files_is_scratch(convert: Convert) -> None:
    empty = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    made = convert("FROM empty\nCMD x\n", {"empty": empty})
    assert made.result.definition is None


def test_args(convert: Convert) -> None:
    text = (
        "ARG TAG=base\nARG OTHER=o-$TAG\nARG UNSET\n"
        "FROM $TAG\n"
        "ARG OTHER\nARG NEW=n-$OTHER\nARG UNSET\nARG TARGETARCH\nARG GIVEN=default\n"
        "RUN x\n"
        "ENV NEW=env\nRUN y\n"
    )
    made = convert(text, build_args=(("GIVEN", "given"), ("NOT_DECLARED", "1")))
    first, second = (run.meta for run in made.execs)
    assert first is not None
    assert second is not None
    assert first.env == (
        BASE_ENV,
        "OTHER=o-base",
        "NEW=n-o-base",
        "TARGETARCH=amd64",
        "GIVEN=given",
    )
    assert second.env[-1] == "NEW=env"
    assert made.settings["Env"] == [BASE_ENV, "NEW=env"]
    words = "OTHER=o-base NEW=n-o-base UNSET= TARGETARCH=amd64 GIVEN=given"
    assert f"RUN |5 {words} /bin/sh -c x # buildkit" in made.history
    assert "ARG UNSET" in made.history
    assert "ARG GIVEN=given" in made.history


def test_an_arg_invalidates_only_later_steps(convert: Convert) -> None:
    text = "FROM base\nRUN a\nARG V\nRUN b\n"
    one, two = (convert(text, build_args=(("V", value),)) for value in "12")
    assert one.ops[1] == two.ops[1]
    assert one.ops[2] != two.ops[2]


def test_args_pass_to_stages_on_top(convert: Convert) -> None:
    made = convert("FROM base AS a\nARG X=1\nFROM a\nRUN echo $X\n")
    assert "RUN echo 1" in made.names[-1]


def test_platform_args(convert: Convert) -> None:
    made = convert(
        "FROM --platform=$BUILDPLATFORM base AS b\nARG TARGETPLATFORM\nARG TARGETSTAGE\nRUN x\n",
        platform=ARM64,
        target="b",
    )
    assert made.bridge.asked == [("base", AMD64)]
    assert made.execs[0].meta is not None
    assert made.execs[0].meta.env[1:] == ("TARGETPLATFORM=linux/arm64", "TARGETSTAGE=b")


def test_proxies_stay_out_of_the_environment(convert: Convert) -> None:
    made = convert("FROM base\nRUN x\n", build_args=(("HTTP_PROXY", "p"), ("no_proxy", "n")))
    meta = made.execs[0].meta
    assert meta is not None
    assert meta.env == (BASE_ENV,)
    assert meta.proxy_env == ("p", "", "", "n", "")
    assert "p" not in "".join(made.history).split("RUN")[1]


def test_metadata(convert: Convert) -> None:
    text = """FROM base
LABEL a=1 "b c"="d e"
ENV NAME=web PORT=80
EXPOSE $PORT 53/UDP 8000-8001
VOLUME /data /$NAME
USER $NAME:staff
STOPSIGNAL SIGINT
SHELL ["/bin/bash", "-c"]
ENTRYPOINT serve
HEALTHCHECK --interval=1m30s --timeout=3s CMD curl x
MAINTAINER Some One
ONBUILD RUN echo $NAME
"""
    made = convert(text, labels=(("a", "2"),))
    assert made.settings == {
        "User": "web:staff",
        "ExposedPorts": {"53/udp": {}, "80/tcp": {}, "8000/tcp": {}, "8001/tcp": {}},
        "Env": [BASE_ENV, "NAME=web", "PORT=80"],
        "Entrypoint": ["/bin/bash", "-c", "serve"],
        "Volumes": {"/data": {}, "/web": {}},
        "Labels": {"a": "2", "b c": "d e"},
        "StopSignal": "SIGINT",
        "Healthcheck": {
            "Test": ["CMD-SHELL", "curl x"],
            "Interval": 90 * 10**9,
            "Timeout": 3 * 10**9,
        },
        "OnBuild": ["RUN echo $NAME"],
        "Shell": ["/bin/bash", "-c"],
    }
    assert made.config["author"] == "Some One"
    assert made.history[1:] == [
        "LABEL a=1 b c=d e",
        "ENV NAME=web PORT=80",
        "EXPOSE [80/tcp 53/udp 8000/tcp 8001/tcp]",
        "VOLUME [/data /web]",
        "USER web:staff",
        "STOPSIGNAL SIGINT",
        "SHELL [/bin/bash -c]",
        'ENTRYPOINT ["/bin/bash" "-c" "serve"]',
        "HEALTHCHECK {Test:[CMD-SHELL curl x] Interval:1m30s Timeout:3s StartPeriod:0s "
        "StartInterval:0s Retries:0}",
        "MAINTAINER Some One",
    ]


def test_an_env_line_expands_variables_set_before_it(convert: Convert) -> None:
    made = convert("FROM base\nENV A=1\nENV A=2 B=$A\n")
    assert made.settings["Env"][1:] == ["A=2", "B=1"]


def test_an_entrypoint_drops_an_inherited_command_only(convert: Convert) -> None:
    images = {"base": image_config(Cmd=["old"])}
    assert "Cmd" not in convert("FROM base\nENTRYPOINT x\n", images).settings
    own = convert('FROM base\nCMD ["new"]\nENTRYPOINT x\n', images).settings
    assert own["Cmd"] == ["new"]


def test_workdir(convert: Convert) -> None:
    images = {"base": image_config(WorkingDir="/srv", User="app:staff")}
    made = convert("FROM base\nWORKDIR a/../b\nWORKDIR /\nRUN x\n", images)
    assert made.settings["WorkingDir"] == "/"
    (file,) = made.files
    mkdir = file.actions[0].mkdir
    assert mkdir is not None
    assert (mkdir.path, mkdir.mode, mkdir.make_parents) == ("/srv/b", 0o755, True)
    assert mkdir.owner is not None
    assert mkdir.owner.user is not None
    assert mkdir.owner.user.by_name == ("app", 0)
    assert made.history[1:3] == ["WORKDIR /srv/b", "WORKDIR /"]
    assert made.execs[0].meta is not None
    assert (made.execs[0].meta.cwd, made.execs[0].meta.user) == ("/", "app:staff")


def test_on_build_triggers_of_an_image(convert: Convert) -> None:
    trigger = "COPY <<E /etc/x\ntext\nE"
    images = {"base": image_config(OnBuild=["ENV A=1", trigger, "RUN --network=none make $A"])}
    made = convert("FROM base\nRUN own\n", images)
    assert [name for name in made.names if "internal" not in name and "FROM" not in name] == [
        "[2/4] ONBUILD COPY <<E /etc/x",
        "[3/4] ONBUILD RUN --network=none make 1",
        "[4/4] RUN own",
    ]
    assert "OnBuild" not in made.settings


def test_on_build_triggers_of_a_stage_run_once(convert: Convert) -> None:
    text = (
        "FROM base AS files\nRUN make\n"
        "FROM base AS parent\nONBUILD COPY --from=files /x /x\n"
        "FROM parent AS child\nRUN a\n"
        "FROM child\nRUN b\n"
    )
    made = convert(text)
    assert sum("ONBUILD" in name for name in made.names) == 1
    assert any("RUN make" in name for name in made.names)


def test_an_invalid_trigger_is_located_at_from(convert: Convert) -> None:
    with pytest.raises(InvalidInput, match="ONBUILD trigger") as caught:
        convert("FROM base\n", {"base": image_config(OnBuild=["NOPE x"])})
    assert caught.value.location is not None
    assert caught.value.location.start == 1


def test_named_contexts(convert: Convert) -> None:
    made = convert(
        "FROM golang AS g\nRUN x\nFROM base AS replaced\nRUN never\n"
        "FROM scratch\nCOPY --from=g /a /\nCOPY --from=dir sub/b /\nCOPY --from=replaced /c /\n"
        "COPY --from=lay /d /\n",
        named_contexts=(
            NamedContext("golang", "docker-image", "base"),
            NamedContext("dir", "local", "dir", b"*.tmp\n"),
            NamedContext("replaced", "local", "replaced"),
            NamedContext("lay", "oci-layout", "/layout"),
        ),
    )
    assert made.sources["local://dir"] == {
        "local.excludepatterns": '["*.tmp"]',
        "local.followpaths": '["sub/b"]',
        "local.sharedkeyhint": "context:dir",
    }
    assert made.sources["local://replaced"]["local.followpaths"] == '["c"]'
    assert any(name.startswith("oci-layout://lay@sha256:") for name in made.sources)
    assert any(
        name.startswith("docker-image://docker.io/library/base:latest@") for name in made.sources
    )
    assert not any("never" in name for name in made.names)


def test_no_cache(convert: Convert) -> None:
    text = "FROM base AS a\nRUN x\nFROM a AS b\nCOPY y /\n"

    def ignoring(**fields: object) -> list[str]:
        made = convert(text, **fields)
        assert made.result.definition is not None
        flags = [meta.ignore_cache for _, meta in made.result.definition.metadata]
        return [n.split("] ")[1] for n, f in zip(made.names, flags, strict=False) if f]

    assert ignoring() == []
    assert ignoring(no_cache=True) == ["RUN x", "COPY y /"]
    assert ignoring(no_cache_filter=("B",)) == ["COPY y /"]


def test_source_date_epoch(convert: Convert) -> None:
    made = convert("FROM base\nWORKDIR /x\n", build_args=(("SOURCE_DATE_EPOCH", "86400"),))
    assert made.result.epoch == 86400
    assert made.config["history"][-1]["created"] == "1970-01-02T00:00:00Z"
    assert made.files[0].actions[0].mkdir is not None
    assert made.files[0].actions[0].mkdir.timestamp == 86400 * 10**9
    with pytest.raises(InvalidInput, match="SOURCE_DATE_EPOCH"):
        convert("FROM base\n", build_args=(("SOURCE_DATE_EPOCH", "today"),))


def test_a_base_for_another_platform_is_a_warning(convert: Convert) -> None:
    made = convert("FROM --platform=linux/arm64 base AS arm64\n")
    assert [w.rule for w in made.bridge.warnings] == ["InvalidBaseImagePlatform"]


def test_the_image_has_the_requested_platform(convert: Convert) -> None:
    made = convert("FROM base\n", platform=ARM64, platforms=("linux/arm64",))
    assert made.config["architecture"] == "arm64"
    assert convert("FROM base\n", platform=ARM64).config["architecture"] == "amd64"


@pytest.mark.parametrize(
    ("text", "kind", "part", "hint", "line"),
    [
        ("RUN x\nFROM base\n", InvalidInput, "no build stage", "only ARG", 1),
        ("ARG x\n", InvalidInput, "no stages", "FROM", 1),
        ("FROM $X\n", InvalidInput, "should not be blank", "--build-arg", 1),
        ("FROM UPPER\n", InvalidInput, "must be lowercase", "", 1),
        ("FROM base AS build\nFROM biuld\n", NotFound, "biuld", "build", 2),
        ("FROM basse\n", NotFound, "basse", "", 1),
        ("FROM apline\n", NotFound, "apline", "alpine", 1),
        ("FROM base\nCOPY --from=9 a b\n", InvalidInput, "invalid stage index 9", "", 2),
        ("FROM base\nCOPY --from=$X a b\n", InvalidInput, "not supported for --from", "alias", 2),
        ("FROM base AS a\nCOPY --from=a x y\n", InvalidInput, "circular", "", 2),
        (
            "FROM base AS a\nCOPY --from=b x y\nFROM base AS b\nCOPY --from=a x y\n",
            InvalidInput,
            "circular",
            "",
            4,
        ),
        (
            "FROM base AS a\nCOPY --from=c x y\nFROM a AS b\nFROM base AS c\nFROM b\n",
            InvalidInput,
            "needs to be defined before",
            "move",
            2,
        ),
        ("FROM --platform=linux/x/y/z base\n", InvalidInput, "failed to parse platform", "", 1),
        ("FROM --platform=$NONE base\n", InvalidInput, "empty platform", "BUILDPLATFORM", 1),
        ("FROM base\nEXPOSE x\n", InvalidInput, "invalid containerPort", "80", 2),
        ("FROM base\nEXPOSE 80/icmp\n", InvalidInput, "invalid proto", "", 2),
        ("FROM base\nEXPOSE 70000\n", InvalidInput, "invalid containerPort", "", 2),
        ("FROM base\nSTOPSIGNAL SIGTREM\n", InvalidInput, "invalid signal", "SIGTERM", 2),
        ("FROM base\nENV a=${b\n", InvalidInput, "missing '}'", "", 2),
        ("FROM base\nRUN ok\n# note\nUSER ${x:?who}\n", InvalidInput, "x: who", "", 4),
        (
            "FROM base AS a\nRUN --mount=type=bind,from=later,target=/x y\nFROM base AS later\n",
            NotFound,
            "",
            "",
            2,
        ),
    ],
)
def test_errors_and_their_locations(
    convert: Convert, text: str, kind: type[LaminaError], part: str, hint: str, line: int
) -> None:
    if not part:
        # A later stage, which is not needed otherwise: the mount refers to a stage that is not
        # defined yet.
        with pytest.raises(InvalidInput, match="defined before"):
            convert(text, target="a")
        return
    with pytest.raises(kind) as caught:
        convert(text)
    assert part in caught.value.reason
    assert hint in caught.value.hint
    assert caught.value.location is not None
    assert caught.value.location.start == line


def test_a_missing_target(convert: Convert) -> None:
    with pytest.raises(NotFound) as caught:
        convert("FROM base AS build\nFROM base AS test\n", target="tset")
    assert caught.value.hint == "did you mean test?"


def test_long_chains_are_no_trouble(convert: Convert) -> None:
    stages = "".join(f"FROM s{n} AS s{n + 1}\nENV A{n}=1\n" for n in range(1200))
    runs = "RUN x\n" * 1200
    assert len(convert(f"FROM base AS s0\n{stages}{runs}").ops) == 1201


def test_git_repositories(convert: Convert) -> None:
    made = convert(
        "FROM base\nADD --keep-git-dir https://u@host.example/x.git#v1:dir/sub /x\n"
        "ADD git@host.example:team/y.git?branch=b&submodules=0 /y\n"
    )
    secrets = {
        "git.authheadersecret": "GIT_AUTH_HEADER",
        "git.authtokensecret": "GIT_AUTH_TOKEN",
    }
    assert made.sources["git://host.example/x.git#v1:dir/sub"] == {
        **secrets,
        "git.fullurl": "https://u@host.example/x.git",
        "git.keepgitdir": "true",
    }
    assert made.sources["git://host.example/team/y.git#refs/heads/b"] == {
        **secrets,
        "git.mountsshsock": "default",
        "git.fullurl": "git@host.example:team/y.git",
        "git.skipsubmodules": "true",
    }


_LINES = st.sampled_from(
    [
        "FROM base",
        "FROM base AS a",
        "FROM a",
        "FROM scratch AS b",
        "ARG X=1",
        "ENV X=$X-${Y:-z}",
        "RUN echo $X",
        "RUN --mount=type=cache,target=$X true",
        "RUN --mount=from=a,target=/m,source=/$X true",
        "COPY --from=a /$X /y",
        "COPY --from=0 . .",
        "COPY <<E /x\n$X\nE",
        "ADD --chown=$X a b c/",
        "WORKDIR $X",
        "USER $Y",
        "EXPOSE $X",
        "VOLUME $Y",
        "ONBUILD COPY --from=b . .",
        'CMD ["$X"]',
    ]
)


@given(st.lists(_LINES, max_size=12))
def test_any_lines_are_converted_or_refused(lines: list[str]) -> None:
    try:
        run_conversion("\n".join(lines) + "\n")
    except LaminaError as error:
        assert error.location is not None


def test_windows_gets_no_default_path(convert: Convert) -> None:
    platform = parse_platform("windows(10.0.17763)/amd64")
    made = convert(
        "FROM scratch\nARG TARGETPLATFORM\nENV P=$TARGETPLATFORM\nCMD x\n",
        platform=platform,
        platforms=(str(platform),),
    )
    assert made.settings["Env"] == ["P=windows(10.0.17763)/amd64"]
    assert made.settings["Cmd"] == ["cmd", "/S", "/C", "x"]
    assert made.config["os.version"] == "10.0.17763"


@pytest.mark.parametrize(
    ("flag", "meant"),
    [("$BULIDPLATFORM", "BUILDPLATFORM"), ("linux/${BULIDARCH}", "BUILDARCH")],
)
def test_a_misspelt_platform_argument_is_recognised(
    convert: Convert, flag: str, meant: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        convert(f"FROM --platform={flag} base\n")
    assert caught.value.hint == f"did you mean {meant}?"


def test_bytes_that_are_no_text_become_replacement_characters(convert: Convert) -> None:
    made = convert("FROM base\nLABEL a=\udc8b<\nRUN echo \udcff\n")
    assert made.settings["Labels"] == {"a": "\ufffd<"}
    assert made.history[-1] == "RUN /bin/sh -c echo \ufffd # buildkit"
    assert made.execs[0].meta is not None
    assert made.execs[0].meta.args[-1] == "echo \udcff"


def test_passwords_in_addresses_are_not_shown(convert: Convert) -> None:
    made = convert(
        "FROM base\nARG T=hush\nADD https://me:hush@h.example/x /\n"
        "ADD https://$T@h.example/y.git#v1 /r\n"
    )
    assert "https://me:hush@h.example/x" in made.sources
    shown = " ".join(made.names) + " ".join(made.history).replace("T=hush", "")
    assert "xxxxx:xxxxx@h.example/x" in shown
    assert "hush" not in shown


def test_step_names_of_multi_platform_builds_contain_the_platform() -> None:
    text = """
        FROM --platform=linux/amd64 base AS build
        RUN before
        ARG TARGETARCH
        ARG TARGETVARIANT
        RUN after
        FROM scratch
        COPY --from=build /x /
    """
    arm = Platform("linux", "arm", "v7")
    found = run_conversion(textwrap.dedent(text), platform=arm, several=True)
    assert [name for name in found.names if name.startswith("[")] == [
        f"[linux/amd64 build 1/3] FROM docker.io/library/base:latest@{digest_of(b'base')}",
        "[linux/amd64 build 2/3] RUN before",
        "[linux/amd64->arm/v7 build 3/3] RUN after",
        "[linux/arm/v7 stage-1 1/1] COPY --from=build /x /",
    ]
    assert found.bridge.titles == [
        "[linux/amd64 internal] load metadata for docker.io/library/base:latest"
    ]


def test_images_of_named_contexts_are_called_as_they_were_given() -> None:
    context = NamedContext("other", "docker-image", "base")
    found = run_conversion("FROM other\nCOPY a /", named_contexts=(context,))
    assert found.bridge.titles == ["[context other] load metadata for base"]
    assert "[context other] base" in found.names


def test_an_image_that_is_not_there_is_named_as_it_was_written() -> None:
    with pytest.raises(NotFound) as caught:
        run_conversion("FROM nowhere:1")
    assert caught.value.during == (
        "nowhere:1: failed to resolve source metadata for docker.io/library/nowhere:1"
    )


@pytest.mark.parametrize(("keyword", "above"), [("ARG", True), ("ARG", False), ("ENV", False)])
def test_lines_that_multiply_each_other_are_refused_where_it_becomes_too_much(
    convert: Convert, keyword: str, above: bool
) -> None:
    """2**10 characters, times 16 in each line."""
    lines = [f"{keyword} V0={'x' * 1024}"]
    lines += [f"{keyword} V{n}={f'$V{n - 1}' * 16}" for n in range(1, 12)]
    lines.insert(len(lines) if above else 0, "FROM scratch")
    with pytest.raises(InvalidInput, match="expand to more than 16 MiB") as caught:
        convert("\n".join(lines) + "\n")
    assert caught.value.location is not None
    assert lines[caught.value.location.start - 1].startswith(f"{keyword} V4=")
