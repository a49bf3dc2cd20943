"""Builds of real images through the command, checked with third-party tools."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina


def steps(log: str) -> dict[str, str]:
    """The outcome of each step: its name, and DONE, CACHED or ERROR."""
    names: dict[str, str] = {}
    found: dict[str, str] = {}
    for line in log.splitlines():
        number, _, rest = line.partition(" ")
        if rest.startswith("["):
            names[number] = rest
        elif rest.split(" ")[0].rstrip(":") in ("DONE", "CACHED", "ERROR") and number in names:
            found[names[number]] = rest.split(" ")[0].rstrip(":")
    return found


def state_of(log: str, text: str) -> str:
    return next(state for name, state in steps(log).items() if text in name)


def processes() -> str:
    listed = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True)
    return listed.stdout


def tree(lamina: Lamina, context: Path, out: Path) -> Path:
    lamina.build(context, "-o", str(out))
    return out


def test_a_build_runs_and_a_second_one_is_cached(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("WORKDIR /app\nRUN echo made > file\nCMD cat file\n")
    first = lamina.build(folder, "-t", "app")
    assert state_of(first, "RUN echo made") == "DONE"
    second = lamina.build(folder, "-t", "app")
    assert state_of(second, "RUN echo made") == "CACHED"
    assert state_of(second, "COPY busybox") == "CACHED"
    ran = lamina("run", "app")
    assert (ran.code, ran.out) == (0, "made\n")


def test_skopeo_and_umoci_read_the_image(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context('ENV A=1\nLABEL x=y\nRUN echo hi > /f\nEXPOSE 80\nCMD ["cat", "/f"]\n')
    lamina.build(folder, "-t", "app:1", "-o", f"type=oci,dest={tmp_path}/oci.tar")
    lamina.build(folder, "-t", "app:1", "-o", f"type=docker,dest={tmp_path}/docker.tar")
    for source in (f"oci-archive:{tmp_path}/oci.tar", f"docker-archive:{tmp_path}/docker.tar"):
        done = subprocess.run(
            ["skopeo", "inspect", "--config", source], capture_output=True, check=True
        )
        config = json.loads(done.stdout)
        assert "A=1" in config["config"]["Env"]
        assert config["config"]["Cmd"] == ["cat", "/f"]
        assert config["config"]["Labels"] == {"x": "y"}
        assert "80/tcp" in config["config"]["ExposedPorts"]
        assert len(config["rootfs"]["diff_ids"]) == 3
    layout = tmp_path / "layout"
    subprocess.run(
        ["skopeo", "copy", f"oci-archive:{tmp_path}/oci.tar", f"oci:{layout}:1"],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        ["umoci", "unpack", "--image", f"{layout}:1", str(tmp_path / "bundle")],
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "bundle" / "rootfs" / "f").read_text() == "hi\n"


def test_a_cache_mount_persists_and_is_in_no_image(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    body = "RUN --mount=type=cache,target=/cache echo {} >> /cache/log; cp /cache/log /out\n"
    lamina.build(context(body.format("one")))
    out = tree(lamina, context(body.format("two")), tmp_path / "out")
    assert (out / "out").read_text() == "one\ntwo\n"
    assert not (out / "cache").exists()
    again = lamina.build(context(body.format("three")), "--no-cache", "-o", f"{tmp_path}/again")
    assert state_of(again, "RUN --mount") == "DONE"
    assert (tmp_path / "again" / "out").read_text() == "three\n"


def test_a_changed_file_rebuilds_only_steps_that_read_it(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    body = "COPY a /a\nRUN cat /a\nFROM base AS other\nCOPY b /b\nRUN cat /b\nFROM base\n"
    body += "COPY --from=1 /b /b\nRUN echo last\n"
    body = body.replace("FROM base AS other", "FROM base AS other", 1)
    folder = context(body, {"a": "1", "b": "1", "unread": "1"})
    lamina.build(folder)
    (folder / "unread").write_text("2")
    log = lamina.build(folder)
    assert set(steps(log).values()) == {"CACHED", "DONE"}
    assert state_of(log, "RUN echo last") == "CACHED"
    (folder / "b").write_text("2")
    log = lamina.build(folder)
    assert state_of(log, "RUN cat /b") == "DONE"
    assert state_of(log, "RUN echo last") == "DONE"


def test_cache_keys_depend_on_content_and_not_on_times(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("COPY data /data\nRUN cat /data\n", {"data": "aaaa"})
    old = time.time() - 1000
    os.utime(folder / "data", (old, old))
    lamina.build(folder)
    os.utime(folder / "data")
    assert state_of(lamina.build(folder), "RUN cat") == "CACHED"
    # Same size, same times: only the content (and ctime) differs.
    (folder / "data").write_text("bbbb")
    os.utime(folder / "data", (old, old))
    log = lamina.build(folder)
    assert state_of(log, "RUN cat") == "DONE"
    assert "bbbb" in log


def test_a_stage_rebuilt_to_the_same_output_lets_its_users_hit(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    body = "FROM base AS maker\nARG X\nRUN echo $X > /log; echo same > /made; touch -d @1 /made\n"
    body += "FROM base\nCOPY --from=maker /made /made\nRUN cat /made\n"
    folder = context(body)
    lamina.build(folder, "--build-arg", "X=1")
    log = lamina.build(folder, "--build-arg", "X=2")
    assert state_of(log, "touch -d") == "DONE"
    assert state_of(log, "COPY --from=maker") == "CACHED"
    assert state_of(log, "RUN cat /made") == "CACHED"


def test_independent_stages_run_at_the_same_time(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    names = "abcd"
    body = "".join(f"FROM base AS {n}\nRUN sleep 1; echo {n} > /{n}\n" for n in names)
    body += "FROM base\n" + "".join(f"COPY --from={n} /{n} /{n}\n" for n in names)
    folder = context(body)
    log = lamina.build(folder)
    assert all(state_of(log, f"echo {n} >") == "DONE" for n in names)


def test_unneeded_stages_are_skipped(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base AS broken\nRUN false\nFROM base AS fine\nRUN true\n")
    log = lamina.build(folder)
    assert "RUN false" not in log


def test_copy_owners_modes_and_ignore(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    files = {
        "src/a": "a",
        "src/skip.log": "x",
        "src/sub/b": "b",
        ".dockerignore": "**/*.log\n",
        "passwd": "me:x:41:42::/:/bin/sh\n",
    }
    body = "COPY passwd /etc/passwd\nCOPY --chown=me --chmod=640 src /dst/\n"
    body += "COPY src/s* /wild/\nRUN ls -lnR /dst /wild && stat -c '%u %g %a' /dst/a > /says\n"
    out = tree(lamina, context(body, files), tmp_path / "out")
    assert (out / "says").read_text() == "41 42 640\n"
    assert not (out / "dst" / "skip.log").exists()
    assert (out / "wild" / "b").read_text() == "b"


def test_heredocs(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    body = "ARG WHO=world\nRUN <<EOF\necho one > /r\necho two >> /r\nEOF\n"
    body += "COPY <<EOF /hello\nhello $WHO\nEOF\nCOPY <<'EOF' /raw\nhello $WHO\nEOF\n"
    out = tree(lamina, context(body), tmp_path / "out")
    assert (out / "r").read_text() == "one\ntwo\n"
    assert (out / "hello").read_text() == "hello world\n"
    assert (out / "raw").read_text() == "hello $WHO\n"


def test_secrets_are_visible_only_to_the_step(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush-hush-value")
    known = [hashlib.sha256(value).hexdigest() for value in (b"hush-hush-value", b"env-hush-value")]
    body = f"""
