"""Web folders over HTTP: who gets which bytes, how they are kept, and what nobody gets."""

import asyncio
import contextlib
import gzip
import re
from random import Random

import analytic_scene
import httpx
import pytest
import web_folder
from gateway_server import running_gateway
from waiting import wait_for

from neurocity.contract import MANIFEST_FILE, file_record
from neurocity.errors import ManifestError, StorageError, UnreadableError
from neurocity.model_repository import Version
from serving.access.keys import Grant, new_key
from serving.app import create_app
from serving.scenes import compressed_files
from serving.scenes.compressed_files import CompressedFiles
from serving.scenes.files import FolderFiles
from serving.settings import Settings

PLACE = "/v1/scenes/sphere/web/"
GROUP = "groups/00.js"
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = analytic_scene.write_repository(tmp_path_factory.mktemp("repository"), "onnx")
    web_folder.write(repository)
    return repository


@pytest.fixture(scope="module")
def client(repository):
    with running_gateway(create_app(Settings(repository=repository))) as client:
        yield client


def description(client, scene="sphere"):
    return client.get(f"/v1/scenes/{scene}").json()


def assert_problem(response: httpx.Response, status: int) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()


@pytest.mark.parametrize("name", web_folder.files())
def test_every_file_of_the_folder_is_handed_on_as_it_is(client, name):
    response = client.get(f"{PLACE}{name}")
    assert response.status_code == 200
    assert response.content == web_folder.files()[name]
    kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css", "png": "image/png"}
    assert response.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_page_is_where_its_files_are_below(client):
    page = client.get(PLACE)
    assert page.content == web_folder.files()["index.html"]
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    for asked, place in (
        ("/v1/scenes/sphere/web", "web/"),
        ("/v1/scenes/sphere/web?version=1", "web/1/"),
        (f"{PLACE}?version=1", "1/"),
        ("/v1/scenes/sphere/web?view=a%26b&version=1", "web/1/?view=a%26b"),
    ):
        response = client.get(asked)
        assert (response.status_code, response.headers["location"]) == (307, place)
        assert client.get(asked, follow_redirects=True).content == page.content


def test_the_description_says_that_there_is_one(client, repository):
    web = description(client)["web"]
    assert web["page"] == "v1/scenes/sphere/web/1/"
    header = client.get(f"/{web['page']}scene.js", params={"sha256": web["header_sha256"]})
    assert header.content == web_folder.files()["scene.js"]
    manifest = (repository / "sphere_web" / "1" / MANIFEST_FILE).read_bytes()
    assert client.get(f"{PLACE}{MANIFEST_FILE}").content == manifest
    assert web["bytes"] == sum(map(len, web_folder.files().values())) + len(manifest)


