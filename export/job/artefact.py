"""What must hold for an artefact's file before its values are compared with the model's."""

from pathlib import Path

from export.checks import Check, equal
from export.format import Format, Signature
from neurocity.contract import SceneManifest, to_json


def inspect_artefact(
    target: Format, path: Path, manifest: SceneManifest
) -> tuple[Signature, tuple[Check, ...]]:
    """The signature that the file at `path` declares, and the checks of the file.

    The signature has to be the manifest's: its names in the form that the format's Triton backend wants,
    float32, and a ray axis that is really dynamic on every input and output. `manifest` is the one that was
    embedded and has to come out again.
    """
    where, signature = target.file_name, target.signature(path)
    expected = Signature.named(target.triton.naming, manifest.inputs, manifest.outputs)
    checks = [*target.inspect(path)]
    for kind, got, wanted in zip(("input", "output"), signature, expected, strict=True):
        checks.append(equal(f"{kind} count", where, len(got), len(wanted)))
        for index, specs in enumerate(zip(got, wanted, strict=False)):
            checks.append(equal(f"{kind} {index}", where, *map(str, specs)))
    kept = target.read_manifest(path) == to_json(manifest)
    checks.append(equal("manifest inside", where, "the same" if kept else "another", "the same"))
    return signature, tuple(checks)
