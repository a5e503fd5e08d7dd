"""@NAME@: posts events to a URL. Make it what you need; README.md says what to run."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.handler import Description, HttpRequest, Request_Http
from wit_world.imports import http
from wit_world.imports.types import CallError_Refused, Failure_Permanent, Failure_Transient

SCHEMA = {
    "type": "object",
    "properties": {"url": {"type": "string", "description": "Where to post to."}},
    "required": ["url"],
    "additionalProperties": False,
}


def url_of(config: str) -> str:
    """The one setting, or why there is none."""
    read = json.loads(config)
    for field in read:
        if field != "url":
            raise ValueError(f"{field}: unknown field, expected url")
    if not str(read.get("url", "")).startswith(("https://", "http://")):
        raise ValueError("url: begins with neither https:// nor http://")
    return read["url"]


def text_of(event) -> str:
    data = json.loads(event.data)
    if event.type == "lictor.check.status":
        return f"{data['check_name']} on {data['node']} is {data['to'] or 'gone'}: {data['output']}"
    return f"{event.subject} {event.type}"


class Handler(exports.Handler):
    def describe(self) -> Description:
        return Description("@NAME@", "0.1.0", "Posts events to a URL", json.dumps(SCHEMA))

    def requests(self, config: str) -> list:
        try:
            return [Request_Http(HttpRequest("POST", url_of(config)))]
        except ValueError as error:
            raise Err(str(error))

    def handle(self, delivery, config: str) -> str:
        text = "\n".join(text_of(event) for event in delivery.events)
        headers = [("Content-Type", "application/json"), ("Idempotency-Key", delivery.id)]
        request = http.Request("POST", url_of(config), headers, json.dumps({"text": text}).encode(), 30_000)
        try:
            status = http.send(request).status
        except Err as error:
            for_good = isinstance(error.value, CallError_Refused)
            raise Err((Failure_Permanent if for_good else Failure_Transient)(error.value.value))
        if status == 429 or status >= 500:
            raise Err(Failure_Transient(str(status)))
        if status >= 300:
            raise Err(Failure_Permanent(str(status)))
        return str(status)
