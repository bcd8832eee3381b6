"""What must hold for an artefact's file before its values are compared with the model's."""

from pathlib import Path

from export.checks import Check, equal
from export.format import Format, Signature
from neurocity.contract import SceneManifest, TensorSpec, to_json
from neurocity.triton_names import input_name, output_name


def inspect_artefact(
    target: Format, path: Path, manifest: SceneManifest
) -> tuple[Signature, tuple[Check, ...]]:
    """The signature that the file at `path` declares, and the checks of the file.

    The signature has to be the manifest's: its names in the form that the format's Triton backend wants,
    float32, and a ray axis that is really dynamic on every input and output. `manifest` is the one that was
    embedded and has to come out again.
    """
    signature = target.signature(path)
    naming = target.triton.naming
    inputs = [input_name(naming, index, spec.name) for index, spec in enumerate(manifest.inputs)]
    outputs = [output_name(naming, index, spec.name) for index, spec in enumerate(manifest.outputs)]
    kept = target.read_manifest(path) == to_json(manifest)
    checks = (
        *target.inspect(path),
        *_compare(target.file_name, "input", signature.inputs, manifest.inputs, inputs),
        *_compare(target.file_name, "output", signature.outputs, manifest.outputs, outputs),
        equal("manifest inside", target.file_name, "the same" if kept else "another", "the same"),
    )
    return signature, checks


def _compare(
    where: str, kind: str, got: tuple[TensorSpec, ...], expected: tuple[TensorSpec, ...], names: list[str]
) -> list[Check]:
    checks = [equal(f"{kind} count", where, len(got), len(expected))]
    for index, (found, wanted, name) in enumerate(zip(got, expected, names, strict=False)):
        checks.append(
            equal(
                f"{kind} {index}",
                where,
                f"{found.name} {found.dtype} {list(found.shape)}",
                f"{name} {wanted.dtype} {list(wanted.shape)}",
            )
        )
    return checks
