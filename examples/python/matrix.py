"""A matrix of images, built at the same time. Steps that are equal run once."""

import asyncio
import os
from itertools import product

import lamina

BASE = lamina.image(os.environ.get("BASE", "busybox"))
COMMON = BASE.run("echo shared setup > /setup")


def variant(version: str, mode: str) -> lamina.State:
    return COMMON.env(VERSION=version, MODE=mode).run("echo $VERSION $MODE > /variant")


async def main() -> None:
    async with lamina.aio.connect() as builder:
        pairs = list(product(("1.0", "2.0"), ("debug", "release")))
        builds = (
            builder.build(variant(version, mode), tags=[f"app:{version}-{mode}"])
            for version, mode in pairs
        )
        for (version, mode), result in zip(pairs, await asyncio.gather(*builds), strict=True):
            print(version, mode, result.digest)


asyncio.run(main())
