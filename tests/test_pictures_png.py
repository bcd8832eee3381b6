"""PNG files in strips: what others read in them, and that nothing but the picture decides their bytes."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import analytic_scene
import numpy as np
import pytest
from PIL import Image

from neurocity.light import Light
from neurocity.pictures.encode import encode, encoding
from neurocity.pictures.options import RenderOptions
from neurocity.pictures.png import LEVEL, STRATEGY, STRIP_PIXELS, encode_png, zlib_room
from neurocity.pictures.steps import do, strips

INFO = analytic_scene.manifest("onnx", b"").info
KINDS = {"rgb": ((3,), np.uint8), "gray": ((), np.uint8), "counts": ((), np.uint16)}
SIZES = [(1, 1), (1, 700), (300, 1), (150, 500), (3, STRIP_PIXELS + 5)]


def smooth(size, kind, seed=0):
    """Pixels of which every filter is the best one somewhere: slopes, steps and noise."""
    generator = np.random.default_rng(seed)
    colours, dtype = KINDS[kind]
    most = np.iinfo(dtype).max
    i, j = np.indices(size)
    slopes = np.stack([3.1 * i + 0.2 * j, 0.1 * i + 5 * j, i * j / 50.0], -1)[..., : int(np.prod(colours))]
    noise = generator.integers(0, np.where(i % 7 == 3, most // 2, 3)[..., None], slopes.shape)
    pixels = np.where((i // 20 % 3 == 2)[..., None], noise, slopes + noise)
    return (pixels % (most + 1)).astype(dtype).reshape(*size, *colours)


def chunks(data):
    """The chunks of a PNG file, whose checksums are looked at."""
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + body),)
        yield kind, body
        at += 12 + length


def filtered(data):
    """The filtered rows; zlib looks at the stream's checksum, and wants its end."""
    return zlib.decompress(b"".join(body for kind, body in chunks(data) if kind == b"IDAT"))


def unlikeness(data, size, step):
    """Of each row, the sum of its filtered bytes as signed numbers."""
    rows = np.frombuffer(filtered(data), np.uint8).reshape(size[0], 1 + step * size[1])
    return np.minimum(rows[:, 1:], 256 - rows[:, 1:].astype(int)).sum(-1)


def by_pillow(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_pixels_come_back_and_filters_are_as_good_as_pillows(kind, size):
    pixels = smooth(size, kind)
    data, expected = encode_png(pixels), by_pillow(pixels)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), pixels)
    assert [body for kind, body in chunks(data) if kind == b"IHDR"] == [expected[16:29]]
    step = pixels.dtype.itemsize * (3 if kind == "rgb" else 1)
    assert (unlikeness(data, size, step) <= unlikeness(expected, size, step)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_a_few_bytes_has_no_filters(kind):
    pixels = smooth((8, 8), kind)
    data = encode_png(pixels)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), pixels)
    assert {row[0] for row in np.frombuffer(filtered(data), np.uint8).reshape(8, -1)} == {0}
    assert len(data) <= len(by_pillow(pixels)) + 100


@pytest.mark.parametrize("length", [1, 2, 255, 256, 1000, 4095, 4096, 32767, 32768, 40000, 98304])
def test_what_zlib_gets_for_few_bytes_is_enough_for_them(length):
    data = np.random.default_rng(length).integers(0, 9, length, np.uint8).tobytes()
    got, expected = (
        made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH)
        for made in (
            zlib.compressobj(LEVEL, zlib.DEFLATED, *room, STRATEGY)
            for room in (zlib_room(length), (-zlib.MAX_WBITS, 9))
        )
    )
    assert got == expected


def test_all_filters_are_used_and_strips_cost_no_bytes():
    pixels = smooth((600, 400), "rgb")
    pixels[100:110] = 7  # as they are, or as those above
    pixels[110:120] = pixels[90]
    pixels[200:210, ::2] = 0
    data = encode_png(pixels)
    assert sum(kind == b"IDAT" for kind, _ in chunks(data)) > 5
    assert set(filtered(data)[:: 1 + 3 * 400]) == set(range(5))
    assert len(data) < 1.02 * len(by_pillow(pixels))


@pytest.mark.parametrize("output", ["rgb", "depth", "opacity", "normal"])
@pytest.mark.parametrize("encoded", ["png", "npy", "jpeg"])
def test_the_order_of_pieces_and_threads_change_no_byte(output, encoded):
    camera = analytic_scene.camera(300, 290)
    rays = analytic_scene.render(*camera.rays().arrays())
    light = Light(*(part.astype(np.float32) for part in rays)).as_image(290, 300)
    coloured = "turbo" if output == "depth" and encoded == "jpeg" else None
    options = RenderOptions(output=output, format=encoded, colormap=coloured)
    expected = encode(light, camera, INFO, options)

    most = []

    def backwards(steps, threads):
        results = None
        while True:
            try:
                pieces = steps.send(results)
            except StopIteration as end:
                return end.value
            most.append(len(pieces))
            begun = [threads.submit(piece) for piece in reversed(pieces)]
            results = [piece.result() for piece in reversed(begun)]

    with ThreadPoolExecutor(3) as threads:
        assert backwards(encoding(light, camera, INFO, options), threads) == expected
    assert max(most) == len(strips(290, 300, STRIP_PIXELS)) > 2


def test_work_is_its_steps():
    def work():
        first = yield [lambda: 1, lambda: 2]
        (last,) = yield [lambda: sum(first)]
        return last

    assert do(work()) == 3
    assert strips(10, 4, 12) == [slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 10)]
    assert strips(2, 100, 12) == [slice(0, 1), slice(1, 2)]
