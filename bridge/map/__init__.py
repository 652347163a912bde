"""Map: pure functions from Letta's records to telemetry. No clock, no I/O, no randomness."""
