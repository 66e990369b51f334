"""The reference of the API in Markdown, from its OpenAPI document: for the page in `docs/` and for `/docs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.errors import ERRORS

from .openapi_errors import STATUSES, codes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_JSON: Final = "application/json"
_ERROR: Final = "#/components/schemas/Error"


class Reference:
    """Endpoints, fields, errors and headers of a document.

    Args:
        document: OpenAPI, its references all into its own components.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._operations = [
            (f"{method.upper()} {path}", operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
        ]

    def lines(self) -> Iterator[str]:
        """The page's lines, without line feeds."""
        yield from ("## Endpoints", "", "| endpoint | what for | key |", "|---|---|---|")
        for name, operation in self._operations:
            key = "where there is a file of keys" if operation["security"] else "never"
            yield f"| `{name}` | {operation['summary']} | {key} |"
        for name, operation in self._operations:
            yield from self._operation(name, operation)
        yield from self._errors()
        yield from self._headers()

    def _operation(self, name: str, operation: dict[str, Any]) -> Iterator[str]:
        yield from ("", f"## {name}", "", operation["description"])
        body = operation.get("requestBody")
        if body is not None:
            yield from ("", "Request:", "", *self._fields(body["content"][_JSON]["schema"], with_defaults=True))
        parameters = [self._resolved(one) for one in operation["parameters"]]
        if body is not None or any(one["in"] == "path" for one in parameters):
            yield from ("", "| parameter | in | type | meaning |", "|---|---|---|---|")
            for one in parameters:
                yield f"| `{one['name']}` | {one['in']} | {self._type(one['schema'])} | {one['description']} |"
        yield from self._responses(operation["responses"])

    def _responses(self, responses: dict[str, Any]) -> Iterator[str]:
        content = self._resolved(responses["200"])["content"]
        if _JSON in content:
            yield from ("", "Response:", "", *self._fields(content[_JSON]["schema"]))
        else:
            yield from ("", f"Response: {' or '.join(f'`{kind}`' for kind in content)}.")
        told = []
        for status in sorted(set(responses) - {"200"}):
            response = self._resolved(responses[status])
            if response["content"][_JSON]["schema"]["$ref"] == _ERROR:
                told.append(f"{status} {', '.join(f'`{code}`' for code in codes_of(int(status)))}")
            else:
                yield from ("", f"The same body with {status}: {response['description']}")
        yield from ("", f"[Errors](#errors): {'; '.join(told)}.")

    def _errors(self) -> Iterator[str]:
        yield from ("", "## Errors", "", self._document["info"]["description"], "")
        yield from self._fields({"$ref": _ERROR})
        yield from ("", "| status | `error.code` | `error.type` | when | headers |", "|---|---|---|---|---|")
        for status in STATUSES:
            headers = self._document["components"]["responses"][f"Error{status}"]["headers"]
            own = [name for name in headers if not name.startswith("x-")]
            for code, when in codes_of(status).items():
                told = ", ".join(f"`{name}`" for name in own if name != "retry-after" or _may_be_retried(code))
                yield f"| {status} | `{code}` | `{ERRORS[code].type}` | {when} | {told} |"

    def _headers(self) -> Iterator[str]:
        yield from ("", "## Response headers", "", "| header | type | meaning |", "|---|---|---|")
        for name, header in self._document["components"]["headers"].items():
            yield f"| `{name}` | {self._type(header['schema'])} | {header['description']} |"

    # --- schemas ----------------------------------------------------------------------------------------

    def _fields(self, schema: dict[str, Any], *, with_defaults: bool = False) -> Iterator[str]:
        default = (" default |", "---|") if with_defaults else ("", "")
        yield from (f"| field | type |{default[0]} meaning |", f"|---|---|{default[1]}---|")
        yield from self._rows(self._resolved(schema), "", with_defaults)

    def _rows(self, schema: dict[str, Any], prefix: str, with_defaults: bool) -> Iterator[str]:
        for name, field in schema.get("properties", {}).items():
            inner = self._resolved(field.get("items", field))
            default = f" {_default(field, name in schema.get('required', ()))} |" if with_defaults else ""
            meaning = field.get("description", inner.get("description", "") if "properties" in inner else "")
            yield f"| `{prefix}{name}` | {self._type(field)} |{default} {meaning} |"
            yield from self._rows(inner, f"{prefix}{name}{'[]' if 'items' in field else ''}.", with_defaults)

    def _type(self, schema: dict[str, Any]) -> str:
        schema = self._resolved(schema)
        if "anyOf" in schema:
            return (" or " if len(schema["anyOf"]) == 2 else "; ").join(map(self._type, schema["anyOf"]))
        if "const" in schema or "enum" in schema:
            values = ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
            return f"always {values}" if "const" in schema else values
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if kinds == ["array"]:
            return f"list{_count(schema, 'Items', '')} of {self._type(schema['items'])}"
        bounds = _count(schema, "Length", " characters") or _range(schema)
        return " or ".join(kinds) + bounds

    def _resolved(self, part: dict[str, Any]) -> dict[str, Any]:
        found: Any = part
        if "$ref" in part:
            found = self._document
            for name in part["$ref"].removeprefix("#/").split("/"):
                found = found[name]
        return {**found, **{name: value for name, value in part.items() if name != "$ref"}}


def _may_be_retried(code: Any) -> bool:
    return ERRORS[code].retry_after_seconds is not None


def _default(field: dict[str, Any], required: bool) -> str:
    if required:
        return "required"
    return "none" if field.get("default") is None else f"`{field['default']}`"


def _count(schema: dict[str, Any], what: str, unit: str) -> str:
    """How long or how many, where it is bounded."""
    least, most = schema.get(f"min{what}"), schema.get(f"max{what}")
    if most is not None:
        return f" ({least or 0} to {most}{unit})"
    return " (not empty)" if least else ""


def _range(schema: dict[str, Any]) -> str:
    least, most, above = (schema.get(name) for name in ("minimum", "maximum", "exclusiveMinimum"))
    if above is not None:
        return f" (> {above})"
    if least is None:
        return ""
    return f" (≥ {least})" if most is None else f" ({least} to {most})"
