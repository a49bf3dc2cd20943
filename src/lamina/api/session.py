"""The headers by which a client introduces its session (`moby.buildkit.v1.Control/Session`)."""

from __future__ import annotations

KEY_ID = "x-docker-expose-session-uuid"
KEY_NAME = "x-docker-expose-session-name"
KEY_SHARED_KEY = "x-docker-expose-session-sharedkey"
KEY_METHOD = "x-docker-expose-session-grpc-method"
"""One for each method that the client serves."""
KEY_HEALTH_TIMEOUT = "x-buildkit-session-health-custom-timeout"
"""How soon a client that is silent counts as gone, in milliseconds, if it is in a hurry."""
