"""Opens an incident for a check that is critical, and closes it when it passes again.

For whatever takes events in the shape of PagerDuty's Events API, version 2. The key of an incident is the
subject of the event, so a check that fails twice has one incident.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.handler import Description, HttpRequest, Request_Http
from wit_world.imports import http
from wit_world.imports.types import (
    CallError_Refused,
    Failure_Permanent,
    Failure_RetryAfter,
    Failure_Transient,
)

SCHEMA = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "description": "Where events are taken in."},
        "routing_key": {"type": "string", "description": "Of the service that is called."},
        "severity": {"enum": ["critical", "error"], "default": "critical"},
    },
    "required": ["url", "routing_key"],
    "additionalProperties": False,
}


def read(config: str) -> dict:
    """The configuration, or why it cannot be one."""
    read = json.loads(config)
    for field in read:
        if field not in SCHEMA["properties"]:
            raise ValueError(f"{field}: unknown field, expected one of {', '.join(SCHEMA['properties'])}")
    for field in SCHEMA["required"]:
        if not isinstance(read.get(field), str):
            raise ValueError(f"{field}: required, a text")
    if not read["url"].startswith(("https://", "http://")):
        raise ValueError("url: begins with neither https:// nor http://")
    return read


def incident(event, config: dict) -> dict | None:
    """What is to be said of an event, if anything."""
    data = json.loads(event.data)
    if event.type != "lictor.check.status" or data["to"] == "warning":
        return None
    action = "trigger" if data["to"] == "critical" else "resolve"
    return {
        "routing_key": config["routing_key"],
        "event_action": action,
        "dedup_key": event.subject,
        "payload": {
            "summary": f"{data['check_name']} is {data['to'] or 'gone'} on {data['node']}",
            "source": data["node"],
            "severity": config.get("severity", "critical"),
            "custom_details": {"output": data["output"], "service": data["service"]},
        },
    }


class Handler(exports.Handler):
    def describe(self) -> Description:
        summary = "Opens an incident for a critical check, and closes it again"
        return Description("pager", "0.1.0", summary, json.dumps(SCHEMA))

    def requests(self, config: str) -> list:
        try:
            return [Request_Http(HttpRequest("POST", read(config)["url"]))]
        except ValueError as error:
            raise Err(str(error))

    def handle(self, delivery, config: str) -> str:
        config = read(config)
        incidents = [found for event in delivery.events if (found := incident(event, config))]
        for found in incidents:
            headers = [("Content-Type", "application/json")]
            request = http.Request("POST", config["url"], headers, json.dumps(found).encode(), 10_000)
            try:
                judge(http.send(request))
            except Err as error:
                raise Err(failure(error.value))
        return ", ".join(found["event_action"] for found in incidents) or "nothing to say"


def judge(response) -> None:
    """Raises what an answer means."""
    if response.status == 429:
        raise Err(Failure_RetryAfter(("the pager wants to be left alone", 60_000)))
    if response.status >= 500:
        raise Err(Failure_Transient(f"the pager answered {response.status}"))
    if response.status >= 300:
        raise Err(Failure_Permanent(f"the pager answered {response.status}: {response.body.decode(errors='replace')}"))


def failure(value):
    """What a call that was not done means: a refusal is for good, the rest may pass."""
    if isinstance(value, (Failure_Permanent, Failure_RetryAfter, Failure_Transient)):
        return value
    return Failure_Permanent(value.value) if isinstance(value, CallError_Refused) else Failure_Transient(value.value)