def test_bytes_that_are_named_are_kept_for_good(client):
    digest = description(client)["web"]["header_sha256"]
    named = client.get(f"{PLACE}scene.js", params={"sha256": digest})
    assert named.headers["cache-control"] == "public, max-age=31536000, immutable"
    unnamed = client.get(f"{PLACE}scene.js")
    assert unnamed.headers["cache-control"] == "public, no-cache"
    assert unnamed.headers["etag"] == named.headers["etag"]
    problem = assert_problem(client.get(f"{PLACE}scene.js", params={"sha256": "0" * 64}), 404)
    assert digest in problem["detail"]
    assert_problem(client.get(f"{PLACE}scene.js", params={"sha256": "abc"}), 422)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_who_has_the_bytes_gets_none(client, encoding):
    headers = {"Accept-Encoding": encoding}
    first = client.get(f"{PLACE}{GROUP}", headers=headers)
    again = client.get(f"{PLACE}{GROUP}", headers={**headers, "If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["vary"] == "Accept-Encoding"
    other = client.get(f"{PLACE}{GROUP}", headers={**headers, "If-None-Match": '"other"'})
    assert other.content == first.content
    asked = client.head(f"{PLACE}{GROUP}", headers=headers)
    assert (asked.status_code, asked.content) == (200, b"")
    for name in ("content-length", "etag", "content-type", "cache-control"):
        assert asked.headers[name] == first.headers[name]


def test_text_is_compressed_once_for_all_who_read_gzip(client, monkeypatch):
    calls = []
    compress = compressed_files._compress
    monkeypatch.setattr(compressed_files, "_compress", lambda *given: calls.append(given) or compress(*given))
    for accepted in ("gzip", "br, gzip;q=0.5", "*", "*;q=0, gzip"):
        with client.stream("GET", f"{PLACE}viewer.css", headers={"Accept-Encoding": accepted}) as response:
            packed = b"".join(response.iter_raw())
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["content-length"] == str(len(packed))
        assert response.headers["vary"] == "Accept-Encoding"
        assert gzip.decompress(packed) == web_folder.files()["viewer.css"]
    assert len(calls) <= 1
    for accepted in ("identity", "br", "gzip;q=0", "gzip; q=0.0", "gzip;q=0, *"):
        response = client.get(f"{PLACE}viewer.css", headers={"Accept-Encoding": accepted})
        assert "content-encoding" not in response.headers
    picture = client.get(f"{PLACE}poster.png", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in picture.headers


def test_base64_is_sent_in_six_bits_a_letter(client):
    sent = int(client.head(f"{PLACE}{GROUP}", headers={"Accept-Encoding": "gzip"}).headers["content-length"])
    assert sent == pytest.approx(0.75 * len(web_folder.files()[GROUP]), rel=0.02)


def test_ranges(client):
    content = web_folder.files()[GROUP]
    etag = client.head(f"{PLACE}{GROUP}", headers=PLAIN).headers["etag"]
    for asked, part in (
        ("bytes=5-9", content[5:10]),
        ("bytes=-7", content[-7:]),
        ("bytes=150000-", content[150000:]),
    ):
        response = client.get(f"{PLACE}{GROUP}", headers={"Range": asked, "If-Range": etag})
        assert (response.status_code, response.content) == (206, part)
        assert "content-encoding" not in response.headers
    response = client.get(f"{PLACE}{GROUP}", headers={"Range": "bytes=5-9", "If-Range": '"older"'})
    assert (response.status_code, response.content) == (200, content)
    longer = {"Range": f"bytes={len(content)}-"}
    response = client.get(f"{PLACE}{GROUP}", headers={**longer, "If-Range": '"older"'})
    assert (response.status_code, response.content) == (200, content)
    behind = client.get(f"{PLACE}{GROUP}", headers=longer)
    assert_problem(behind, 416)
    assert behind.headers["content-range"] == f"bytes */{len(content)}"


@pytest.mark.parametrize(
    "name",
    [
        "report.md",
        "groups/",
        "groups/01.js",
        "../../sphere_onnx/1/model.onnx",
        "%2e%2e/%2e%2e/sphere_onnx/1/model.onnx",
        "..%2f..%2fsphere_onnx%2f1%2fmodel.onnx",
        "groups/..%2fscene.js",
        "%2fetc%2fpasswd",
        "1/../scene.js%00",
        "2/scene.js",
        "0/scene.js",
        "scene.js/",
        "1/1/scene.js",
    ],
)
def test_nothing_else_is_handed_on(client, name):
    # httpx would take the dots away; the gateway must not rely on that.
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=f"{PLACE}{name}".encode())
    assert_problem(client.send(request), 404)


def test_a_scene_without_a_folder_says_how_to_make_one(client):
    for place in ("/v1/scenes/lego/web/", "/v1/scenes/lego/web"):
        problem = assert_problem(client.get(place), 404)
        assert "--formats web" in problem["detail"]
    assert_problem(client.get(f"{PLACE}?version=7"), 404)


def test_versions_come_and_go_and_files_that_change_are_not_handed_on(tmp_path):
    repository = analytic_scene.write_repository(tmp_path, "onnx")
    settings = Settings(repository=repository, poll_seconds=0.05)
    with running_gateway(create_app(settings)) as client:
        assert description(client)["web"] is None
        web_folder.write(repository, 1)
        wait_for(lambda: description(client)["web"] is not None)
        folder = web_folder.write(repository, 2)
        wait_for(lambda: description(client)["web"]["version"] == 2)
        assert client.get(f"{PLACE}scene.js").content == web_folder.files(2)["scene.js"]
        assert client.get(f"{PLACE}1/scene.js").content == web_folder.files(1)["scene.js"]
        assert client.get(f"{PLACE}scene.js?version=1").content == web_folder.files(1)["scene.js"]
        # A folder of another trained model is another scene to look at.
        web_folder.write(repository, 3, checkpoint="f" * 64)
        wait_for(lambda: client.get(f"{PLACE}3/scene.js").status_code == 200)
        assert description(client)["web"]["version"] == 2
        (folder / GROUP).write_bytes(web_folder.files(1)[GROUP])
        problem = assert_problem(client.get(f"{PLACE}2/{GROUP}"), 502)
        assert str(repository) not in problem["detail"]
        listed = client.get("/v1/scenes").json()["scenes"]
        assert [(item["scene"], item["format"]) for item in listed] == [("sphere", "onnx")]
        (repository / "sphere_web").rename(tmp_path / ".gone")
        wait_for(lambda: client.get(PLACE).status_code == 404)


def test_keys_open_what_they_open_of_pictures(repository):
    key, line = new_key(Grant("visitor", frozenset({"sphere"})))
    other, other_line = new_key(Grant("stranger", frozenset({"city"})))
    with running_gateway(
        create_app(Settings(repository=repository, api_keys=f"{line};{other_line}"))
    ) as client:
        assert_problem(client.get(f"{PLACE}scene.js"), 401)
        assert_problem(client.get(f"{PLACE}scene.js", headers={"X-API-Key": other}), 403)
        response = client.get(f"{PLACE}scene.js", headers={"X-API-Key": key})
        assert response.content == web_folder.files()["scene.js"]
        assert response.headers["cache-control"] == "private, no-cache"


def test_whose_pages_may_embed_the_page_is_the_operators_choice(repository):
    with running_gateway(create_app(Settings(repository=repository, cross_origin="cross-origin"))) as client:
        for place in ("/", PLACE):
            assert "frame-ancestors *" in client.get(place).headers["content-security-policy"]


def test_folders_in_object_storage_are_fetched_file_by_file(repository, tmp_path):
    settings = Settings(repository=f"file://{repository}", repository_cache=tmp_path / "cache")
    with running_gateway(create_app(settings)) as client:
        assert client.get(f"{PLACE}{GROUP}").content == web_folder.files()[GROUP]
        fetched = {file.name for file in (tmp_path / "cache").rglob("*.*") if re.search("web", str(file))}
        assert fetched == {MANIFEST_FILE, "00.js"}
        response = client.get(f"{PLACE}{GROUP}", headers={"Range": "bytes=0-3"})
        assert response.content == web_folder.files()[GROUP][:4]


@pytest.mark.parametrize("headers", [PLAIN, {"Accept-Encoding": "gzip"}])
def test_files_that_change_after_they_were_handed_on_are_not(tmp_path, headers):
    repository = analytic_scene.write_repository(tmp_path, "onnx")
    place = web_folder.write(repository) / "scene.js"
    with running_gateway(create_app(Settings(repository=repository))) as client:
        content = client.get(f"{PLACE}scene.js", headers=headers).content
        place.write_bytes(b"z" * len(content))
        assert_problem(client.get(f"{PLACE}scene.js", headers=headers), 502)
        place.write_bytes(content)
        assert client.get(f"{PLACE}scene.js", headers=headers).content == content
        place.unlink()
        assert_problem(client.get(f"{PLACE}scene.js", headers=headers), 502)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ManifestError("is not what the manifest says"), 502),
        (UnreadableError("cannot be read"), 503),
        (StorageError("cannot be reached"), 503),
        (OSError(28, "No space left on device"), 503),
    ],
)
def test_why_a_file_of_object_storage_cannot_be_had_is_said(repository, monkeypatch, error, status):
    @contextlib.asynccontextmanager
    async def at_hand(*_):
        raise error
        yield

    monkeypatch.setattr(FolderFiles, "at_hand", at_hand)
    with running_gateway(create_app(Settings(repository=repository))) as client:
        assert_problem(client.get(f"{PLACE}{GROUP}"), status)


