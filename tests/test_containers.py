"""How images are compared and measured, on folders; the images themselves are in test_images.py."""

import os

import pytest

from deploy.containers import ImageError, bytes_of, contents, run


@pytest.fixture
def root(tmp_path):
    """Two files, one of them with two names, a folder and a link, all of one time."""
    folder = tmp_path / "root"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "program").write_bytes(b"run")
    (folder / "bin" / "again").hardlink_to(folder / "bin" / "program")
    (folder / "file").write_bytes(b"light")
    (folder / "link").symlink_to("file")
    settle(folder)
    return folder


def settle(folder):
    """Give all the same time."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (0, 0), follow_symlinks=False)


def test_bytes_are_counted_once(root):
    assert bytes_of(root) == len(b"run") + len(b"light") + len("file")


def changed_bytes(root):
    (root / "file").write_bytes(b"night")
    return {"file"}


def changed_mode(root):
    (root / "file").chmod(0o600)
    return {"file"}


def changed_link(root):
    (root / "link").unlink()
    (root / "link").symlink_to("bin")
    return {"link"}


def changed_name(root):
    (root / "file").rename(root / "other")
    return {"file", "other"}


@pytest.mark.parametrize("change", [changed_bytes, changed_mode, changed_link, changed_name])
def test_what_differs_is_found(root, change):
    before = contents(root)
    assert set(before) == {"bin", "bin/again", "bin/program", "file", "link"}
    different = change(root)
    settle(root)
    after = contents(root)
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == different


def test_another_time_is_found(root):
    before = contents(root)
    os.utime(root / "file", (1, 1))
    assert contents(root) != before


def test_what_a_command_said_is_in_the_error():
    with pytest.raises(ImageError, match=r"(?s)ls /nowhere:.*No such file"):
        run("ls", "/nowhere")