RUN --mount=type=secret,id=s sha256sum < /run/secrets/s | grep -q {known[0]}
RUN --mount=type=secret,id=e,env=TOKEN printf %s "$TOKEN" | sha256sum | grep -q {known[1]}
"""
    log = lamina.build(
        context(body),
        "--secret",
        f"id=s,src={secret}",
        "--secret",
        "id=e,env=MY_TOKEN",
        "-o",
        f"{tmp_path}/out",
        env={"MY_TOKEN": "env-hush-value"},
    )
    assert log
    found = subprocess.run(
        ["grep", "-rlaE", "hush-hush-value|env-hush-value", f"{tmp_path}/out", f"{lamina.root}"],
        capture_output=True,
        text=True,
    )
    assert found.stdout == ""


def test_a_failing_step_shows_where_and_why(lamina: Lamina, context: Callable[..., Path]) -> None:
    done = lamina("build", "--progress=plain", str(context("RUN echo oh; exit 42\n")))
    assert done.code == 1
    assert "exit code: 42" in done.err
    assert "Dockerfile:4" in done.err
    assert ">>> RUN echo oh" in done.err
    assert "Traceback" not in done.err


def test_bad_input_causes_no_traceback(lamina: Lamina, context: Callable[..., Path]) -> None:
    for body, words in (
        ("RUM echo\n", "did you mean RUN"),
        ("COPY --form=x a b\n", "did you mean from"),
        ("COPY missing /x\n", "missing"),
        ("FROM basse\nRUN true\n", "base"),
        ("RUN --mount=type=cash,target=/x true\n", "cash"),
        ("FROM base AS a\nCOPY --from=b /x /x\nFROM base AS b\nCOPY --from=a /x /x\n", "circular"),
        ("RUN <<EOF\nno end\n", "heredoc"),
        ("ENV\n", "ENV"),
        ("RUN no-such-command-at-all\n", "127"),
    ):
        done = lamina("build", str(context(body)))
        assert done.code == 1, body
        assert words in done.err, done.err
        assert "Traceback" not in done.err


def test_same_input_same_image(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("RUN echo x > /x\n", {"a": "1"})
    digests = {lamina("build", "-q", "-t", "t", str(folder)).out for _ in range(2)}
    assert len(digests) == 1


def test_more_than_120_layers(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    body = "".join(f"COPY f /f{n}\n" for n in range(125)) + "RUN ls / | grep -c f > /count\n"
    out = tree(lamina, context(body, {"f": "x"}), tmp_path / "out")
    assert int((out / "count").read_text()) >= 125


def test_two_builds_at_once_share_a_store(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("RUN --mount=type=cache,target=/c,sharing=locked sleep 0.3; echo $RANDOM\n")
    command = [sys.executable, "-m", "lamina", "--root", str(lamina.root), "build", str(folder)]
    builds = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for build in builds:
        _, err = build.communicate(timeout=60)
        assert build.returncode == 0, err


def test_a_killed_build_leaves_no_process_and_a_store_that_works(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("RUN echo kept > /kept\nRUN sleep 98765\n")
    command = [sys.executable, "-m", "lamina", "--root", str(lamina.root), "build", str(folder)]
    build = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        if (
            "sleep 98765"
            in subprocess.run(["ps", "axo", "args"], capture_output=True).stdout.decode()
        ):
            break
        time.sleep(0.05)
    build.send_signal(signal.SIGKILL)
    build.wait()
    for _ in range(100):
        if "sleep 98765" not in processes():
            break
        time.sleep(0.05)
    assert "sleep 98765" not in processes()
    log = lamina.build(context("RUN echo kept > /kept\nRUN cat /kept\n"))
    assert state_of(log, "RUN echo kept") == "CACHED"
    assert state_of(log, "RUN cat /kept") == "DONE"
