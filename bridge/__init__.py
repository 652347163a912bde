"""OpenTelemetry export bridge for Letta: reads Runs and Steps, sends spans and metrics over OTLP."""

__version__ = "0.1.0"
