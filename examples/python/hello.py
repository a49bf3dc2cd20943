"""A state, a build, a container."""

import os

import lamina

base = lamina.image(os.environ.get("BASE", "busybox"))
hello = base.run("echo hello from $NAME > /hello", env={"NAME": "a state"}).cmd(["cat", "/hello"])

with lamina.connect() as builder:
    result = builder.build(hello, tags=["hello"])
    print(result.image_id)
    print(builder.run("hello").stdout.decode(), end="")
