"""Under which service a span or a log event is sent: the deployment's, or each agent's own where the user wants that.

An agent's service has the agent's name, else its id; the deployment's name is its namespace, and all else of the
resource stays. What names no agent stays with the deployment.
"""

from __future__ import annotations

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE, Resource

from bridge.map import genai
from bridge.map.telemetry import LogEvent, Span

Service = str | None  # an agent's service; None: the deployment's


def of_agent(thing: Span | LogEvent) -> Service:
    """The service of the agent that it names."""
    agent = thing.attributes.get(genai.AGENT_NAME) or thing.attributes.get(genai.AGENT_ID)
    return str(agent) if agent else None


def of_deployment(_: Span | LogEvent) -> Service:
    """One service for all."""
    return None


def resource_of(service: Service, resource: Resource) -> Resource:
    """The resource that things of this service are sent under.

    Args:
        service: an agent's, or None.
        resource: the deployment's.
    """
    if service is None:
        return resource
    namespace = resource.attributes.get(SERVICE_NAME, "")
    own = {**resource.attributes, SERVICE_NAME: service, SERVICE_NAMESPACE: namespace}
    return Resource(own, resource.schema_url)
