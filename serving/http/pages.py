"""What a browser opens: the viewer at `/` and the description of the API at `/docs`.

Everything comes from this package: no page loads anything from another host, and the Content-Security-Policy
forbids it to.
"""

import html
import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from neurocity.viewer.files import FOLDER, shared_names
from serving.settings import CrossOriginPolicy

VIEWER_FOLDER = Path(__file__).parents[1] / "viewer"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'"
)
"""Of pages. A worker that decodes scenes is made of the page's own script."""


def page_headers(cross_origin: CrossOriginPolicy) -> dict[str, str]:
    """The headers of a page; whose pages may embed it follows whose may embed pictures.

    A policy of contents knows no sites, so that `same-site` embeds pictures and no pages.
    """
    ancestors = "*" if cross_origin == "cross-origin" else "'self'"
    return {
        "Content-Security-Policy": f"{_POLICY}; frame-ancestors {ancestors}",
        "Referrer-Policy": "no-referrer",
    }


def viewer_routes(
    folder: Path = VIEWER_FOLDER, cross_origin: CrossOriginPolicy = "same-origin"
) -> list[Route]:
    """One route a file of the viewer, and one for `/`, its index.html; with the files that all pages share.

    A route a file and not a mount: a mount at `/` would swallow wrong methods and paths of the API.
    """

    def route(path: str, file: str, files: StaticFiles) -> Route:
        async def serve(request: Request) -> Response:
            response = await files.get_response(file, request.scope)
            response.headers.update(page_headers(cross_origin))
            response.headers["Cache-Control"] = "no-cache"
            return response

        return Route(path, serve, methods=["GET"], include_in_schema=False)

    own, shared = StaticFiles(directory=folder), StaticFiles(directory=FOLDER)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    pages = [route("/", "index.html", own)] if "index.html" in names else []
    return [
        *pages,
        *(route(f"/{name}", name, own) for name in names),
        *(route(f"/{name}", name, shared) for name in shared_names()),
    ]


def docs_route(app: FastAPI) -> Route:
    """`/docs`: the OpenAPI description of `app` as one plain page."""

    async def docs(_: Request) -> HTMLResponse:
        headers = {
            **page_headers("same-origin"),
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'self'",
        }
        return HTMLResponse(render_docs(app.openapi()), headers=headers)

    return Route("/docs", docs, methods=["GET"], include_in_schema=False)


def render_docs(description: dict[str, Any]) -> str:
    """An OpenAPI description as HTML: what every operation takes, with examples and its answers."""
    info = description["info"]
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        f"<title>{html.escape(info['title'])}</title>",
        f"<h1>{html.escape(info['title'])} {html.escape(info['version'])}</h1>",
        f"<p>{html.escape(info['description'])} Machines read <a href='openapi.json'>openapi.json</a>.</p>",
    ]
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            parts.append(f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>")
            parts.append(f"<p>{html.escape(operation.get('description', operation['summary']))}</p>")
            parts += _parameters(operation.get("parameters", []))
            parts += _body(operation.get("requestBody"))
            answers = (
                f"{status} {answer['description']}" for status, answer in operation["responses"].items()
            )
            parts.append(f"<p>Answers: {html.escape(' · '.join(answers))}</p>")
    for name, schema in sorted(description["components"]["schemas"].items()):
        parts.append(f"<h3 id='{name}'>{html.escape(name)}</h3>{_json(schema)}")
    return "\n".join(parts)


def _parameters(parameters: list[dict[str, Any]]) -> list[str]:
    rows = []
    for item in parameters:
        schema = item["schema"]
        default = f"default {schema['default']}" if "default" in schema else ""
        if item["required"]:
            default = "required"
        cells = (item["name"], item["in"], default, item.get("description", schema.get("description", "")))
        rows.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in cells))
    return ["<table>", *rows, "</table>"] if rows else []


def _body(body: dict[str, Any] | None) -> list[str]:
    if body is None:
        return []
    ((media_type, content),) = body["content"].items()
    name = content["schema"]["$ref"].rpartition("/")[2]
    examples = [
        f"<p>Example, {html.escape(title)}:</p>{_json(example['value'])}"
        for title, example in content.get("examples", {}).items()
    ]
    return [f"<p>Body: {html.escape(media_type)}, <a href='#{name}'>{name}</a></p>", *examples]


def _json(value: Any) -> str:
    return f"<pre>{html.escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"
