"""A debug adapter for Dockerfiles (Debug Adapter Protocol), for editors.

    protocol    messages on standard input and output
    program     the steps of a build in the order of debugging
    debugger    the frontend that runs the build step by step
    inspection  variables and the file system of a paused step
    adapter     answers the requests of an editor

The builder is lamina's engine, a daemon of lamina, or a buildkitd: everything goes by the gateway
API.
"""
