"""Send: OTLP over HTTP and gRPC, with the backend's answer read to the letter."""
