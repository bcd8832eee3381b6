"""Requests of all kinds of wrongness, and which statuses are right answers to them."""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote

SCENE = "sphere"
RENDER = f"/v1/scenes/{SCENE}/render"
LINK = f"{RENDER}.png?eye=3,-2.5,2&target=0,0,0.4&width=8&height=6"
VALID: dict[str, Any] = {
    "camera": {"look_at": {"eye": [3, -2.5, 2], "target": [0, 0, 0.4]}, "fov_y_degrees": 45},
    "width": 8,
    "height": 6,
}
EXTREMES = (0.0, -0.0, 1.0, -1.0, 5e-324, 1e-300, 1e-38, 1e-7, 1e7, 1e9, -1e9, 1e10, 1e38, 1e308, 3.5)
WORDS = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "null",
    "true",
    "0x10",
    "1_0",
    "\u0661",
    "3,-2.5,2",
    "0,0,0",
    "8",
)
WORDS += (
    ",,",
    "#zzzzzz",
    "ffcc00",
    "scene",
    "rgb",
    "depth",
    "..",
    "\0",
    "\r\nA: b",
    "\xff",
    "9" * 400,
    "%",
    "8" * 9,
)
PARAMETERS = ("eye", "target", "up", "fov", "width", "height", "output", "background", "quality", "other", "")
SEGMENTS = (
    "",
    ".",
    "..",
    "v1",
    "scenes",
    SCENE,
    "render",
    "render.png",
    "render.gif",
    "livez",
    "readyz",
    "docs",
)
SEGMENTS += (
    "viewer.js",
    "openapi.json",
    "\0",
    "\r\nSet-Cookie: a=b",
    "\xff\xfe",
    "a" * 3000,
    "%00",
    "etc/passwd",
)
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO", "get", "A" * 300)
HEADERS = (
    "X-Request-Timeout",
    "X-Request-ID",
    "If-None-Match",
    "Range",
    "Accept",
    "Accept-Encoding",
    "Cookie",
)
HEADERS += (
    "X-Forwarded-For",
    "Authorization",
    "X-API-Key",
    "Sec-Fetch-Site",
    "Forwarded",
    "If-Modified-Since",
)
VALUES = (
    "",
    "0",
    "-1",
    "1e-9",
    "nan",
    "inf",
    "5",
    "*",
    'W/"a"',
    '"' * 50,
    "bytes=0-5",
    "bytes=5-1",
    "gzip;q=0",
)
VALUES += (
    "\xff" * 20,
    "a" * 5000,
    "Bearer ",
    "cross-site",
    "same-origin",
    "127.0.0.1",
    "for=unknown",
    "null",
)


class Fuzzed(NamedTuple):
    """Bytes of a request, and the statuses that are right. head: whether it asks for the head alone."""

    kind: str
    data: bytes
    right: frozenset[int]
    head: bool = False


def fuzzed(dice: Random) -> Iterator[Fuzzed]:
    """Requests without end; those of a kind that costs waiting are few."""
    kinds: list[Callable[[Random], Fuzzed]] = [numbers, broken_json, query, path, headers] * 3 + [framing]
    while True:
        yield dice.choice(kinds)(dice)


def numbers(dice: Random) -> Fuzzed:
    """A well-formed body whose numbers are extreme."""
    fov = dice.choice([50.0, 1e-300, 5e-324, 179.999999999, 180.0, 0.0, _number(dice)])
    camera: dict[str, Any] = dice.choice(
        [
            {"look_at": {name: _numbers(dice) for name in ("eye", "target", "up")[: dice.choice([2, 3])]}},
            {
                "orbit": {
                    "azimuth": _number(dice),
                    "elevation": dice.choice([90, -90, 89.9999999, _number(dice)]),
                    "radius": abs(_number(dice)),
                    "target": _numbers(dice),
                }
            },
            {"camera_to_world": [[*_numbers(dice), 0.0] for _ in range(3)], "convention": "opencv"},
            {
                "camera_to_world": [[1 + 1e-7, 0, 0, _number(dice)], [0, 1, 0, 0], [0, 0, 1, _number(dice)]],
                "convention": "opengl",
            },
        ]
    )
    if "camera_to_world" in camera and dice.random() < 0.5:
        camera["intrinsics"] = dict(zip(("fl_x", "fl_y", "cx", "cy"), _numbers(dice, 4), strict=True))
    else:
        camera["fov_y_degrees"] = fov
    body = {
        "camera": camera,
        "width": dice.choice([1, 2, 8, 16, 16, 0, 2**31, 10**30]),
        "height": dice.choice([1, 3, 8, 8, 8, 2**63]),
        "output": dice.choice(["rgb", "depth", "opacity"]),
        "format": dice.choice(["png", "jpeg", "webp", "npy"]),
    }
    return Fuzzed("numbers", _post(json.dumps(body).encode()), frozenset({200, 422}))


