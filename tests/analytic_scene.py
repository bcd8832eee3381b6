"""A scene with a known answer: a translucent sphere off the world's centre, coloured by its normals.

Red, green and blue grow with the x, y and z of the normal, so that a flipped, swapped or rotated image axis
changes colours. The same few formulas stand here as a numpy oracle, as an ONNX graph and as TorchScript; all
three take rays and give rgb, depth and opacity as the contract says, and `write_repository` puts the graphs
where engines look for them.

A second variant, `cones=True`, also takes `ray_radii`: the wider a ray's cone, the more translucent is the
sphere.
"""

import hashlib
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from export.formats.native import FORMAT as NATIVE
from export.formats.registry import get_format
from neurocity.cameras import Camera
from neurocity.contract import (
    MANIFEST_FILE,
    RENDER_OUTPUTS,
    ArtefactFile,
    SceneInfo,
    SceneManifest,
    TensorSpec,
    manifest_from_json,
    model_name,
    ray_inputs,
    to_json,
)
from neurocity.kernels.scene import SceneData
from neurocity.poses import look_at

SCENE = "sphere"
CHECKPOINT = "0" * 64
CENTER = (0.3, -0.2, 0.5)
RADIUS = 1.0
ALPHA = 0.75
"""Opacity of the sphere; 0 outside."""
MEAN_RADIUS = 0.02
"""Of the cones, in place of radii that are not positive."""
THINNING = 10.0
"""The sphere's opacity is divided by 1 + THINNING * radius."""
BACKGROUND = (0.2, 0.4, 0.6)
UP = (0.0, 0.0, 1.0)
RAYS_PER_CALL = 100
"""Small, so that small images need several calls and a remainder."""

EYE = (3.0, -2.5, 2.0)
TARGET = (0.0, 0.0, 0.4)
FILE_NAMES = {
    "aotinductor": "model.pt2",
    "native": "model.safetensors",
    "onnx": "model.onnx",
    "torchscript": "model.pt",
}


def camera(width: int = 24, height: int = 16, fov_y_degrees: float = 45.0) -> Camera:
    """A view in which the sphere is off the middle and does not touch the border."""
    return Camera.from_fov_y(look_at(EYE, TARGET, UP), width, height, fov_y_degrees)


