"""The resource under which all telemetry of one Letta server is sent.

It must be the same after every restart: metric totals go on across restarts, and a backend takes another resource
for other series. So the random service.instance.id that opentelemetry-sdk adds is left out; one that the user states
in OTEL_RESOURCE_ATTRIBUTES stays.
"""

from __future__ import annotations

from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, OTELResourceDetector, Resource

from bridge.settings import Settings


def resource(settings: Settings) -> Resource:
    """What the settings, OTEL_RESOURCE_ATTRIBUTES and the configured detectors say; the environment wins."""
    stated = OTELResourceDetector().detect().attributes
    found = Resource.create({SERVICE_NAME: stated.get(SERVICE_NAME, settings.service_name)})
    kept = {name: value for name, value in found.attributes.items() if name != SERVICE_INSTANCE_ID or name in stated}
    return Resource(kept, found.schema_url)
