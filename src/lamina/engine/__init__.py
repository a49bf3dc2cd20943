"""The engine: builds on one store. `engine` wires the packages below; `build` is one request."""
