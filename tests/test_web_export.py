"""The format web as a whole: exported, proved, verified, and beside other models in a repository."""

import asyncio
import json
import re
import shutil
import sys
import urllib.request
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import triton_server
from ball_scene import ball_checkpoint, ball_model, export_ball, no_browser
from fixtures_export import TINY_BOUNDS, export_tiny, tiny_checkpoint
from tiny_families import tiny_model

from export.bits import FLOATS, Bits
from export.cli import main
from export.formats.web import FORMAT
from export.job.job import Job
from export.job.manifest import embedded_manifest
from export.parity.drawn import shipped_figures, unquantised_figures
from export.parity.reference import Reference
from export.parity.tolerances import WEB
from export.renderer import Drawn, kernel_renderer
from export.web.folder import scene_files
from export.web.page.browser import draw_in_chromium
from neurocity.cameras import Camera
from neurocity.contract import MANIFEST_FILE, file_sha256, manifest_from_json, to_json
from neurocity.errors import MissingDependencyError, ParityError
from neurocity.families import find_family
from neurocity.kernels.scene import SceneData, open_scene
from neurocity.model_repository import open_version
from serving.engines.base import AUTO
from serving.scenes.opening import SceneOptions, open_scenes
from serving.tritonserver.server import running_server


@pytest.fixture(scope="module")
def repository(made_once) -> Path:
    """A repository with the ball as web, splat and native, proved without a browser."""

    def export(out: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr("export.formats.web.draw_in_chromium", no_browser)
            for name in ("web", "splat", "native"):
                outcome = export_ball(out, name)
                assert not outcome.error, outcome.error

    return made_once("exported_web_repository", export)


@pytest.fixture
def folder(repository, tmp_path) -> Path:
    """A copy of the version folder, to break."""
    shutil.copytree(repository / "tiny_web", tmp_path / "tiny_web")
    return tmp_path / "tiny_web" / "1"


def test_a_folder_has_all_that_it_names_and_names_all_that_it_has(repository):
    version = open_version(repository / "tiny_web" / "1")
    version.require_whole()
    named = {version.manifest.artefact.name, *(file.name for file in version.manifest.files)}
    assert named >= {"scene.js", "groups/00.js", "index.html", "viewer.js", "viewer.css", "poster.png"}
    found = {path.relative_to(version.path).as_posix() for path in version.path.rglob("*") if path.is_file()}
    others = {name for name in found - named if not name.startswith(("parity/", "golden/"))}
    assert others == {MANIFEST_FILE, "report.md"}
    page = (version.path / "index.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^"#]+)"', page)) - {"data:,"} <= named
    script = (version.path / "viewer.js").read_text()
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)
    manifest = version.manifest
    assert manifest.bytes == sum(path.stat().st_size for path in map(version.path.joinpath, named))
    assert manifest.profile == {}
    assert manifest.parity["unquantised"]["by"] == "decoder and compiled kernels"
    report = (version.path / "report.md").read_text()
    assert manifest.parity["shipped"]["by"] == "decoder and compiled kernels"
    assert (
        report.count("drawn by decoder and compiled kernels (no browser is installed), against the model")
        == 2
    )


def test_what_was_shipped_is_verified_and_described(repository, capsys):
    assert main(["verify", str(repository / "tiny_web")]) == 0
    assert "tiny_web version 1 on cpu is equal to its model" in capsys.readouterr().out
    assert main(["inspect", str(repository / "tiny_web" / "1"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["family"], found["format"], found["problem"]) == ("svraster", "web", "")
    assert found["bytes"] > 100_000
    assert main(["inspect", str(repository / "tiny_web" / "1" / "scene.js"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scene"] == "tiny"


@pytest.mark.parametrize("name", ["scene.js", "groups/00.js", "viewer.js"])
def test_a_damaged_folder_is_not_verified(folder, name, capsys):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert main(["verify", str(folder)]) == 1
    assert f"{name}: has SHA-256" in capsys.readouterr().err
    (folder / name).unlink()
    assert main(["verify", str(folder)]) == 1
    assert f"{name}: cannot be read" in capsys.readouterr().err


def test_a_version_is_kept_only_while_all_its_files_are_there(folder, tmp_path):
    def again():
        return export_ball(tmp_path, resume=True, rays_per_call=512)

    # The checkpoint's bytes are compared, which the file of the job has.
    job_file = tmp_path / "tiny.ckpt"
    job_file.write_bytes(b"stands for the ball")
    manifest = manifest_from_json((folder / MANIFEST_FILE).read_text())
    stated = replace(manifest, checkpoint_sha256=file_sha256(job_file))
    (folder / MANIFEST_FILE).write_text(to_json(stated))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path)
        assert again().status == "kept"
        (folder / "groups" / "00.js").unlink()
        assert "its groups/00.js is missing" in again().error


@pytest.mark.parametrize("family", ["instant_ngp", "mip_nerf"])
def test_other_families_are_refused_before_any_work(family, tmp_path):
    config = tiny_model(family).for_scene(TINY_BOUNDS, False)
    model = find_family(family).model_class()(config).eval()
    outcome = export_tiny(tmp_path, "web", checkpoint=tiny_checkpoint(family=family, model=model))
    assert (outcome.error_kind, outcome.exit_code) == ("UnsupportedError", 4)
    assert "it has no voxels" in outcome.error
    assert "train with `neurocity train svraster`, or export onnx" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_too_few_bits_are_not_shipped(tmp_path):
    outcome = export_ball(tmp_path, bits=(4, 6, 3))
    assert outcome.error_kind == "ParityError"
    assert re.search(r"psnr_db: got \d+\.?\d*, expected at least 60", outcome.error)
    assert list(tmp_path.iterdir()) == []


# What the page's renderer draws


@pytest.fixture(scope="module")
def floats():
    """Files and scene of the ball as floats, its views, and the model's own pictures."""
    checkpoint = ball_checkpoint()
    manifest = to_json(_draft(checkpoint))
    files, decoded = scene_files(checkpoint.model.kernel_data(), manifest, FLOATS)
    views = dict(enumerate(checkpoint.info.views))
    return files, decoded.scene_data(), views


def _draft(checkpoint):
    return embedded_manifest(checkpoint, Job(checkpoint=Path("x"), name="tiny", format="web"), FORMAT, {})


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    reference = Reference(
        ball_model(), device="cpu", rays_per_call=512, kept=tmp_path_factory.mktemp("views")
    )
    return [reference.render_view(index, view) for index, view in enumerate(ball_checkpoint().info.views)]


def _by_kernels(data: SceneData, views):
    render = kernel_renderer(open_scene(data))
    lights = [render(Camera.from_view(view).rays()) for view in views.values()]
    return [(light.rgb, light.opacity) for light in lights]


def _failed(views, pictures, expected) -> bool:
    checks, _ = unquantised_figures(views, Drawn("a test", "", pictures), expected)
    assert len(checks) == 3 * len(views)
    return not all(check.passed for check in checks)


def _shifted(data, views):
    return data, {index: replace(view, cx=view.cx + 0.5) for index, view in views.items()}


def _turned(data, views):
    """Colours as if they were seen from another side: what belongs to x belongs to y."""
    records = data.tensors["records"].copy()
    records[:, 3:6], records[:, 9:12] = data.tensors["records"][:, 9:12], data.tensors["records"][:, 3:6]
    return SceneData(data.kind, {**data.tensors, "records": records}, data.settings), views


def _stopped(data, views):
    return SceneData(data.kind, data.tensors, {**data.settings, "least_light": 0.01}), views


@pytest.mark.parametrize("change", [_shifted, _turned, _stopped])
def test_what_is_nearly_right_fails_the_gate(floats, expected, change):
    _, data, views = floats
    assert not _failed(views, _by_kernels(data, views), expected)
    changed, seen_from = change(data, views)
    assert _failed(views, _by_kernels(changed, seen_from), expected)


def test_a_blank_picture_fails_the_gate_and_one_too_few(floats, expected):
    _, _, views = floats
    blank = [(np.zeros_like(light.rgb), np.zeros_like(light.opacity)) for light in expected]
    assert _failed(views, blank, expected)
    no_number = [(np.full_like(light.rgb, np.nan), light.opacity) for light in expected]
    assert _failed(views, no_number, expected)


def test_what_is_drawn_in_chromium_is_the_model_and_another_scene_is_not(floats, expected):
    files, _, views = floats
    try:
        by, pictures = draw_in_chromium(files, list(views.values()))
    except MissingDependencyError as error:
        pytest.skip(str(error))
    assert re.fullmatch(r"Chromium [\d.]+ with SwiftShader", by)
    assert not _failed(views, pictures, expected)
    early = files["scene.js"].replace(b'"least_light":0.0001', b'"least_light":0.01')
    assert early != files["scene.js"]
    _, stopped = draw_in_chromium({**files, "scene.js": early}, list(views.values()))
    assert _failed(views, stopped, expected)


def _shipped_failed(views, pictures, expected) -> bool:
    info = ball_checkpoint().info
    checks, record = shipped_figures(views, Drawn("a test", "", pictures), expected, info, WEB)
    assert len(checks) == 2 * len(record["views"]) == 2 * len(views)
    return not all(check.passed for check in checks)


def test_what_chromium_shows_of_the_files_is_near_the_model_and_of_damaged_ones_is_not(floats, expected):
    _, _, views = floats
    checkpoint = ball_checkpoint()
    files, _ = scene_files(checkpoint.model.kernel_data(), to_json(_draft(checkpoint)), Bits())
    try:
        _, pictures = draw_in_chromium(files, list(views.values()), shown=True)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    assert not _shipped_failed(views, pictures, expected)
    assert _failed(views, pictures, expected), "quantised numbers and half floats are further from the model"
    dark = re.sub(rb'"constant":\{"low":\[[^\]]*\]', b'"constant":{"low":[-1.9,-1.9,-1.9]', files["scene.js"])
    assert dark != files["scene.js"]
    _, darker = draw_in_chromium({**files, "scene.js": dark}, list(views.values()), shown=True)
    assert _shipped_failed(views, darker, expected)


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ([], MissingDependencyError, "Chromium ended by itself with code 3"),
        (["begin"], ParityError, "the page's renderer fails: Chromium ended by itself with code 3"),
    ],
)
def test_a_browser_that_dies_over_the_scene_fails_the_gate(
    floats, tmp_path, monkeypatch, said, kind, message
):
    files, _, views = floats
    browser = tmp_path / "chromium"
    browser.write_text(
        f"""#!{sys.executable}
import sys
from urllib.request import urlopen
for word in {said}:
    urlopen(sys.argv[-1].replace("index.html", word), data=b"").read()
sys.exit(3)
"""
    )
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(kind, match=f"^{message}"):
        draw_in_chromium(files, list(views.values()))


def test_a_scene_that_is_too_large_for_a_browser_is_not_drawn_by_one(floats, monkeypatch):
    files, _, views = floats
    monkeypatch.setattr("export.web.page.browser.MOST_TEXELS", 4096)
    with pytest.raises(MissingDependencyError, match=r"the [\d,]+ cells of the scene do not fit, as floats"):
        draw_in_chromium(files, list(views.values()))


def test_a_folder_whose_page_draws_something_else_is_not_shipped(tmp_path, monkeypatch):
    blank_ones = {True}

    def blank(_files, views, *, shown):
        if shown not in blank_ones:
            raise MissingDependencyError("no browser")
        sizes = [view.width * view.height for view in views]
        return "a browser", [(np.zeros((size, 3), np.float32), np.zeros(size, np.float32)) for size in sizes]

    monkeypatch.setattr("export.formats.web.draw_in_chromium", blank)
    outcome = export_ball(tmp_path)
    assert outcome.error_kind == "ParityError"
    assert "of the shipped files, drawn: psnr_db: got " in outcome.error
    assert "without quantisation" not in outcome.error
    blank_ones.add(False)
    assert "without quantisation: psnr_db: got " in export_ball(tmp_path).error
    assert list(tmp_path.iterdir()) == []


# Published


@pytest.fixture(scope="module")
def published(repository, tmp_path_factory):
    """The folder as users copy it to a host of files, and its address there."""
    place = tmp_path_factory.mktemp("host") / "city"
    shutil.copytree(repository / "tiny_web" / "1", place)
    for name in ("manifest.json", "triton.py", "report.md"):
        (place / name).unlink()
    handler = partial(QuietHandler, directory=str(place.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield place, f"http://127.0.0.1:{server.server_port}/city/"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Nobody reads it."""


def test_a_published_folder_is_verified_where_it_is(repository, published, capsys):
    place, url = published
    folder = str(repository / "tiny_web")
    assert main(["verify", folder, "--url", f"{url}index.html"]) == 0
    assert f"tiny_web version 1 on {url}index.html is equal to its model" in capsys.readouterr().out
    kept = (place / "groups" / "00.js").read_bytes()
    (place / "groups" / "00.js").write_bytes(kept + b" ")
    (place / "poster.png").rename(place / "poster")
    assert main(["verify", folder, "--url", url]) == 3
    lines = capsys.readouterr().out.splitlines()
    failed = [line.split(":")[0] for line in lines if line.startswith("FAILED")]
    assert failed == ["FAILED groups/00.js", "FAILED poster.png"]
    (place / "groups" / "00.js").write_bytes(kept)
    (place / "poster").rename(place / "poster.png")


def test_a_published_folder_is_described(published, capsys):
    place, url = published
    assert main(["inspect", url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["path"], found["scene"]) == ("published folder", url[:-1], "tiny")
    files = [place / "scene.js", *(place / "groups").iterdir()]
    assert found["bytes"] == sum(file.stat().st_size for file in files)
    kept = (place / "groups" / "00.js").read_bytes()
    (place / "groups" / "00.js").unlink()
    assert main(["inspect", url]) == 1
    assert f"{url}groups/00.js: cannot be read" in capsys.readouterr().err
    (place / "groups" / "00.js").write_bytes(kept)


def test_what_nobody_publishes_is_not_looked_for_there(repository, published, capsys):
    _, url = published
    assert main(["verify", str(repository / "tiny_native"), "--url", url]) == 4
    assert "native is no folder that hosts of files publish; expected HOST:PORT" in capsys.readouterr().err
    assert main(["verify", str(repository / "tiny_web"), "--url", "http://127.0.0.1:1/"]) == 1
    assert "http://127.0.0.1:1/scene.js: cannot be read" in capsys.readouterr().err


# Beside other models


def test_triton_starts_with_a_folder_and_serves_the_others(repository, capsys):
    triton_server.require_triton()
    with running_server(triton_server.on_free_ports(repository), log=print) as server:
        request = urllib.request.Request(f"http://{server.http_url}/v2/repository/index", data=b"{}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            ready = {entry["name"]: entry["state"] for entry in json.load(answer)}
        found = asyncio.run(_scenes_on(server.grpc_url))
        assert main(["verify", str(repository / "tiny_web"), "--url", server.grpc_url]) == 4
    assert "tiny_web takes and gives nothing" in capsys.readouterr().err
    assert ready == dict.fromkeys(("tiny_native", "tiny_splat", "tiny_web"), "READY")
    assert found == {"tiny": "native"}


async def _scenes_on(url: str) -> dict[str, str]:
    scenes = await open_scenes("triton", SceneOptions(triton_url=url))
    try:
        return {name: version.manifest.format for name, version in scenes.current().items()}
    finally:
        await scenes.close()


def test_the_gateway_renders_other_artefacts_of_the_scene(repository, tmp_path):
    async def served(folder: Path):
        scenes = await open_scenes(AUTO, SceneOptions(repository=folder, threads=1))
        try:
            return {name: version.served.engine for name, version in scenes.current().items()}
        finally:
            await scenes.close()

    assert asyncio.run(served(repository)) == {"tiny": "native"}
    for name in ("tiny_web", "tiny_splat"):
        shutil.copytree(repository / name, tmp_path / name)
    assert asyncio.run(served(tmp_path)) == {}
