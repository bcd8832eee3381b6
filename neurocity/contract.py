"""Rays in, light out: the one contract between models, artefacts, engines and the gateway.

Every family in eval mode, and every artefact exported from it, computes

    forward(ray_origins [R, 3], ray_directions [R, 3]) -> rgb [R, 3], depth [R], opacity [R]

in float32 and in scene coordinates (world coordinates minus `SceneInfo.origin`), with R dynamic:

- `ray_directions` are unit length;
- a family that renders cones (`needs_ray_radii`) takes `ray_radii` [R, 1] as a third input, the cones' radii
  at unit distance. A radius that is not positive stands for the mean of the training cameras';
- `rgb` is accumulated radiance without background, sRGB-encoded; the caller adds (1 - opacity) * background;
- `depth` is the expected distance along the ray, sum(w t) / max(opacity, 1e-6);
- `opacity` is sum(w), in [0, 1];
- the value of a ray never depends on the other rays of the batch.

`SceneManifest` is the record that travels with an artefact (beside it as `manifest.json`, inside ONNX
metadata and TorchScript extra files, and in the parameters of Triton's `config.pbtxt`).

Standard library only: this module is imported by the serving process, which has no torch.
"""

import hashlib
import json
import types
import typing
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from neurocity.contract_checks import (
    require_box,
    require_colour,
    require_finite,
    require_least,
    require_pose,
    require_positive,
    require_unit,
)
from neurocity.errors import ManifestError

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
MANIFEST_KEY = "neurocity.manifest"
"""The key under which the manifest stands in ONNX metadata, TorchScript extra files and Triton parameters."""

RAY_ORIGINS = "ray_origins"
RAY_DIRECTIONS = "ray_directions"
RAY_RADII = "ray_radii"
RGB = "rgb"
DEPTH = "depth"
OPACITY = "opacity"

DEPTH_EPSILON = 1e-6
"""Lower bound of the opacity that depth is divided by."""

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Name, element type and shape of a graph input or output; `rays` stands for the dynamic axis."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {list(self.shape)}"


RAY_INPUTS = (
    TensorSpec(name=RAY_ORIGINS, dtype="float32", shape=("rays", 3)),
    TensorSpec(name=RAY_DIRECTIONS, dtype="float32", shape=("rays", 3)),
)
RAY_RADII_INPUT = TensorSpec(name=RAY_RADII, dtype="float32", shape=("rays", 1))
RENDER_OUTPUTS = (
    TensorSpec(name=RGB, dtype="float32", shape=("rays", 3)),
    TensorSpec(name=DEPTH, dtype="float32", shape=("rays",)),
    TensorSpec(name=OPACITY, dtype="float32", shape=("rays",)),
)


