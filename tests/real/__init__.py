"""The real thing: a Letta server in, real OTLP receivers out. A package, because its modules share each other."""
