"""The engine: runs builds on one store. `engine` wires the packages below; `build` is one
request."""
