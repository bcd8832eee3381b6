"""The Metashape reader against the projections of its user manual (appendix on camera models)."""

from functools import partial

import numpy as np
import pytest
from dataset_files import HEIGHT, WIDTH, pixels, write_image
from ray_oracle import all_frames, assert_rays_hit_their_pixels, rotation

from neurocity.data import load
from neurocity.errors import DataError

load_scene = partial(load.load_scene, origin=(0.0, 0.0, 0.0))
"""In the coordinates of the files, in which the expected values are."""

FRAME = {
    **{"f": 10.0, "cx": 0.4, "cy": -0.3, "b1": 0.5, "b2": -0.2},
    **{"k1": -0.1, "k2": 0.02, "k3": 0.01, "k4": -0.004, "p1": 0.004, "p2": -0.003},
}
SENSORS = {
    "pinhole": ("frame", {"f": 10.0}),
    "frame": ("frame", FRAME),
    "frame without k4 and skew": ("frame", {**FRAME, "k4": 0.0, "b2": 0.0}),
    "fisheye": ("fisheye", {**FRAME, "f": 8.0}),
    "radial fisheye": ("fisheye", {"f": 8.0, "cx": 0.4, "k1": -0.05, "k2": 0.01, "k3": 0.002, "k4": -0.001}),
    "equidistant": ("equidistant_fisheye", {"f": 8.0, "k1": -0.05}),
}

TURN, MOVE, SCALE = rotation((0.3, -0.2, 0.9), 0.7), np.array([100.0, -50.0, 7.0]), 2.5
WORLD = f"""<transform>
  <rotation locked="true">{" ".join(map(repr, TURN.ravel().tolist()))}</rotation>
  <translation locked="true">100 -50 7</translation>
  <scale locked="true">2.5</scale>
</transform>"""
REGION = "<region><center>1 2 3</center><size>2 4 6</size><R>0 -1 0 1 0 0 0 0 1</R></region>"


def camera_to_chunk(index):
    """OpenCV axes."""
    pose = np.eye(4)
    pose[:3, :3] = rotation((0.2, 1.0, 0.1), 0.1 * index) @ rotation((1.0, 0.0, 0.0), -1.4)
    pose[:3, 3] = (0.3 * index, -1.0, 0.2)
    return pose


def project(index, sensor, world=(TURN, MOVE, SCALE), size=(WIDTH, HEIGHT)):
    """World to chunk to camera; the manual's formulas; u and v from the image's upper left corner."""
    kind, values = SENSORS[sensor]
    f, cx, cy, b1, b2, k1, k2, k3, k4, p1, p2 = (values.get(name, 0.0) for name in FRAME)
    turn, move, scale = world
    pose = camera_to_chunk(index)

    def pixel(points):
        chunk = (points - move) @ turn / scale
        x, y, z = ((chunk - pose[:3, 3]) @ pose[:3, :3]).T
        x, y = x / z, y / z
        if kind != "frame":
            r0 = np.hypot(x, y)
            x, y = x * np.arctan(r0) / r0, y * np.arctan(r0) / r0
        r2 = x**2 + y**2
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + k4 * r2**4
        bent_x = x * radial + p1 * (r2 + 2 * x**2) + 2 * p2 * x * y
        bent_y = y * radial + p2 * (r2 + 2 * y**2) + 2 * p1 * x * y
        u = WIDTH * 0.5 + cx + bent_x * f + bent_x * b1 + bent_y * b2
        v = HEIGHT * 0.5 + cy + bent_y * f
        return np.stack([u * size[0] / WIDTH, v * size[1] / HEIGHT], 1)

    return pixel


def sensor(name="frame", sensor_id=0, kind="adjusted"):
    model, values = SENSORS[name]
    inner = "".join(f"<{tag}>{value!r}</{tag}>" for tag, value in values.items())
    return f"""<sensor id="{sensor_id}" label="X, 12 mm" type="{model}">
      <resolution width="{WIDTH}" height="{HEIGHT}"/>
      <property name="layer_index" value="0"/>
      <calibration type="{model}" class="{kind}"><resolution width="{WIDTH}" height="{HEIGHT}"/>{inner}
      </calibration><covariance><params>f</params><coeffs>1</coeffs></covariance></sensor>"""


def camera(index, label=None, attributes='sensor_id="0" component_id="0"', inner=""):
    transform = " ".join(map(repr, camera_to_chunk(index).ravel().tolist()))
    name = label or f"DSC_{index:02}"
    return f"""<camera id="{index}" label="{name}" {attributes}><transform>{transform}</transform>{inner}
      <orientation>1</orientation></camera>"""


