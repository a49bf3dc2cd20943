"""The events of a build: the slowest steps."""

import os

import lamina

base = lamina.image(os.environ.get("BASE", "busybox"))
state = base.run("sleep 0.2; echo slow", no_cache=True).run("echo quick")

with lamina.connect() as builder, builder.start(state) as running:
    steps: dict[str, lamina.VertexEvent] = {}
    for event in running:
        match event:
            case lamina.VertexEvent(completed=float()):
                steps[event.digest] = event
            case lamina.LogEvent():
                print("log:", event.data.decode(), end="")
    running.result()

times = {
    step.name: (step.completed or 0) - (step.started or 0)
    for step in steps.values()
    if step.name.startswith("RUN")
}
for name in sorted(times, key=times.__getitem__, reverse=True)[:2]:
    print(name)