def broken_json(dice: Random) -> Fuzzed:
    """A body with some bytes changed: 400 where Python cannot read it either."""
    body = _mutated(dice, json.dumps(VALID).encode())
    if dice.random() < 0.1:
        opened = dice.choice([b"[", b'{"camera":'])
        body = opened * dice.randint(1, 60_000 // len(opened))
    try:
        json.loads(body)
        right = {200, 422}
    except RecursionError:
        right = {400}
    except ValueError:
        right = {400} if body else {422}
    return Fuzzed("broken JSON", _post(body), frozenset(right))


def query(dice: Random) -> Fuzzed:
    """A link with words in the wrong places."""
    wrong = [(dice.choice(PARAMETERS), dice.choice(WORDS)) for _ in range(dice.choice([1, 1, 2, 200]))]
    words = "&".join(f"{quote(name)}={quote(word)}" for name, word in wrong)
    extension = dice.choice(["png", "jpg", "webp", "npy", "gif", "png/"])
    asked = f"{RENDER}.{extension}?{dice.choice([LINK.partition('?')[2] + '&', ''])}{words}"
    return Fuzzed("query", _request("GET", asked), frozenset({200, 404, 422}))


def path(dice: Random) -> Fuzzed:
    """A place that is not there, or is not to be reached, by any method."""
    method = dice.choice(METHODS)
    parts = [quote(dice.choice(SEGMENTS), safe=dice.choice(["", "./%"])) for _ in range(dice.randint(1, 6))]
    right = {200, 404, 405} | ({400, 415, 422} if method == "POST" else set())
    return Fuzzed("path", _request(method, "/" + "/".join(parts)), frozenset(right))


def headers(dice: Random) -> Fuzzed:
    """A picture, with headers that say anything."""
    said = [f"{dice.choice(HEADERS)}: {dice.choice(VALUES)}" for _ in range(dice.choice([1, 3, 40]))]
    method = dice.choice(["GET", "HEAD"])
    right = frozenset({200, 304, 403, 422, 504})
    return Fuzzed("headers", _request(method, LINK, *said), right, head=method == "HEAD")


def framing(dice: Random) -> Fuzzed:
    """Bytes that are almost HTTP. What promises more than comes is answered by 408, or by nothing."""
    whole = dice.choice([_request("GET", LINK), _post(json.dumps(VALID).encode())])
    right = {0, 200, 400, 404, 405, 408, 413, 415, 422}
    return Fuzzed("framing", _mutated(dice, whole), frozenset(right))


def _number(dice: Random) -> float:
    return dice.choice(EXTREMES) if dice.random() < 0.4 else dice.uniform(-10, 10) * 10 ** dice.randint(-6, 8)


def _numbers(dice: Random, count: int = 3) -> list[float]:
    return [_number(dice) for _ in range(count)]


def _mutated(dice: Random, data: bytes) -> bytes:
    """The bytes with a few of them changed, left out, doubled or put in."""
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 5, 20])):
        at = dice.randrange(len(changed) or 1)
        end = at + dice.choice([1, 1, 3, 30])
        new = dice.choice(
            [b"", dice.randbytes(1), dice.randbytes(4), bytes(changed[at:end]) * 2, b"\r\n", b'"']
        )
        changed[at:end] = new
    return bytes(changed)


def _request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _post(body: bytes) -> bytes:
    said = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    return _request("POST", RENDER, *said, body=body)