def chunk(cameras, sensors=None, components=None, rest=""):
    if components is None:
        components = f'<component id="0" label="Component 1">{WORLD}</component>'
    return f"""<chunk label="Chunk 1" enabled="true"><sensors next_id="1">{sensors or sensor()}</sensors>
      <components next_id="1" active_id="0">{components}</components>
      <cameras next_id="9" next_group_id="0">{"".join(cameras)}</cameras>{rest}</chunk>"""


def write(root, *chunks, name="cameras.xml"):
    root.mkdir(exist_ok=True)
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<document version="2.0.0">\n{"".join(chunks)}</document>\n'
    )
    (root / name).write_text(text)
    return root


def photographs(root, count=3, folder="images", extension=".jpg.png", size=(WIDTH, HEIGHT)):
    for i in range(count):
        write_image(root / folder / f"DSC_{i:02}{extension}", pixels(i, size=size))
    return root


@pytest.mark.parametrize("name", SENSORS)
def test_every_ray_hits_its_pixel(tmp_path, name):
    photographs(write(tmp_path, chunk([camera(i) for i in range(3)], sensor(name))), extension=".png")
    frames = all_frames(load_scene(tmp_path))
    assert sorted(frames) == ["DSC_00", "DSC_01", "DSC_02"]
    for i, label in enumerate(sorted(frames)):
        assert_rays_hit_their_pixels(frames[label].camera, project(i, name))
        np.testing.assert_array_equal(frames[label].load_image()[..., :3], pixels(i))


def test_smaller_photographs_keep_the_skew(tmp_path):
    write(tmp_path, chunk([camera(i) for i in range(3)]))
    frames = all_frames(load_scene(photographs(tmp_path, extension=".png", size=(6, 4))))
    assert_rays_hit_their_pixels(frames["DSC_02"].camera, project(2, "frame", size=(6, 4)))


@pytest.mark.parametrize("place", ["chunk", "nowhere"])
def test_the_chunk_has_the_transform_or_none_has(tmp_path, place):
    cameras = [camera(i, attributes='sensor_id="0"') for i in range(3)]
    write(tmp_path, chunk(cameras, components="", rest=WORLD if place == "chunk" else ""))
    scene = load_scene(photographs(tmp_path, extension=".png"))
    world = (TURN, MOVE, SCALE) if place == "chunk" else (np.eye(3), np.zeros(3), 1.0)
    assert_rays_hit_their_pixels(all_frames(scene)["DSC_01"].camera, project(1, "frame", world))
    assert any("has no transform" in remark for remark in scene.remarks) == (place == "nowhere")


@pytest.mark.parametrize(
    ("label", "file"),
    [
        ("DSC_00", "images/DSC_00.JPG.png"),
        ("DSC_00.JPG", "images/DSC_00.JPG"),
        ("DSC_00", "DSC_00.png"),
        ("nadir/DSC_00", "images/nadir/DSC_00.png"),
        ("C:\\photos\\nadir\\DSC_00.JPG", "images/DSC_00.JPG"),
        ("/home/user/photos/DSC_00.JPG", "images/DSC_00.JPG"),
        ("DSC_00", "images/DSC_00.JPG"),
    ],
)
def test_labels_find_their_photographs(tmp_path, label, file):
    name = "DSC_00.JPG" if ".JPG.png" in file else label
    write(tmp_path, chunk([camera(0, name), camera(1)]))
    write_image(tmp_path / file)
    write_image(tmp_path / "images/DSC_01.png")
    # The path of another machine is shortened to where the photograph is here.
    expected = file if ":" in label or label.startswith("/") else name
    assert sorted(all_frames(load_scene(tmp_path))) == sorted([expected, "DSC_01"])


def test_photographs_may_be_in_the_only_folder(tmp_path):
    write(tmp_path, chunk([camera(i) for i in range(3)]))
    photographs(tmp_path, folder="my photos", extension=".png")
    write_image(tmp_path / "masks/DSC_01.png", np.ones((HEIGHT, WIDTH), dtype=np.uint8))
    assert len(all_frames(load_scene(tmp_path))) == 3
    photographs(tmp_path, folder="others", extension=".png")
    with pytest.raises(DataError, match=r"could be .*my photos/DSC_00.png or .*others/DSC_00.png"):
        load_scene(tmp_path)


