"""Describe the API as OpenAPI 3.1, out of the routes and the types of their answers."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import msgspec

from consumers.stats.answers import Problem
from consumers.stats.problems import CONTENT_TYPE, TITLES
from consumers.stats.query import Parameter
from consumers.stats.routes import Route

_SCHEMA = "#/components/schemas/{name}"
_STATUSES = (400, 401, 404, 405, 503)


def document(routes: Iterable[Route]) -> Mapping[str, Any]:
    """Return the description of `routes`."""
    routes = tuple(routes)
    types = [Problem, *(kind for route in routes for kind in route.answers)]
    names = _parameter_names(routes)
    _, components = msgspec.json.schema_components(types, ref_template=_SCHEMA)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hookline: live statistics",
            "version": version("hookline"),
            "description": "What was counted of the callbacks of Tencent Cloud IM.",
        },
        "paths": {route.path: {"get": _operation(route, names)} for route in routes},
        "components": {
            "schemas": components,
            "parameters": {name: _parameter(parameter) for parameter, name in names.values()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {_name(status): _problem(status) for status in _STATUSES},
        },
        # Either no token, on loopback, or one of the file's.
        "security": [{}, {"token": []}],
    }


def _parameter_names(routes: Iterable[Route]) -> dict[int, tuple[Parameter, str]]:
    """Return each parameter by its identity, with a name that no other one has."""
    names: dict[int, tuple[Parameter, str]] = {}
    for route in routes:
        for parameter in route.parameters:
            used_names = {name for _, name in names.values()}
            own_name = f"{_operation_name(route)}.{parameter.name}"
            name = own_name if parameter.name in used_names else parameter.name
            names.setdefault(id(parameter), (parameter, name))
    return names


def _parameter(parameter: Parameter) -> Mapping[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "description": f"{parameter.description} Must be {parameter.bound}.",
        "schema": dict(parameter.schema),
        "example": parameter.example,
    }


def _operation_name(route: Route) -> str:
    return route.path.rpartition("/")[2]


def _operation(route: Route, names: Mapping[int, tuple[Parameter, str]]) -> Mapping[str, Any]:
    return {
        "operationId": _operation_name(route),
        "summary": route.about,
        "parameters": [
            {"$ref": f"#/components/parameters/{names[id(parameter)][1]}"}
            for parameter in route.parameters
        ],
        "responses": {
            "200": {"description": route.about, "content": _content(route)},
            **{
                str(status): {"$ref": f"#/components/responses/{_name(status)}"}
                for status in _STATUSES
            },
        },
    }


def _content(route: Route) -> Mapping[str, Any]:
    if not route.answers:
        return {"text/event-stream": {"schema": {"type": "string"}}}
    refs = [{"$ref": _SCHEMA.format(name=kind.__name__)} for kind in route.answers]
    content = {"application/json": {"schema": refs[0] if len(refs) == 1 else {"oneOf": refs}}}
    return content | ({"text/csv": {"schema": {"type": "string"}}} if route.has_csv else {})


def _problem(status: int) -> Mapping[str, Any]:
    schema = {"$ref": _SCHEMA.format(name=Problem.__name__)}
    return {"description": TITLES[status], "content": {CONTENT_TYPE: {"schema": schema}}}


def _name(status: int) -> str:
    return f"Problem{status}"