def ray_inputs(needs_ray_radii: bool) -> tuple[TensorSpec, ...]:
    """The inputs of a render graph, with `ray_radii` behind the others where the family renders cones."""
    return (*RAY_INPUTS, RAY_RADII_INPUT) if needs_ray_radii else RAY_INPUTS


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A posed pinhole view: camera-to-world 4x4 (OpenGL axes, row-major rows) and intrinsics in pixels."""

    name: str
    camera_to_world: tuple[tuple[float, ...], ...]
    width: int
    height: int
    fl_x: float
    fl_y: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        """Raises ManifestError on numbers that are no camera."""
        require_pose("camera_to_world", self.camera_to_world)
        for name in ("width", "height"):
            require_least(name, getattr(self, name), 1)
        for name in ("fl_x", "fl_y"):
            require_positive(name, getattr(self, name))
        require_finite("cx, cy", (self.cx, self.cy), 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneInfo:
    """What a consumer must know of a scene beside its rays; travels in checkpoint and manifest.

    Bounds and views are in scene coordinates, as the rays of the graph; `neurocity.world` converts.

    bounds: axis-aligned box (x0, y0, z0, x1, y1, z1) of the content.
    up: unit vector that points to the sky.
    background: sRGB colour in [0, 1] that the training images were composited on, or None when the scene
        models its own surroundings (opacity 1 everywhere).
    views: held-out views; the parity gate renders them and the viewer starts at the first.
    dataset_fingerprint: SHA-256 over the poses and image bytes that the model was trained on.
    origin: world coordinates of the scene's zero, float64; records without it are of scenes where it is zero.
    """

    bounds: tuple[float, float, float, float, float, float]
    up: tuple[float, float, float]
    background: tuple[float, float, float] | None
    views: tuple[View, ...]
    dataset_fingerprint: str
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        """Raises ManifestError on numbers that are no scene."""
        require_box("bounds", self.bounds)
        require_unit("up", self.up)
        if self.background is not None:
            require_colour("background", self.background)
        require_finite("origin", self.origin, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactFile:
    """A file of a version folder: its path in it (parts joined by `/`), its SHA-256 and its size in bytes."""

    name: str
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        """Raises ManifestError on a size that no file has."""
        require_least("bytes", self.bytes, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenView:
    """A held-out view as the model renders it.

    view: index in `SceneInfo.views`. width, height: pixels of the render, which may be fewer than the view's.
    image: PNG over the scene's background. arrays: rgb, depth and opacity as float32 (.npz), or None.
    """

    view: int
    width: int
    height: int
    image: ArtefactFile
    arrays: ArtefactFile | None = None

    def __post_init__(self) -> None:
        """Raises ManifestError on numbers that are no picture."""
        require_least("view", self.view, 0)
        for name in ("width", "height"):
            require_least(name, getattr(self, name), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """The model's answers that travel with an artefact, so that any host can repeat the proof.

    rays: rays and answers, float32 (.npz), see `export.parity.golden`.
    """

    rays: ArtefactFile
    views: tuple[GoldenView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneManifest:
    """Everything about one exported artefact; `manifest.json` is its JSON form.

    inputs, outputs: of the graph, in the order of its arguments and results.
    sample_budget: what bounds the samples of a ray in the graph (family-specific names); of a fixed budget
        also the measured share of held-out rays that it cuts short, as `truncated_ray_share`.
    tools: versions of the packages that wrote the artefact.
    parity: the measured proof (plain JSON), see `export.parity.gate`.
    files: further files that the artefact consists of; not part of the copy inside the artefact.
    golden: what the model answers, to repeat the proof from; artefacts of old releases have none.
    profile: how fast the artefact is and what it takes (plain JSON), see `export.speed.profile`; empty when
        it was not measured.
    engine: the file that was built from the artefact for one library and its devices (plain JSON: file,
        sha256, bytes, library, rays, ...), empty when there is none.
    rays_per_call: the recommended number of rays in one call.
    camera_axes, pixel_center, depth_kind: the conventions of the cameras that rays are made of, and of depth.
    options: what else the export was asked for, as plain JSON; not part of the copy inside the artefact.
    """

    scene: str
    version: int
    family: str
    format: str
    precision: str
    checkpoint_sha256: str
    artefact: ArtefactFile
    info: SceneInfo
    inputs: tuple[TensorSpec, ...] = RAY_INPUTS
    outputs: tuple[TensorSpec, ...] = RENDER_OUTPUTS
    sample_budget: dict[str, float] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    files: tuple[ArtefactFile, ...] = ()
    golden: Golden | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    rays_per_call: int = 4096
    camera_axes: str = "opengl"
    pixel_center: float = 0.5
    depth_kind: str = "distance"
    created: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Raises ManifestError on conventions that no reader of this release knows, and on wrong numbers."""
        for name, known in (("camera_axes", "opengl"), ("pixel_center", 0.5), ("depth_kind", "distance")):
            if getattr(self, name) != known:
                raise ManifestError(f"{name}: got {getattr(self, name)!r}, this release reads {known!r}")
        require_least("version", self.version, 1)
        require_least("rays_per_call", self.rays_per_call, 1)
        for name, value in self.sample_budget.items():
            require_least(f"sample_budget.{name}", value, 0)
        for name, kind in (("file", str), ("sha256", str), ("bytes", int)) if self.engine else ():
            if not isinstance(got := self.engine.get(name), kind):
                raise ManifestError(f"engine.{name}: got {got!r}, expected {kind.__name__}")

    @property
    def model_name(self) -> str:
        """The folder and Triton model name, see the function of that name."""
        return model_name(self.scene, self.format, self.precision)

    @property
    def bytes(self) -> int:
        """Of all files of the artefact."""
        return sum(file.bytes for file in (self.artefact, *self.files))

    @property
    def takes_ray_radii(self) -> bool:
        """Whether the graph wants `ray_radii` behind origins and directions."""
        return RAY_RADII_INPUT in self.inputs


