"""What must hold for an artefact's file before its values are compared with the model's."""

from pathlib import Path

from export.checks import Check, equal
from export.formats.base import Format, Signature
from neurocity.contract import RAY_INPUTS, RENDER_OUTPUTS, SceneManifest, TensorSpec, to_json


def inspect_artefact(
    target: Format, path: Path, manifest: SceneManifest
) -> tuple[Signature, tuple[Check, ...]]:
    """The signature that the file at `path` declares, and the checks of the file.

    The signature has to be the contract's: its names, float32, and a ray axis that is really dynamic on every
    input and output. `manifest` is the one that was embedded and has to come out again.
    """
    signature = target.signature(path)
    kept = target.read_manifest(path) == to_json(manifest)
    checks = (
        *target.inspect(path),
        *_compare(target.file_name, "input", signature.inputs, RAY_INPUTS),
        *_compare(target.file_name, "output", signature.outputs, RENDER_OUTPUTS),
        equal("manifest inside", target.file_name, "the same" if kept else "another", "the same"),
    )
    return signature, checks


def _compare(
    where: str, kind: str, got: tuple[TensorSpec, ...], expected: tuple[TensorSpec, ...]
) -> list[Check]:
    checks = [equal(f"{kind} count", where, len(got), len(expected))]
    for index, (found, wanted) in enumerate(zip(got, expected, strict=False)):
        # Triton's PyTorch backend counts the outputs of TorchScript, and what an AOTInductor package has.
        names = (wanted.name, f"{wanted.name}__{index}", f"{kind.upper()}__{index}")
        described = found.name if found.name in names else wanted.name
        checks.append(
            equal(
                f"{kind} {index}",
                where,
                f"{found.name} {found.dtype} {list(found.shape)}",
                f"{described} {wanted.dtype} {list(wanted.shape)}",
            )
        )
    return checks
