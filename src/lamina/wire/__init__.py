"""Floor 3: how remote processes talk: protobuf, HTTP/2, gRPC. Knows no service."""
