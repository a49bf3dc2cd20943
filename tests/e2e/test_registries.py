"""Builds from and to a real registry, with skopeo as the other reader and writer."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.real_registry import HTPASSWD, RealRegistry, make_certificates, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("plain")) as host:
        yield host


@pytest.fixture
def here(machine: Callable[[str], Lamina]) -> Lamina:
    return machine("here")


@pytest.fixture
def there(machine: Callable[[str], Lamina]) -> Lamina:
    return machine("there")


def skopeo(*args: str) -> bytes:
    done = subprocess.run(["skopeo", "--insecure-policy", *args], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def manifest(host: str, name: str) -> dict[str, object]:
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{host}/{name}")
    document: dict[str, object] = json.loads(raw)
    return document


def test_a_pushed_image_is_readable_by_skopeo_and_other_machines(
    plain: str, here: Lamina, there: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN echo made > /file\nCMD cat /file\n")
    log = here.build(folder, "--push", "-t", f"{plain}/a/app:1", "-t", f"{plain}/b/app:2")
    assert "pushing layers" in log
    assert f"pushing manifest for {plain}/a/app:1@sha256:" in log
    target = f"oci:{tmp_path}/copy:1"
    skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{plain}/b/app:2", target)
    pulled = there("pull", f"{plain}/a/app:1")
    assert pulled.code == 0, pulled.err
    assert there("run", f"{plain}/a/app:1").out == "made\n"
    # Existing blobs are not sent again, whichever client sent them.
    again = there("push", "--progress=plain", f"{plain}/a/app:1")
    assert again.code == 0, again.err
    assert "pushing sha256:" not in again.err


def test_a_base_image_that_skopeo_pushed(
    plain: str, here: Lamina, there: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN echo base > /base\n")
    here.build(folder, "-t", "base", "-o", f"type=oci,dest={tmp_path}/base.tar")
    source = f"oci-archive:{tmp_path}/base.tar"
    skopeo("copy", "-q", "--dest-tls-verify=false", source, f"docker://{plain}/team/base:1")
    (folder / "Dockerfile").write_text(f"FROM {plain}/team/base:1\nENV A=b\n")
    log = there.build(folder, "--push", "-t", f"{plain}/other/app")
    # Nothing ran on top of the base: its layers were never fetched, but mounted in the registry.
    assert "[internal] pull" not in log
    layers = manifest(plain, "other/app:latest")["layers"]
    assert isinstance(layers, list)
    assert len(layers) == 3


def test_options_of_an_image_output(
    plain: str, here: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("")
    name = f"{plain}/options/app"
    metadata = tmp_path / "metadata.json"
    here.build(
        folder,
        *["-o", f"type=image,name={name},push=true,push-by-digest=true,name-canonical=true"],
        *["--metadata-file", str(metadata)],
    )
    digest = json.loads(metadata.read_text())["containerimage.digest"]
    assert manifest(plain, f"options/app@{digest}")
    done = subprocess.run(
        ["skopeo", "list-tags", "--tls-verify=false", f"docker://{name}"], capture_output=True
    )
    assert b'"Tags": []' in done.stdout or done.returncode != 0
    here.build(
        folder,
        *["-o", "type=registry,compression=zstd,force-compression=true"],
        *["-t", f"{name}:zstd", "--annotation", "manifest:Key=a=b", "--annotation", "x=y"],
        *["--annotation", "manifest-descriptor:d=e"],
    )
    document = manifest(plain, "options/app:zstd")
    assert document["annotations"] == {"Key": "a=b", "x": "y"}
    layers = document["layers"]
    assert isinstance(layers, list)
    assert all(layer["mediaType"].endswith("+zstd") for layer in layers)
    here.build(folder, "-o", "type=registry,oci-mediatypes=false", "-t", f"{name}:docker")
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    assert manifest(plain, "options/app:docker")["mediaType"] == kind
    lost = here("build", "--push", str(folder))
    assert lost.code == 1
    assert "requires an image name" in lost.err


def test_the_same_bytes_on_two_machines(
    plain: str, here: Lamina, there: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("RUN mkdir /d && echo x > /d/f\n")
    output = "type=image,push=true,rewrite-timestamp=true"
    for machine, tag in ((here, "one"), (there, "two")):
        machine.build(
            folder,
            *["-o", output, "-t", f"{plain}/same/app:{tag}"],
            env={"SOURCE_DATE_EPOCH": "1700000000"},
        )
        time.sleep(1.1)
    first = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{plain}/same/app:one")
    second = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{plain}/same/app:two")
    assert first == second


def test_tls(tmp_path: Path, here: Lamina, there: Lamina, context: Callable[..., Path]) -> None:
    keys = tmp_path / "keys"
    make_certificates(keys)
    tls = f", tls: {{certificate: {keys}/cert.pem, key: {keys}/key.pem}}"
    with running_registry(tmp_path / "tls", tls=tls) as host:
        config = tmp_path / "lamina.toml"
        config.write_text(f'[registry."{host}"]\nhttp = false\nca = ["{keys}/ca.pem"]\n')
        folder = context("CMD echo over TLS\n")
        env = {"LAMINA_CONFIG": str(config)}
        here.build(folder, "--push", "-t", f"{host}/app", env=env)
        assert there("pull", f"{host}/app", env=env).code == 0
        config.write_text(f'[registry."{host}"]\nhttp = false\n')
        unknown = there("pull", f"{host}/app", env=env)
        assert unknown.code == 1
        assert "certificate" in unknown.err
        assert "ca = " in unknown.err
        trusted = here("push", "--insecure", f"{host}/app", env=env)
        assert trusted.code == 0, trusted.err


def test_logins(tmp_path: Path, here: Lamina, there: Lamina, context: Callable[..., Path]) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "htpasswd").write_text(HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: here, path: {private}/htpasswd}}}}\n"
    with running_registry(private, auth) as host:
        env = {"DOCKER_CONFIG": str(tmp_path / "docker")}
        folder = context("CMD echo mine\n")
        refused = here("build", "--push", "-t", f"{host}/app", str(folder), env=env)
        assert refused.code == 1
        assert f"{host} denied access" in refused.err
        wrong = here("login", "-u", "user", "-p", "no", host, env=env)
        assert wrong.code == 1
        right = here("login", "-u", "user", "--password-stdin", host, env=env, stdin=b"secret\n")
        assert right.code == 0, right.err
        assert "Login Succeeded" in right.out
        saved = tmp_path / "docker" / "config.json"
        assert saved.stat().st_mode & 0o777 == 0o600
        here.build(folder, "--push", "-t", f"{host}/app", env=env)
        skopeo(*["inspect", "--tls-verify=false", "--authfile", str(saved)], f"docker://{host}/app")
        assert here("logout", host, env=env).code == 0
        assert here("push", f"{host}/app", env=env).code == 1
        assert here("logout", host, env=env).code == 1


def test_a_login_in_a_credential_helper(tmp_path: Path, here: Lamina) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "htpasswd").write_text(HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: here, path: {private}/htpasswd}}}}\n"
    helper = tmp_path / "bin" / "docker-credential-kept"
    helper.parent.mkdir()
    helper.write_text(
        f"#!/bin/sh\ncase $1 in store) cat > {tmp_path}/kept ;; get) cat {tmp_path}/kept ;;"
        f" erase) rm {tmp_path}/kept ;; esac\n"
    )
    helper.chmod(0o755)
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text('{"credsStore": "kept", "other": {"stays": 1}}')
    with running_registry(private, auth) as host:
        env = {
            "DOCKER_CONFIG": str(folder),
            "PATH": f"{helper.parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        }
        assert here("login", "-u", "user", "-p", "secret", host, env=env).code == 0
        document = json.loads((folder / "config.json").read_text())
        assert document["other"] == {"stays": 1}
        assert "secret" not in (folder / "config.json").read_text()
        assert json.loads((tmp_path / "kept").read_text())["Secret"] == "secret"
        looked = here("imagetools", "inspect", f"{host}/none", env=env)
        assert "does not exist" in looked.err  # and not: denied
        assert here("logout", host, env=env).code == 0
        assert not (tmp_path / "kept").exists()


def test_indexes_in_a_registry(plain: str, here: Lamina, context: Callable[..., Path]) -> None:
    folder = context("CMD echo one\n")
    here.build(folder, "--push", "-t", f"{plain}/tools/one")
    made = here(
        *["imagetools", "create", "--prefer-index", "--annotation", "index:k=v"],
        *["-t", f"{plain}/tools2/index", f"{plain}/tools/one"],
    )
    assert made.code == 0, made.err
    document = manifest(plain, "tools2/index:latest")
    assert document["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert document["annotations"] == {"k": "v"}
    shown = here("imagetools", "inspect", f"{plain}/tools2/index")
    assert "Platform:  linux/" in shown.out
    raw = here("imagetools", "inspect", "--raw", f"{plain}/tools2/index")
    assert json.loads(raw.out) == document
    name = here("imagetools", "inspect", "--format", "{{.Manifest.Digest}}", f"{plain}/tools/one")
    assert name.out.startswith("sha256:")
    skopeo("inspect", "--tls-verify=false", f"docker://{plain}/tools2/index")


def test_a_registry_that_dies_while_it_is_pushed_to(
    tmp_path: Path, here: Lamina, context: Callable[..., Path]
) -> None:
    registry = RealRegistry(tmp_path / "mortal")
    registry.start()
    try:
        name = f"{registry.host}/big/app"
        folder = context("RUN head -c 200000000 /dev/urandom > /big\n")
        here.build(folder, "-t", name)
        process = subprocess.Popen(
            [sys.executable, "-m", "lamina", "--root", str(here.root), "push", name],
            stderr=subprocess.PIPE,
        )
        uploads = tmp_path / "mortal" / "data/docker/registry/v2/repositories/big/app/_uploads"
        deadline = time.monotonic() + 30
        while not (uploads.is_dir() and any(uploads.iterdir())) and time.monotonic() < deadline:
            time.sleep(0.001)
        registry.kill()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert b"ERROR: " in errors
        assert registry.host.encode() in errors
        assert b"try again" in errors
        assert b"Traceback" not in errors
        registry.start()
        done = here("push", name)
        assert done.code == 0, done.err
        skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/out")
    finally:
        registry.kill()


def test_two_pushes_at_once(plain: str, here: Lamina, context: Callable[..., Path]) -> None:
    folder = context("RUN head -c 3000000 /dev/urandom > /big\n")
    here.build(folder, "-t", f"{plain}/both/app")
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda: codes.append(here("push", f"{plain}/both/app").code))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0]
    assert manifest(plain, "both/app:latest")
