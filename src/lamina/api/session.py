"""The headers by which a client introduces its session (`moby.buildkit.v1.Control/Session`)."""

from __future__ import annotations

KEY_ID = "x-docker-expose-session-uuid"
KEY_NAME = "x-docker-expose-session-name"
KEY_SHARED_KEY = "x-docker-expose-session-sharedkey"
KEY_METHOD = "x-docker-expose-session-grpc-method"
"""One header per method that the client serves."""
KEY_HEALTH_TIMEOUT = "x-buildkit-session-health-custom-timeout"
"""The time in milliseconds after which a silent client counts as disconnected, if it sets one."""
