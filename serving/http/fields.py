"""Where a wrong value stands in what the client wrote."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from serving.http.camera_forms import CAMERA_FORMS, Intrinsics, LookAt, Orbit

_UNION_TAGS = frozenset(CAMERA_FORMS.values())
_PARTS: dict[str, type[BaseModel]] = {"intrinsics": Intrinsics, "look_at": LookAt, "orbit": Orbit}


def path_of(location: Sequence[Any]) -> str:
    """A validation error's location without where it came from (body, message, query) and without union tags.

    A parameter is one value: what stands behind its name is a tag of its type.
    """
    inner = location[1:] if location[0] in ("body", "message") else location[1:2]
    parts = [str(part) for part in inner if part not in _UNION_TAGS]
    return ".".join(parts) or str(location[0])


def in_body(name: str, request: BaseModel, camera: BaseModel) -> str:
    """The path of the field that a CameraError calls `name`, in a request with that camera."""
    if name in type(request).model_fields:
        return name
    form = type(camera).model_fields
    if name in form:
        return f"camera.{name}"
    parents = [parent for parent, part in _PARTS.items() if parent in form and name in part.model_fields]
    return f"camera.{parents[0]}.{name}" if parents else "camera"