def model_name(scene: str, format_name: str, precision: str) -> str:
    """The folder and Triton model name: `<scene>_<format>`, with `_<precision>` behind unless it is fp32."""
    return f"{scene}_{format_name}" + ("" if precision == "fp32" else f"_{precision}")


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of the bytes of a file. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_record(name: str, content: bytes) -> ArtefactFile:
    """The record of a file with that content."""
    return ArtefactFile(name=name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def to_json(record: Any) -> str:
    """A contract dataclass as JSON text with sorted keys: equal records give equal bytes."""
    return json.dumps(asdict(record), indent=2, sort_keys=True)


def to_dict(record: Any) -> dict[str, Any]:
    """A contract dataclass as plain JSON data: dicts, lists, numbers, strings, None."""
    data: dict[str, Any] = json.loads(to_json(record))
    return data


def scene_info_from_dict(data: Any) -> SceneInfo:
    """Inverse of `to_dict` for `SceneInfo`. Raises ManifestError with the path of the wrong field."""
    info: SceneInfo = build_record(SceneInfo, data, "scene")
    return info


def manifest_from_json(text: str, source: str = MANIFEST_FILE) -> SceneManifest:
    """Inverse of `to_json` for `SceneManifest`; raises as `record_from_json`."""
    return record_from_json(SceneManifest, text, source, "export the checkpoint again")


def record_from_json(kind: type[Record], text: str, source: str, remedy: str) -> Record:
    """Inverse of `to_json` for a record with a `schema_version`, whose default is the one that is read.

    remedy: what makes a file of this release. Raises ManifestError, naming `source` and the field, on
    malformed JSON, missing, unknown or mistyped fields, and on another schema version.
    """
    try:
        data = json.loads(text, parse_int=_whole_number)
    except (ValueError, OverflowError) as error:
        raise ManifestError(f"{source}: not valid JSON ({error})") from None
    except RecursionError:
        raise ManifestError(f"{source}: not valid JSON (nested too deeply)") from None
    if not isinstance(data, dict):
        raise ManifestError(f"{source}: got a JSON {type(data).__name__}, expected an object")
    version = data.get("schema_version")
    known = next(each.default for each in fields(kind) if each.name == "schema_version")  # type: ignore[arg-type]
    if version != known:
        raise ManifestError(
            f"{source}: schema_version is {version!r}, this release reads {known}; {remedy} or update "
            "neurocity"
        )
    record: Record = build_record(kind, data, source)
    return record


def _whole_number(digits: str) -> int:
    """Raises OverflowError on more than a float can hold: nothing in a manifest is that large."""
    number = int(digits)
    float(number)
    return number


def build_record(kind: Any, value: Any, path: str) -> Any:
    """`value` (plain JSON data) as an instance of the annotation `kind`; JSON lists become tuples.

    Raises ManifestError with the path of the wrong field, which begins with `path`.
    """
    if is_dataclass(kind):
        return _build_dataclass(kind, value, path)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _build_union(arguments, value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise ManifestError(f"{path}: got {value!r}, expected a list")
        if arguments[-1] is Ellipsis:
            arguments = (arguments[0],) * len(value)
        if len(value) != len(arguments):
            raise ManifestError(f"{path}: got {len(value)} values, expected {len(arguments)}")
        return tuple(
            build_record(kind, item, f"{path}[{i}]")
            for i, (kind, item) in enumerate(zip(arguments, value, strict=True))
        )
    if origin is dict:
        if not isinstance(value, dict):
            raise ManifestError(f"{path}: got {value!r}, expected an object")
        return {key: build_record(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ManifestError(f"{path}: got {value!r}, expected {kind.__name__}")
    return value


def _build_dataclass(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise ManifestError(f"{path}: got {value!r}, expected an object")
    hints = typing.get_type_hints(kind)
    if unknown := sorted(set(value) - set(hints)):
        raise ManifestError(f"{path}: unknown field {unknown[0]!r}, known: {', '.join(sorted(hints))}")
    built = {key: build_record(hints[key], item, f"{path}.{key}") for key, item in value.items()}
    try:
        return kind(**built)
    except ManifestError as error:
        raise ManifestError(f"{path}.{error}") from None
    except TypeError:
        missing = [item.name for item in fields(kind) if item.name not in value]
        raise ManifestError(f"{path}: missing field among {missing}") from None


def _build_union(arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    errors = []
    for argument in arguments:
        if argument is type(None):
            continue
        try:
            return build_record(argument, value, path)
        except ManifestError as error:
            errors.append(str(error))
    raise ManifestError("; ".join(errors))
