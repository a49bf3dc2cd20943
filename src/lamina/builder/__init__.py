"""lamina as a library: `lamina.connect()` returns a `Builder`.

The engine of an embedded builder needs a mount namespace, so it runs in a child process
(`engine_process`). The caller's process is not changed.
"""