def render(
    ray_origins: np.ndarray, ray_directions: np.ndarray, ray_radii: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The oracle: rgb [R, 3] without background, depth [R] and opacity [R], computed in float64."""
    from_center = ray_origins.astype(np.float64) - CENTER
    along = (from_center * ray_directions).sum(-1)
    discriminant = along**2 - (from_center**2).sum(-1) + RADIUS**2
    distance = -along - np.sqrt(np.maximum(discriminant, 0.0))
    hit = (discriminant > 0) & (distance > 0)
    normal = (from_center + distance[:, None] * ray_directions) / RADIUS
    opacity = np.where(hit, ALPHA, 0.0)
    if ray_radii is not None:
        radii = ray_radii[:, 0].astype(np.float64)
        opacity = opacity / (1 + THINNING * np.where(radii > 0, radii, MEAN_RADIUS))
    return (0.5 + 0.5 * normal) * opacity[:, None], np.where(hit, distance, 0.0), opacity


def write_onnx(path: Path, *, cones: bool = False, rgb_scale: float = 1.0, idle_loops: int = 0) -> None:
    """The same as an ONNX graph.

    For tests of failures: `rgb_scale` NaN makes its output no render, `idle_loops` makes it slow.
    """
    constants = {
        "center": np.float32(CENTER),
        "radius_squared": np.float32(RADIUS**2),
        "radius": np.float32(RADIUS),
        "alpha": np.float32(ALPHA),
        "zero": np.float32(0.0),
        "half": np.float32(0.5),
        "one": np.float32(1.0),
        "mean_radius": np.float32(MEAN_RADIUS),
        "thinning": np.float32(THINNING),
        "rgb_scale": np.float32(rgb_scale),
        "last_axis": np.int64([1]),
        "idle_loops": np.int64(idle_loops),
        "true": np.bool_(True),
    }
    thinned = [
        ("Greater", ["ray_radii", "zero"], "given"),
        ("Where", ["given", "ray_radii", "mean_radius"], "radius_column"),
        ("Mul", ["radius_column", "thinning"], "thinner"),
        ("Add", ["thinner", "one"], "divisor"),
        ("Div", ["alpha", "divisor"], "sphere_opacity"),
    ]
    steps = [
        *(thinned if cones else [("Identity", ["alpha"], "sphere_opacity")]),
        ("Sub", ["ray_origins", "center"], "from_center"),
        ("Mul", ["from_center", "ray_directions"], "along_parts"),
        ("ReduceSum", ["along_parts", "last_axis"], "along"),
        ("Mul", ["along", "along"], "along_squared"),
        ("Mul", ["from_center", "from_center"], "from_center_parts"),
        ("ReduceSum", ["from_center_parts", "last_axis"], "from_center_squared"),
        ("Sub", ["along_squared", "from_center_squared"], "difference"),
        ("Add", ["difference", "radius_squared"], "discriminant"),
        ("Max", ["discriminant", "zero"], "not_negative"),
        ("Sqrt", ["not_negative"], "half_chord"),
        ("Neg", ["along"], "closest"),
        ("Sub", ["closest", "half_chord"], "distance"),
        ("Greater", ["discriminant", "zero"], "crosses"),
        ("Greater", ["distance", "zero"], "ahead"),
        ("And", ["crosses", "ahead"], "hit"),
        ("Where", ["hit", "sphere_opacity", "zero"], "opacity_column"),
        ("Where", ["hit", "distance", "zero"], "depth_column"),
        ("Mul", ["distance", "ray_directions"], "advance"),
        ("Add", ["from_center", "advance"], "surface"),
        ("Div", ["surface", "radius"], "normal"),
        ("Mul", ["normal", "half"], "half_normal"),
        ("Add", ["half_normal", "half"], "colour"),
        ("Mul", ["colour", "idle_factor"], "idle_colour"),
        ("Mul", ["idle_colour", "rgb_scale"], "scaled_colour"),
        ("Mul", ["scaled_colour", "opacity_column"], "rgb"),
        ("Squeeze", ["depth_column", "last_axis"], "depth"),
        ("Squeeze", ["opacity_column", "last_axis"], "opacity"),
    ]
    used = {"idle_loops", "true", "one", *(name for _, inputs, _ in steps for name in inputs)}
    idle = helper.make_node("Loop", ["idle_loops", "true", "one"], ["idle_factor"], body=_idle_loop())
    graph = helper.make_graph(
        [idle, *(helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps)],
        "sphere",
        [_value_info(spec) for spec in ray_inputs(cones)],
        [_value_info(spec) for spec in RENDER_OUTPUTS],
        [
            onnx.numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
            if name in used
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


class Sphere(torch.nn.Module):
    """The same as a PyTorch module."""

    def __init__(self, rgb_scale: float = 1.0) -> None:
        super().__init__()
        self.rgb_scale = rgb_scale

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """rgb [R, 3], depth [R], opacity [R]."""
        from_center = torch.cat([ray_origins[:, axis, None] - CENTER[axis] for axis in range(3)], 1)
        along = (from_center * ray_directions).sum(-1)
        discriminant = along**2 - (from_center**2).sum(-1) + RADIUS**2
        distance = -along - discriminant.clamp(min=0.0).sqrt()
        hit = (discriminant > 0) & (distance > 0)
        normal = (from_center + distance[:, None] * ray_directions) / RADIUS
        opacity = ALPHA * hit.float()
        rgb = (0.5 + 0.5 * normal) * opacity[:, None] * self.rgb_scale
        return rgb, torch.where(hit, distance, 0.0), opacity


class ConeSphere(Sphere):
    """The variant that takes radii as a PyTorch module."""

    def forward(  # type: ignore[override]
        self, ray_origins: Tensor, ray_directions: Tensor, ray_radii: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """rgb [R, 3], depth [R], opacity [R]."""
        rgb, depth, opacity = super().forward(ray_origins, ray_directions)
        divisor = 1 + THINNING * torch.where(ray_radii > 0, ray_radii, MEAN_RADIUS)
        return rgb / divisor, depth, opacity / divisor[:, 0]


def write_torchscript(path: Path, *, cones: bool = False, rgb_scale: float = 1.0) -> None:
    """The same as a TorchScript archive; `rgb_scale` as in `write_onnx`."""
    rays = (torch.zeros(2, 3), torch.ones(2, 3), torch.ones(2, 1))
    model = ConeSphere(rgb_scale) if cones else Sphere(rgb_scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated, and still served
        torch.jit.trace(model, rays[: len(ray_inputs(cones))]).save(path)


def write_aotinductor(path: Path) -> None:
    """The same as an AOTInductor package."""
    path.write_bytes(get_format("aotinductor").encode(Sphere().eval(), "{}"))


class NativeSphere(torch.nn.Module):
    """What `toy_kernels.SphereScene` renders."""

    def __init__(self, rgb_scale: float, parts: int) -> None:
        super().__init__()
        self.rgb_scale, self.parts = np.float32([rgb_scale]), parts

    def scene_data(self) -> SceneData:
        """The sphere as a kind of scene."""
        return SceneData("sphere", {"rgb_scale": self.rgb_scale}, {"parts": self.parts})


def write_native(path: Path, *, cones: bool = False, rgb_scale: float = 1.0, parts: int = 0) -> None:
    """The same as a native scene, which takes so many parts; `rgb_scale` as in `write_onnx`."""
    path.write_bytes(NATIVE.encode(NativeSphere(rgb_scale, parts), "{}", ray_inputs(cones)))


WRITERS = {
    "aotinductor": write_aotinductor,
    "native": write_native,
    "onnx": write_onnx,
    "torchscript": write_torchscript,
}


def manifest(
    format_name: str,
    artefact: bytes,
    *,
    scene: str = SCENE,
    version: int = 1,
    precision: str = "fp32",
    cones: bool = False,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> SceneManifest:
    """The record of an artefact with those bytes."""
    return SceneManifest(
        scene=scene,
        version=version,
        family="analytic",
        format=format_name,
        precision=precision,
        checkpoint_sha256=CHECKPOINT,
        artefact=ArtefactFile(
            name=FILE_NAMES[format_name], sha256=hashlib.sha256(artefact).hexdigest(), bytes=len(artefact)
        ),
        info=SceneInfo(
            bounds=(-1.0, -1.5, -1.0, 1.5, 1.0, 2.0),
            up=UP,
            background=BACKGROUND,
            views=(camera().to_view("start"),),
            dataset_fingerprint="0" * 64,
            origin=origin,
        ),
        inputs=ray_inputs(cones),
        rays_per_call=RAYS_PER_CALL,
        parity={"device": "cpu"},
    )


def write_repository(
    repository: Path,
    *formats: str,
    scene: str = SCENE,
    version: int = 1,
    precision: str = "fp32",
    cones: bool = False,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    **options: float,
) -> Path:
    """Put the scene into a model repository, once a format, as the exporter would; returns the repository.

    options: of the formats' writers.
    """
    if cones:
        options["cones"] = True
    for format_name in formats:
        folder = repository / model_name(scene, format_name, precision) / str(version)
        folder.mkdir(parents=True)
        path = folder / FILE_NAMES[format_name]
        WRITERS[format_name](path, **options)
        record = manifest(
            format_name,
            path.read_bytes(),
            scene=scene,
            version=version,
            precision=precision,
            cones=cones,
            origin=origin,
        )
        (folder / MANIFEST_FILE).write_text(to_json(record))
    return repository


def change_artefact(version_folder: Path, content: bytes) -> None:
    """Put another file in the artefact's place, and let the manifest say so."""
    file = version_folder / MANIFEST_FILE
    record = manifest_from_json(file.read_text())
    (version_folder / record.artefact.name).write_bytes(content)
    artefact = replace(record.artefact, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    file.write_text(to_json(replace(record, artefact=artefact)))


def rename_artefact(version_folder: Path, name: str) -> None:
    """Let a written manifest name another file."""
    file = version_folder / MANIFEST_FILE
    record = manifest_from_json(file.read_text())
    file.write_text(to_json(replace(record, artefact=replace(record.artefact, name=name))))


def _idle_loop() -> onnx.GraphProto:
    """The body of a loop that hands its one number on."""
    number = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in ("number", "same_number")
    ]
    keep_on = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("go", "go_on")]
    count = helper.make_tensor_value_info("count", TensorProto.INT64, [])
    nodes = [
        helper.make_node("Identity", ["go"], ["go_on"]),
        helper.make_node("Identity", ["number"], ["same_number"]),
    ]
    return helper.make_graph(nodes, "idle", [count, keep_on[0], number[0]], [keep_on[1], number[1]])


def _value_info(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, spec.shape)