def test_groups_are_read_and_name_labels_that_repeat(tmp_path):
    cameras = [f'<group id="0" label="left" type="folder">{camera(0, "A")}{camera(1, "B")}</group>']
    cameras.append(f'<group id="1" label="right" type="folder">{camera(2, "A")}</group>')
    for name in ("left/A", "right/A", "B"):
        write_image(tmp_path / f"images/{name}.png")
    assert sorted(all_frames(load_scene(write(tmp_path, chunk(cameras))))) == ["B", "left/A", "right/A"]
    write(tmp_path, chunk([camera(0, "A"), camera(1, "A")]))
    with pytest.raises(DataError, match=r"cameras.xml: camera 'A' stands there 2 times"):
        load_scene(tmp_path)


def test_what_is_left_out_is_said(tmp_path):
    cameras = [camera(i) for i in range(3)]
    cameras += [
        camera(3, attributes='sensor_id="0" enabled="false"'),
        camera(4, attributes='sensor_id="0" enabled="0"'),
        '<camera id="5" sensor_id="0" label="E"/>',
        '<camera id="6" sensor_id="0" component_id="0" master_id="0" label="F"/>',
        camera(7, attributes='sensor_id="0" component_id="1"'),
    ]
    small = chunk([camera(8, "other chunk")])
    scene = load_scene(photographs(write(tmp_path, small, chunk(cameras)), extension=".png"))
    assert sorted(all_frames(scene)) == ["DSC_00", "DSC_01", "DSC_02"]
    for part in ("2 chunks", "2 disabled", "2 cameras without a transform", "1 cameras of others"):
        assert any(part in remark for remark in scene.remarks), part


def test_the_adjusted_calibration_counts(tmp_path):
    two = sensor("pinhole", kind="initial").replace("</sensor>", "")
    two += sensor("frame").split("</resolution>")[-1].partition('value="0"/>')[2]
    write(tmp_path, chunk([camera(i) for i in range(3)], two))
    frames = all_frames(load_scene(photographs(tmp_path, extension=".png")))
    assert_rays_hit_their_pixels(frames["DSC_00"].camera, project(0, "frame"))


def test_a_calibration_without_a_type_is_of_the_sensors(tmp_path):
    plain = sensor("radial fisheye").replace('<calibration type="fisheye" class="adjusted">', "<calibration>")
    write(tmp_path, chunk([camera(i) for i in range(3)], plain))
    frames = all_frames(load_scene(photographs(tmp_path, extension=".png")))
    assert_rays_hit_their_pixels(frames["DSC_00"].camera, project(0, "radial fisheye"))


def test_the_region_says_where_the_content_is(tmp_path):
    component = f'<component id="0">{WORLD}{REGION}</component>'
    write(tmp_path, chunk([camera(i) for i in range(3)], components=component))
    scene = load_scene(photographs(tmp_path, extension=".png"), unbounded=False)
    # The region's x axis is the chunk's y axis, its y axis the chunk's -x axis: 4 x 2 x 6 around (1, 2, 3).
    corners = np.array([(x, y, z) for x in (-1.0, 3.0) for y in (1.0, 3.0) for z in (0.0, 6.0)])
    world = SCALE * corners @ TURN.T + MOVE
    np.testing.assert_allclose(scene.bounds, [*world.min(0), *world.max(0)])
    box = np.array(load_scene(tmp_path).bounds).reshape(2, 3)
    for frame in all_frames(scene).values():
        assert (box[0] <= frame.camera.position).all()
        assert (frame.camera.position <= box[1]).all()


