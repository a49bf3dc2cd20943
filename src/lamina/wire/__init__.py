"""Communication between processes: protobuf, HTTP/2, gRPC. Independent of services."""
