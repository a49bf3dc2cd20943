"""A wheel that is built once and installed in an image for two platforms."""

import os

import lamina

PYTHON = os.environ.get("BASE", "python:3.12")
PLATFORMS = ["linux/amd64", "linux/arm64"]
SITE = "/app"

# The wheel has no compiled code, so it is built on this machine's platform for all of them.
builder_image = lamina.image(PYTHON, platform=os.environ.get("BUILD_PLATFORM", "linux/amd64"))
wheel = (
    builder_image.workdir("/src")
    .copy(lamina.local("wheel"), ".", ".")
    .mkdir("/wheels")
    .run(["python3", "-c", "import backend; backend.build_wheel('/wheels')"], network="none")
    .run(["python3", "-m", "zipfile", "-e", "/wheels/greeting-1.0-py3-none-any.whl", SITE])
)
image = (
    lamina.image(PYTHON)
    .copy(wheel, SITE, SITE)
    .env(PYTHONPATH=SITE)
    .entrypoint(["python3", "-m", "greeting"])
)

with lamina.connect() as builder:
    result = builder.build(
        image, platforms=PLATFORMS, outputs=["type=oci,tar=false,dest=greeting-image"]
    )
    print(result.digest)
