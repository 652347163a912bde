"""Settings: what a user can set, read from the file and the environment into one frozen tree."""

from bridge.settings.fields import Section
from bridge.settings.load import find_config, load
from bridge.settings.model import Settings
from bridge.settings.otlp import ResolvedEndpoint, destination, resolve
from bridge.settings.secrecy import secret_values

__all__ = [
    "ResolvedEndpoint",
    "Section",
    "Settings",
    "destination",
    "find_config",
    "load",
    "resolve",
    "secret_values",
]