def test_files_of_object_storage_are_read_once_to_be_checked(repository, tmp_path, monkeypatch):
    read, difference = [], Version._difference
    monkeypatch.setattr(
        Version, "_difference", lambda version, file: read.append(file.name) or difference(version, file)
    )
    settings = Settings(repository=f"file://{repository}", repository_cache=tmp_path / "cache")
    with running_gateway(create_app(settings)) as client:
        for first in range(4):
            client.get(f"{PLACE}{GROUP}", headers={"Range": f"bytes={first}-9"})
            if first == 1:
                checked = read.count(GROUP)
        assert 1 <= checked == read.count(GROUP)


def test_compressed_files_that_are_being_sent_are_within_the_bound(tmp_path):
    async def session():
        files = CompressedFiles(limit=1000)
        records = []
        for number in range(3):
            content = Random(number).randbytes(400)
            (tmp_path / str(number)).write_bytes(content)
            records.append((file_record(str(number), content), tmp_path / str(number)))
        sent = [await files.of(*records[0]), await files.of(*records[1])]
        unpacked = [gzip.decompress(b"".join(file.pieces)) for file in sent]
        assert unpacked == [path.read_bytes() for _, path in records[:2]]
        assert await files.of(*records[2]) is None
        assert await files.of(*records[0]) is sent[0]
        assert files.bytes() <= 1000
        sent.clear()
        assert await files.of(*records[2]) is not None
        assert files.bytes() <= 1000

    asyncio.run(session())
