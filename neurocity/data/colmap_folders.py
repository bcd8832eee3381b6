"""Where COLMAP, and those who pass its models on, put models, images and masks."""

from dataclasses import dataclass
from pathlib import Path

from neurocity.data.colmap_model import count_images, has_file, read_images
from neurocity.data.reading import Reading

_WORKSPACES = ("", "colmap", "dense", "dense/0", "undistorted", "colmap/dense", "colmap/dense/0")
"""Folders that have `sparse/` and mostly `images/`, as seen from the dataset's."""

_MODELS = ("sparse", "colmap_sparse", "colmap_text")
"""Folders of models, which may be numbered; the latter are those of instant-ngp's colmap2nerf.py."""

_IMAGE_FOLDERS = ("images", "images/images", "image", "imgs", "rgb", "color", "input", "")

LOOKS_FOR = (
    "cameras and images (.bin or .txt) in sparse/0 or another sparse/N, sparse, colmap_sparse/0, "
    "colmap_text, colmap/sparse/0, dense/sparse, undistorted/sparse or the folder itself (COLMAP)"
)


@dataclass(frozen=True)
class ColmapFolders:
    """A model's folder, and where its images and masks may lie, in the order in which they are looked for."""

    model: Path
    images: tuple[Path, ...]
    masks: tuple[Path, ...]


def has_model(root: Path) -> bool:
    """Whether `root` has a model in one of the usual places."""
    return any(_models(root / workspace) for workspace in _WORKSPACES)


def find_folders(reading: Reading) -> ColmapFolders | None:
    """The model to read, and its images; None without a model.

    Of several models in one place, parts of a capture that COLMAP could not join, it is the one with the most
    images, with a remark. Of several places it is the first whose images are there.
    """
    workspaces = [folder for folder in (reading.root / name for name in _WORKSPACES) if _models(folder)]
    if not workspaces:
        return None
    chosen = workspaces[0]
    if len(workspaces) > 1:
        chosen = next((folder for folder in workspaces if _has_images(folder, reading)), chosen)
    return _folders(chosen, _largest(_models(chosen), reading), reading.root)


def _models(workspace: Path) -> list[Path]:
    """Folders of models in a workspace: `sparse/N`, `sparse`, or else the workspace itself."""
    for sparse in (workspace / name for name in _MODELS):
        below = sorted(folder for folder in sparse.iterdir() if folder.is_dir()) if sparse.is_dir() else []
        found = [folder for folder in (*below, sparse) if has_file(folder, "cameras")]
        if found:
            break
    whole = [folder for folder in (*found, workspace) if has_file(folder, "cameras", "images")]
    return [folder for folder in whole if folder in found] or found or whole


def _largest(models: list[Path], reading: Reading) -> Path:
    if len(models) == 1:
        return models[0]
    counts = {model: count_images(model) for model in models}
    largest = max(models, key=counts.__getitem__)
    others = ", ".join(
        f"{model.relative_to(reading.root)} has {counts[model]}" for model in models if model != largest
    )
    name = largest.relative_to(reading.root)
    reading.remark(f"{name} is read, the model with the most images ({counts[largest]}); {others}")
    return largest


def _has_images(workspace: Path, reading: Reading) -> bool:
    model = max(_models(workspace), key=count_images)
    images = read_images(model)
    folders = _folders(workspace, model, reading.root)
    return bool(images) and (
        reading.files.find(folders.images, images[0].name) is not None
        or bool(reading.files.reduced(folders.images, images[0].name))
    )


def _folders(workspace: Path, model: Path, root: Path) -> ColmapFolders:
    places = dict.fromkeys((workspace, root))
    return ColmapFolders(
        model=model,
        images=tuple(place / name for name in _IMAGE_FOLDERS for place in places),
        masks=tuple(place / "masks" for place in places),
    )
