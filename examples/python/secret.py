"""A secret that a step uses and that no image holds."""

import os

import lamina

base = lamina.image(os.environ.get("BASE", "busybox"))
state = base.run(
    'wc -c < /run/secrets/token > /length && test -n "$API_KEY"',
    mounts=[lamina.secret("token"), lamina.secret("key", env="API_KEY")],
)

with lamina.connect() as builder:
    builder.build(state, secrets={"token": "s3cr3t", "key": b"abc"}, tags=["with-secret"])
    listed = builder.run("with-secret", ["sh", "-c", "cat /length; ls /run/secrets 2>&1; true"])
    print(listed.stdout.decode(), end="")
    try:
        builder.build(base.run("true", mounts=[lamina.secret("unknown")]))
    except lamina.NotFound as error:
        print(f"{error} ({error.location})")
