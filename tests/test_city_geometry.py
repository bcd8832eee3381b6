"""The parts of the city: plan, patches, ray casting, sky light, shadows and filters."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocity.cameras import Camera
from neurocity.data.city.camera_path import plan_shots
from neurocity.data.city.config import CityConfig
from neurocity.data.city.layout import SIDEWALK_WIDTH, STREET_WIDTH, Rect, plan_city
from neurocity.data.city.materials import Materials
from neurocity.data.city.mesh import Mesh, MeshBuilder
from neurocity.data.city.noise import fade, hash_unit, pulse, stripe, value_noise
from neurocity.data.city.raycast import RayCaster
from neurocity.data.city.render import CityRenderer
from neurocity.data.city.sky import Sky
from neurocity.data.city.skylight import SkyLight
from neurocity.data.city.styles import Style, StyleTable
from neurocity.poses import look_at

GROUND, BOX = 0, 1


def _box_on_ground() -> Mesh:
    """A block of 4 x 6 x 8 m in the middle of a square of 200 m."""
    builder = MeshBuilder()
    builder.floor(Rect(-100, -100, 100, 100), 0.0, style=GROUND)
    builder.box(Rect(-2, -3, 2, 3), 0.0, 8.0, style=BOX)
    return builder.build()


def _renderer(mesh: Mesh, sun_azimuth: float = 0.0) -> CityRenderer:
    styles = StyleTable()
    assert (styles.plain((0.4, 0.4, 0.4)), styles.plain((0.5, 0.3, 0.2))) == (GROUND, BOX)
    sky = Sky.from_degrees(sun_azimuth, 45.0, salt=0)
    return CityRenderer(mesh, styles.build(), Materials(plan_city(0, (1, 1)), sky), sky=sky)


def _slab_distance(origin: np.ndarray, direction: np.ndarray) -> float:
    """Distance to the box or the ground by intersecting intervals per axis; inf for none."""
    low, high = (-2.0, -3.0, 0.0), (2.0, 3.0, 8.0)
    enter, leave = 0.0, math.inf
    for o, d, a, b in zip(origin, direction, low, high, strict=True):
        near, far = sorted(((a - o) / d, (b - o) / d))
        enter, leave = max(enter, near), min(leave, far)
    ground = -origin[2] / direction[2] if direction[2] < 0 else math.inf
    x, y = origin[:2] + ground * direction[:2] if ground < math.inf else (math.inf, math.inf)
    if max(abs(x), abs(y)) > 100:
        ground = math.inf
    return min(enter if enter <= leave else math.inf, ground)


@pytest.mark.parametrize("eye", [(25.0, -14.0, 9.5), (-6.5, 4.3, 1.7), (0.3, -0.2, 30.0)])
def test_depth_of_a_box_on_the_ground_is_analytic(eye: tuple[float, float, float]) -> None:
    camera = Camera.from_fov_y(look_at(eye, (0.4, 0.1, 4.0), (0, 0.01, 1)), 19, 13, 65.0)
    depth = _renderer(_box_on_ground()).photograph(camera, 1).depth
    assert depth.shape == (13, 19)
    rotation = camera.camera_to_world[:3, :3]
    for i in range(13):
        for j in range(19):
            right, up = (j + 0.5 - camera.cx) / camera.fl_x, (camera.cy - i - 0.5) / camera.fl_y
            in_camera = np.array([right, up, -1.0])
            length = float(np.linalg.norm(in_camera))
            distance = _slab_distance(camera.position, rotation @ in_camera / length)
            expected = distance / length if math.isfinite(distance) else 0.0
            assert depth[i, j] == pytest.approx(expected, rel=1e-5), (i, j)


def test_image_bands_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = _renderer(_box_on_ground())
    camera = Camera.from_fov_y(look_at((20, -9, 12), (0, 0, 3), (0, 0, 1)), 30, 20, 50.0)
    whole = renderer.photograph(camera, 2)
    monkeypatch.setattr("neurocity.data.city.render.RAYS_PER_BAND", 30 * 4 * 7)
    banded = renderer.photograph(camera, 2)
    assert abs(whole.image.astype(int) - banded.image).max() <= 1
    np.testing.assert_allclose(whole.depth, banded.depth, rtol=1e-6)


def _brightness_at(renderer: CityRenderer, x: float, y: float) -> float:
    camera = Camera.from_fov_y(look_at((x, y, 40.0), (x, y, 0.0), (0, 1, 0)), 5, 5, 1.0)
    return float(renderer.photograph(camera, 1).image[2, 2].mean())


def test_shadow_falls_away_from_the_sun() -> None:
    renderer = _renderer(_box_on_ground(), sun_azimuth=0.0)
    # The sun stands at 45 degrees above +x: the shadow of 8 m height ends 8 m behind the wall at x = -2.
    lit, opposite = _brightness_at(renderer, 6.0, 0.0), _brightness_at(renderer, -11.0, 0.0)
    assert _brightness_at(renderer, -6.0, 0.0) < 0.8 * lit
    assert opposite == pytest.approx(lit, rel=0.05)


def test_sky_light_on_open_ground_on_a_wall_and_under_a_roof() -> None:
    builder = MeshBuilder()
    builder.floor(Rect(-50, -50, 50, 50), 0.0, style=GROUND)
    builder.slab(Rect(-20, -20, -5, 20), 3.0, 3.5, style=BOX)
    builder.walls(Rect(10, -4, 14, 4), 0.0, 10.0, style=BOX)
    mesh = builder.build()
    caster = RayCaster(mesh)
    light = SkyLight(mesh, caster)

    def seen(origin: tuple[float, float, float], direction: tuple[float, float, float]) -> float:
        hits = caster.first_hits(np.array([origin]), np.array([direction]))
        return float(light.at(hits)[0])

    assert seen((40, 40, 5), (0, 0, -1)) == pytest.approx(1.0, abs=0.03)
    assert seen((-12, 0, 2), (0, 0, -1)) < 0.12
    assert seen((-12, 0, 2), (0, 0, 1)) == 0.0
    assert seen((60, 0, 5), (-1, 0, 0)) == pytest.approx(0.5, abs=0.05)
    assert seen((9, 0, 1), (0, 0, -1)) == pytest.approx(0.6, abs=0.12)


def test_parallelograms_and_triangles_are_hit_at_their_own_coordinates() -> None:
    builder = MeshBuilder()
    builder.parallelogram((1, 1, 0), (4, 0, 0), (1, 2, 0), style=GROUND)
    builder.triangle((10, 0, 0), (12, 0, 0), (10, 2, 0), style=BOX)
    mesh = builder.build()
    points = np.array([[2.0, 1.5, 0], [5.4, 2.9, 0], [10.5, 1.0, 0], [11.9, 1.9, 0]])
    hits = RayCaster(mesh).first_hits(points + np.array([0, 0, 3]), np.broadcast_to((0.0, 0, -1), (4, 3)))
    assert hits.patch.tolist() == [0, 0, 1, -1]
    assert hits.distance.tolist() == [3, 3, 3, math.inf]
    for k in range(3):
        patch = hits.patch[k]
        on_patch = mesh.corner[patch] + hits.u[k] * mesh.edge_u[patch] + hits.v[k] * mesh.edge_v[patch]
        np.testing.assert_allclose(on_patch, points[k], atol=1e-5)


@pytest.mark.parametrize("make", ["box", "slab", "ring", "cylinder", "blob", "extrusion"])
def test_solids_face_outwards(make: str) -> None:
    builder = MeshBuilder()
    rect = Rect(-1, -2, 1, 2)
    if make in ("box", "slab"):
        getattr(builder, make)(rect, -1.0, 1.0, style=0)
    elif make == "ring":
        builder.ring(rect, 0.5, -1.0, z1=1.0, style=0)
    elif make == "cylinder":
        builder.cylinder((0, 0, -1), 1.0, 2.0, sides=7, style=0, cone=0.5)
    elif make == "blob":
        builder.blob((0, 0, 0), (1, 1, 1), np.random.default_rng(0), style=0)
    else:
        profile = [(-2.0, -1.0), (2.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
        builder.extrusion(profile, (0, -1, 0), along=(0, 2, 0), styles=[0] * 5)
    mesh = builder.build()
    middle = mesh.triangles()[0].mean(axis=1)[: len(mesh.corner)]
    if make == "ring":
        # Away from the nearest point of the line around the frame's middle, which is not convex.
        line = np.sign(middle[:, :2]) * np.minimum(abs(middle[:, :2]), (0.75, 1.75))
        across = (0.75 - abs(line[:, 0])) < (1.75 - abs(line[:, 1]))
        line[across, 0] = np.sign(middle[across, 0]) * 0.75
        line[~across, 1] = np.sign(middle[~across, 1]) * 1.75
        middle[:, :2] -= line
    assert ((middle * mesh.normals).sum(1) > 0).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), columns=st.integers(1, 4), rows=st.integers(1, 4))
def test_plots_tile_their_block_and_blocks_keep_off_the_streets(seed: int, columns: int, rows: int) -> None:
    plan = plan_city(seed, (columns, rows))
    assert len(plan.blocks) == columns * rows
    assert any(not block.is_park for block in plan.blocks)
    assert any(block.is_park for block in plan.blocks) == (columns * rows > 1)
    for block in plan.blocks:
        land = block.rect.inset(SIDEWALK_WIDTH)
        for line, low, high in [(x, block.rect.x0, block.rect.x1) for x in plan.street_x] + [
            (y, block.rect.y0, block.rect.y1) for y in plan.street_y
        ]:
            assert line + STREET_WIDTH / 2 <= low + 1e-9 or line - STREET_WIDTH / 2 >= high - 1e-9
        if block.is_park:
            assert block.plots == ()
            continue
        area = sum(plot.rect.size[0] * plot.rect.size[1] for plot in block.plots)
        assert area == pytest.approx(land.size[0] * land.size[1])
        for k, plot in enumerate(block.plots):
            assert min(plot.rect.size) >= 10.9
            for other in block.plots[:k]:
                apart_x = plot.rect.x1 <= other.rect.x0 + 1e-9 or other.rect.x1 <= plot.rect.x0 + 1e-9
                apart_y = plot.rect.y1 <= other.rect.y0 + 1e-9 or other.rect.y1 <= plot.rect.y0 + 1e-9
                assert apart_x or apart_y


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), columns=st.integers(1, 5), rows=st.integers(1, 5))
def test_cameras_of_any_city_fly_over_it_or_drive_in_its_streets(seed: int, columns: int, rows: int) -> None:
    config = CityConfig(seed=seed, blocks=(columns, rows), views=30)
    plan = plan_city(seed, config.blocks)
    shots = plan_shots(config, plan, 50.0)
    assert [shot.name for shot in shots] == [f"aerial_{i:04d}" for i in range(18)] + [
        f"street_{i:04d}" for i in range(12)
    ]
    for shot in shots:
        x, y, z = shot.camera.position
        if shot.name.startswith("aerial"):
            assert z >= 58
        else:
            assert z == pytest.approx(2.6)
            offsets = [x - line for line in plan.street_x] + [y - line for line in plan.street_y]
            assert any(abs(offset) == pytest.approx(1.6) for offset in offsets)
            assert plan.bounds.x0 < x < plan.bounds.x1
            assert plan.bounds.y0 < y < plan.bounds.y1


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-20, 20),
    width=st.floats(0.01, 9),
    period=st.floats(0.5, 5),
    edges=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_pulse_is_the_box_filter_of_a_periodic_band(
    x: float, width: float, period: float, edges: list[float]
) -> None:
    low, high = (edge * period for edge in edges)
    # Up to 36 edges of the band lie in the box; each is off by at most one sample.
    samples = x + width * ((np.arange(40_000) + 0.5) / 40_000 - 0.5)
    phase = np.mod(samples, period)
    expected = ((phase >= low) & (phase <= high)).mean()
    got = pulse(np.array([x]), (low, high), np.array([width]), period=period)
    assert got[0] == pytest.approx(expected, abs=2e-3)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(-3, 3), width=st.floats(0.01, 5), low=st.floats(-2, 1), length=st.floats(0, 3))
def test_stripe_is_the_box_filter_of_a_band(x: float, width: float, low: float, length: float) -> None:
    overlap = max(0.0, min(x + width / 2, low + length) - max(x - width / 2, low))
    got = stripe(np.array([x]), (low, low + length), np.array([width]))
    assert got[0] == pytest.approx(overlap / width, abs=1e-6)


def test_noise_is_even_smooth_and_repeatable() -> None:
    keys = np.arange(50_000, dtype=np.int32)
    values = hash_unit(keys, keys[::-1])
    assert np.histogram(values, bins=20, range=(0, 1))[0].min() > 2200
    assert (hash_unit(keys, keys[::-1]) == values).all()
    x = np.linspace(-3, 3, 6001, dtype=np.float32)
    noise = value_noise(x, x * 0.3, salt=5)
    assert abs(np.diff(noise)).max() < 0.005
    assert noise.std() > 0.1
    assert (value_noise(x, x * 0.3, salt=6) != noise).mean() > 0.9


def test_fade_drops_what_the_filter_cannot_resolve() -> None:
    width = np.array([0.01, 0.3, 1.0, 5.0], dtype=np.float32)
    assert fade(width, 1.0).tolist() == pytest.approx([1, 1, 0, 0])


def test_equal_styles_share_a_row() -> None:
    styles = StyleTable()
    assert styles.add(Style(bay=2.0)) == styles.add(Style(bay=2.0)) == 0
    assert styles.add(Style(bay=2.5, window=(0.3, 0.6))) == 1
    table = styles.build()
    assert table["bay"].tolist() == [2.0, 2.5]
    assert table["window"][1].tolist() == pytest.approx([0.3, 0.6])
