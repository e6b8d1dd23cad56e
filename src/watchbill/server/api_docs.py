"""The API's documentation as a page of our own: readable without JavaScript, and within the content-security policy."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

from watchbill.base.errors import WatchbillError


class PlainDocs(DocsBase):
    """Renders the OpenAPI document as HTML."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        """The page."""
        schema: dict[str, Any] = api.get_openapi_schema()
        groups: dict[str, list[dict[str, Any]]] = {}
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                groups.setdefault(operation["tags"][0], []).append(
                    {
                        "path": path,
                        "method": method.upper(),
                        **operation,
                        "fields": _parameters(operation) + _fields(schema, operation),
                    }
                )
        return render(request, "console/api_docs.html", {"schema": schema, "groups": groups, "errors": _errors()})


def _errors() -> list[dict[str, Any]]:
    """Every kind of error, as `type` in a problem names it."""
    kinds: list[type[WatchbillError]] = [WatchbillError]
    found: list[dict[str, Any]] = []
    while kinds:
        kind = kinds.pop(0)
        kinds += kind.__subclasses__()
        title = (kind.__doc__ or "").strip().splitlines()[0].rstrip(".")
        found.append({"code": kind.code, "status": kind.status, "title": title})
    return sorted(found, key=lambda one: (one["status"], one["code"]))


def _parameters(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": one["name"],
            "place": one["in"],
            "type": _type(one["schema"]),
            "required": one["required"],
            "doc": one["schema"].get("description", ""),
        }
        for one in operation.get("parameters", ())
    ]


def _fields(schema: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in body:
        body = schema["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    required = set(body.get("required", ()))
    return [
        {
            "name": name,
            "place": "body",
            "type": _type(value),
            "required": name in required,
            "doc": value.get("description", ""),
        }
        for name, value in body.get("properties", {}).items()
    ]


def _type(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(_type(part) for part in value["anyOf"])
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}))}"
    return str(value.get("format") or value.get("type") or value.get("$ref", "").rpartition("/")[2] or "anything")