def test_up_is_the_cameras_and_outwards_in_geocentric_coordinates(tmp_path):
    write(tmp_path, chunk([camera(i) for i in range(3)]))
    scene = load_scene(photographs(tmp_path, extension=".png"))
    ups = [TURN @ -camera_to_chunk(i)[:3, 1] for i in range(3)]
    np.testing.assert_allclose(scene.up, np.sum(ups, 0) / np.linalg.norm(np.sum(ups, 0)))
    place = np.array([-2499366.0, -4256836.0, 4029217.0])
    geocentric = WORLD.replace("100 -50 7", " ".join(map(str, place)))
    write(
        tmp_path,
        chunk([camera(i) for i in range(3)], components=f'<component id="0">{geocentric}</component>'),
    )
    scene = load_scene(tmp_path)
    np.testing.assert_allclose(scene.up, place / np.linalg.norm(place), atol=1e-5)
    assert any("geocentric" in remark for remark in scene.remarks)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<transform>1", "<transform>one 1", "camera 'DSC_0.': `transform` is 'one"),
        ("0.0 0.0 0.0 1.0</transform>", "0.0</transform>", "camera 'DSC_0.': `transform` is .*expected 16"),
        ('sensor_id="0"', 'sensor_id="7"', "camera 'DSC_00': its sensor '7' is not in the file"),
        ('type="frame"', 'type="spherical"', "type 'spherical' is not supported.*undistorted"),
        ("<p2>-0.003</p2>", "<p2>-0.003</p2><p3>0.1</p3>", "p3 = 0.1 .* not supported.*undistorted"),
        ("<f>10.0</f>", "<f>10.0</f><fx>9.0</fx>", "fx = 9.0 .*not supported"),
        ("<f>10.0</f>", "<fx>10.0</fx>", "camera 'DSC_00': .*has no focal length `f`"),
        ("<k1>-0.1</k1>", "<k1>nan</k1>", r"sensor '0' \(X, 12 mm\): `k1` is 'nan'"),
        ("calibration", "cal", "sensor '0' .*: has no calibration"),
        (f'width="{WIDTH}"', 'width="0"', "`width` is '0', expected a whole number"),
        ('<scale locked="true">2.5', "<scale>0", "`scale` of the transform is 0"),
        ('label="DSC_00"', "", "camera with id '0' has no label"),
        ("<orientation>", "<rolling_shutter>1</rolling_shutter><orientation>", "camera 'DSC_00': .*rolling"),
        ("</cameras>", "", "cameras.xml: line [0-9]+: not valid XML"),
    ],
)
def test_bad_values_are_named(tmp_path, old, new, message):
    path = (
        photographs(write(tmp_path, chunk([camera(i) for i in range(3)])), extension=".png") / "cameras.xml"
    )
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        load_scene(tmp_path)


def test_missing_photographs_are_counted_or_skipped(tmp_path):
    photographs(write(tmp_path, chunk([camera(i) for i in range(6)])), count=2, extension=".png")
    with pytest.raises(DataError, match=r"cameras.xml: image 'DSC_02': .*missing.*and 1 more \(4 of 6\)"):
        load_scene(tmp_path)
    assert sorted(all_frames(load_scene(tmp_path, missing="skip"))) == ["DSC_00", "DSC_01"]


def test_exported_masks_and_smaller_photographs_in_their_folder(tmp_path):
    write(tmp_path, chunk([camera(i) for i in range(3)]))
    photographs(tmp_path, folder="images_2", extension=".JPG.png", size=(6, 4))
    mask = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    mask[:2] = 0
    write_image(tmp_path / "masks/DSC_01_mask.png", mask)
    for path in (tmp_path / "images_2").iterdir():
        path.rename(path.with_name(path.name.replace(".JPG", "")))
    with pytest.raises(DataError, match="--downscale 2"):
        load_scene(tmp_path)
    frames = all_frames(load_scene(tmp_path, downscale=2))
    assert_rays_hit_their_pixels(frames["DSC_02"].camera, project(2, "frame", size=(6, 4)))
    np.testing.assert_array_equal(frames["DSC_01"].load_mask(), np.arange(4)[:, None] >= 1 + np.zeros((1, 6)))
    assert frames["DSC_00"].load_mask() is None


def test_a_file_with_nothing_aligned(tmp_path):
    for content in ('<camera id="0" sensor_id="0" label="A"/>', ""):
        with pytest.raises(DataError, match=r"cameras.xml: no camera is aligned and enabled"):
            load_scene(write(tmp_path, chunk([content])))


def test_two_files_are_one_too_many_and_other_xml_is_left_alone(tmp_path):
    (tmp_path / "calibration.xml").write_text("<calibration><projection>frame</projection></calibration>")
    (tmp_path / "project.xml").write_text('<document version="1.2.0" path="a.files/project.zip"/>')
    (tmp_path / "page.xml").write_text("<document><section>text</section></document>")
    with pytest.raises(DataError, match=r"no dataset found; .*\.xml with exported cameras"):
        load_scene(tmp_path)
    photographs(write(tmp_path, chunk([camera(i) for i in range(3)]), name="a.XML"), extension=".png")
    assert len(all_frames(load_scene(tmp_path))) == 3
    write(tmp_path, chunk([camera(0)]), name="b.xml")
    with pytest.raises(DataError, match=r"a.XML, b.xml have exported cameras, expected one such file"):
        load_scene(tmp_path)
