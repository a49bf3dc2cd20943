"""Communication between processes: protobuf, HTTP/2, gRPC. Knows no service."""
