"""/openapi.json and /docs: the API described for programs and for people, without assets from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.routing import BaseRoute

from localchat_ui import __version__

TITLE = "LocalChat API"
DESCRIPTION = (
    "Talk to the models on this machine: with the protocols of OpenAI and Anthropic under /v1, or in conversations that"
    " people see in the page. Errors have one shape: an object `error` with `message`, `type`, `param` and `code`."
)
STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
pre { overflow-x: auto; padding: .75rem; border: 1px solid GrayText; border-radius: .5rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem }
tr { border-bottom: 1px solid GrayText } section { margin: 2.5rem 0 } summary { cursor: pointer }
"""


def register(app: FastAPI) -> None:
    """GET /openapi.json and GET /docs, of all routes that were registered before"""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/openapi.json")
    async def document() -> JSONResponse:
        return JSONResponse(openapi(app.routes))

    @routes.get("/docs")
    async def page() -> HTMLResponse:
        return HTMLResponse(html(openapi(app.routes)))

    app.include_router(routes)


def openapi(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    document = get_openapi(title=TITLE, version=__version__, description=DESCRIPTION, routes=routes)
    for operations in document["paths"].values():
        for operation in operations.values():
            # A wrong request is a 400 here, in OpenAI's shape, never FastAPI's own 422.
            if operation["responses"].pop("422", None):
                operation["responses"].setdefault("400", _INVALID)
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)
    return document


_INVALID = {
    "description": "Something in the request is wrong; `param` names it",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
}


def html(document: Mapping[str, Any]) -> str:
    """The document as one page that needs no script."""
    schemas = document.get("components", {}).get("schemas", {})
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    links = "".join(f'<li><a href="#{_anchor(name)}"><code>{escape(name)}</code></a></li>' for name, _ in operations)
    sections = "".join(_operation(name, operation, schemas) for name, operation in operations)
    shapes = "".join(_shape(name, schema) for name, schema in sorted(schemas.items()))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body><main>'
        f"<h1>{TITLE}</h1><p>{escape(document['info']['description'])} Version {escape(document['info']['version'])}."
        f' For programs: <a href="openapi.json">openapi.json</a>.</p><ul>{links}</ul>{sections}'
        f"<h2>Shapes</h2>{shapes}</main></body></html>"
    )


def _operation(name: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    parts = [f"<h2><code>{escape(name)}</code></h2><p>{escape(operation.get('description', ''))}</p>"]
    if parameters := operation.get("parameters"):
        rows = [(each["name"], each["schema"], each["required"]) for each in parameters]
        parts.append(f"<h3>Parameters</h3>{_table(rows)}")
    shape = schemas.get(_reference(body), {})
    if body:
        parts.append(f"<h3>Request</h3><p>{_type(body)}</p>")
        parts.extend(f"<pre>{escape(json.dumps(each, ensure_ascii=False))}</pre>" for each in shape.get("examples", ()))
    parts.append("<h3>Responses</h3><ul>")
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        types = ", ".join(_type(each.get("schema", {})) for each in content.values())
        examples = "".join(f"<pre>{escape(each['example'])}</pre>" for each in content.values() if "example" in each)
        parts.append(f"<li>{escape(status)} {escape(response['description'])}: {types or 'no body'}{examples}</li>")
    return f'<section id="{_anchor(name)}">{"".join(parts)}</ul></section>'


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [(field, each, field in required) for field, each in schema.get("properties", {}).items()]
    return (
        f'<details id="{escape(name)}" open><summary><code>{escape(name)}</code></summary>'
        f"<p>{escape(schema.get('description', ''))}</p>{_table(rows) if rows else _type(schema)}</details>"
    )


def _table(rows: Sequence[tuple[str, Mapping[str, Any], bool]]) -> str:
    lines = "".join(
        f"<tr><th><code>{escape(name)}</code></th><td>{_type(schema)}{'' if required else ', optional'}</td>"
        f"<td>{escape(' '.join(_words(schema)))}</td></tr>"
        for name, schema, required in rows
    )
    return f"<table>{lines}</table>"


def _words(schema: Mapping[str, Any]) -> Iterator[str]:
    yield schema.get("description", "")
    names = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "maxItems": "at most, items"}
    yield from (f"{text} {schema[key]}" for key, text in names.items() if key in schema)
    if schema.get("default") not in (None, [], {}):
        yield f"default {json.dumps(schema['default'], ensure_ascii=False)}"


def _type(schema: Mapping[str, Any]) -> str:
    if name := _reference(schema):
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(each) for each in choices)
    if "enum" in schema or "const" in schema:
        return " or ".join(escape(json.dumps(each)) for each in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(str(schema.get("type", "any value")))


def _reference(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _anchor(name: str) -> str:
    return escape(name.replace(" ", "-").replace("/", "-"))
