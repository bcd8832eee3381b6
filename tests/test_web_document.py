"""What docs/web.md says of the files is what they are."""

import re
from dataclasses import fields
from pathlib import Path

from ball_scene import ball_checkpoint

from export.bits import FLOATS, Bits
from export.cli import main
from export.formats.web import FORMAT
from export.job.job import ExportOptions, Job
from export.job.manifest import embedded_manifest
from export.web.blocks import layout_of
from export.web.folder import folder_files, scene_files
from export.web.groups import unpack_group
from export.web.header import FILE, Block, Group, Header, Level, read_header
from neurocity.contract import MANIFEST_FILE, to_json

DOCUMENT = (Path(__file__).parents[1] / "docs" / "web.md").read_text()


def _manifest() -> str:
    job = Job(checkpoint=Path("x"), name="tiny", format="web")
    return to_json(embedded_manifest(ball_checkpoint(), job, FORMAT, {}))


def test_every_field_of_the_header_is_described():
    described = set(re.findall(r"`(\w+)`", DOCUMENT))
    for record in (Header, Group, Block, Level, Bits):
        assert {field.name for field in fields(record)} <= described, record


def test_every_file_of_the_folder_is_described_and_no_other():
    files = folder_files(ball_checkpoint().model.kernel_data(), _manifest(), Bits())
    table = re.search(r"\| file \| \|\n.*?\n\n", DOCUMENT, re.DOTALL)
    assert table is not None
    first_cells = " ".join(row.split("|")[1] for row in table[0].splitlines() if "|" in row)
    named = set(re.findall(r"`([\w./]+)`", first_cells))
    assert named == {*files, MANIFEST_FILE, "groups/00.js", "groups/01.js"}


def test_the_bits_of_the_document_are_those_of_the_command():
    default = " ".join(map(str, ExportOptions.bits))
    assert f"| {default}, the default |" in DOCUMENT
    assert Bits(*ExportOptions.bits) == Bits()


def test_wrong_bits_are_refused_as_wrong_usage(tmp_path, capsys):
    command = [str(tmp_path / "absent.ckpt"), "--formats", "web", "--out", str(tmp_path / "models")]
    assert main([*command, "--name", "x", "--bits", "8", "10", "9"]) == 2
    assert "bits: got 8 10 9, expected density 4 to 8" in capsys.readouterr().err


def test_a_reader_that_follows_the_document_alone_finds_every_byte():
    """Sizes of planes in the table "The bytes of a group", added up."""
    for bits in (Bits(), FLOATS):
        files, decoded = scene_files(ball_checkpoint().model.kernel_data(), _manifest(), bits)
        header = read_header(files[FILE])
        harmonics = (int(header.settings["sh_degree"]) + 1) ** 2 - 1
        for number, group in enumerate(header.groups):
            content = unpack_group(number, group, files[group.file])
            expected = 0
            for block in group.blocks:
                points = block.voxel_points + block.inner_points
                planes = (3 * 4 + harmonics * 3 * 4) if bits.floats else (3 * 2 + harmonics * 3)
                expected += 2 * block.parents + (4 * points if bits.floats else points) + planes * block.cells
            assert len(content) == expected == sum(map(layout_of(decoded).size, group.blocks))
