"""Servers of object stores as processes: moto and s3rver for S3, azurite, and one of GCS."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.objectstores.azure import AzureConfig
from lamina.objectstores.gcs import GcsConfig
from lamina.objectstores.s3 import S3Config
from lamina.objectstores.s3_signing import AwsKeys
from tests.real_registry import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUCKET = "caches"
REGION = "us-east-1"
KEYS = AwsKeys("S3RVER", "S3RVER")  # those that s3rver accepts
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


def node_program(name: str) -> str:
    """A program that `scripts/setup tests` installs with npm."""
    path = Path(sys.prefix) / "node_modules" / ".bin" / name
    assert path.exists(), f"{path} does not exist: run scripts/setup tests"
    return str(path)


@contextlib.contextmanager
def running(command: Sequence[str], url: str, folder: Path) -> Iterator[str]:
    """A server process that answers at `url`. It is killed after the block."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while not _answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running_moto(folder: Path) -> Iterator[S3Config]:
    """moto's server, with an empty bucket."""
    port = free_port()
    program = shutil.which("moto_server", path=f"{sys.prefix}/bin:{os.environ['PATH']}")
    command = [program or "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, f"http://127.0.0.1:{port}", folder) as url:
        request = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request, timeout=20).close()
        yield S3Config(BUCKET, REGION, url, True, KEYS)


@contextlib.contextmanager
def running_s3rver(folder: Path) -> Iterator[S3Config]:
    """s3rver, which checks signatures, with an empty bucket."""
    port = free_port()
    command = [node_program("s3rver"), "-d", str(folder / "data"), "-p", str(port)]
    command += ["-a", "127.0.0.1", "--silent", "--configure-bucket", BUCKET]
    (folder / "data").mkdir(parents=True)
    with running(command, f"http://127.0.0.1:{port}", folder) as url:
        yield S3Config(BUCKET, REGION, url, True, KEYS)


@contextlib.contextmanager
def running_azurite(folder: Path) -> Iterator[AzureConfig]:
    """azurite's blob service, without the container."""
    port = free_port()
    command = [node_program("azurite-blob"), "--blobPort", str(port), "--location", str(folder)]
    command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    with running(command, f"http://127.0.0.1:{port}", folder) as url:
        yield AzureConfig(f"{url}/{AZURE_ACCOUNT}", AZURE_ACCOUNT, BUCKET, AZURE_KEY)


@contextlib.contextmanager
def running_gcs(folder: Path) -> Iterator[GcsConfig]:
    """gcp-storage-emulator, with an empty bucket."""
    port = free_port()
    program = str(Path(sys.prefix) / "bin" / "gcp-storage-emulator")
    command = [program, "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    command += [f"--default-bucket={BUCKET}"]
    with running(command, f"http://127.0.0.1:{port}", folder) as url:
        yield GcsConfig(BUCKET, url)
