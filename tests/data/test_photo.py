"""Ink in images and in photos made here, with uneven light, and files that are refused."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

import atelier
from atelier.data import hands, mnist, photo, scenes
from atelier.data.drawing import from_polylines, normalise, rasterise


def file(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def paper(lines, light, pen=26, kind="JPEG", **options) -> bytes:
    """A photo of pen strokes on paper under a light `float[880, 880]`, slightly blurred and noisy."""
    ink = np.kron(rasterise(from_polylines(lines, pen)), np.ones((2, 2))) / 255
    noise = np.random.default_rng(0).normal(0, 3, light.shape)
    picture = Image.fromarray((light * (1 - 0.7 * ink) + noise).clip(0, 255).astype(np.uint8))
    return file(picture.filter(ImageFilter.GaussianBlur(1.5)), kind, **options)


SEVEN = [[[130, 110], [300, 100], [200, 340]], [[170, 220], [270, 215]]]
EVEN = np.full((880, 880), 220.0)
X, Y = np.meshgrid(np.linspace(0, 1, 880), np.linspace(0, 1, 880))


def similarity(a, b) -> float:
    return np.corrcoef(a.astype(float).ravel(), b.astype(float).ravel())[0, 1]


@pytest.fixture(scope="module")
def drawn():
    return normalise(rasterise(from_polylines(SEVEN, 26)))


LIGHTS = {
    "even": EVEN,
    "lamp on one side": 60 + 180 * X,
    "dark corner": 230 - 160 * np.hypot(X, Y) / 1.4,
    "half in shadow": np.where(X + 0.2 * Y > 0.9, 110.0, 215.0),
}


@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("chalk", [False, True])
def test_ink_and_chalk_are_found_under_uneven_light(light, chalk, drawn):
    picture = Image.open(io.BytesIO(paper(SEVEN, LIGHTS[light])))
    content = file(Image.eval(picture, lambda v: 255 - v) if chalk else picture)
    assert similarity(photo.read_digit(content), drawn) > 0.9


def test_sideways_photo_is_rotated_by_its_exif_data(drawn):
    upright = Image.open(io.BytesIO(paper(SEVEN, EVEN)))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    content = file(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)
    assert similarity(photo.read_digit(content), drawn) > 0.9


@pytest.mark.parametrize("ink", [0, 255])
def test_ground_behind_transparent_image_contrasts(ink, drawn):
    opacity = Image.fromarray(rasterise(from_polylines(SEVEN, 26)))
    picture = Image.merge("LA", [Image.new("L", opacity.size, ink), opacity])
    assert similarity(photo.read_digit(file(picture)), drawn) > 0.9


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "CMYK", "I;16"])
def test_images_of_any_mode_are_read(mode, drawn):
    picture = Image.fromarray(255 - rasterise(from_polylines(SEVEN, 26)))
    if mode == "I;16":
        content = file(Image.fromarray(np.asarray(picture).astype(np.uint16) * 256))
    else:
        content = file(picture.convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    assert similarity(photo.read_digit(content), drawn) > 0.9


@pytest.mark.parametrize("ground", [0, 255])
def test_mnist_digits_are_restored_at_any_size(ground):
    digits, similar = mnist.load("test")[0][:20], []
    for digit in digits:
        picture = Image.fromarray(np.abs(ground - digit.astype(int)).astype(np.uint8))
        assert (photo.read_digit(file(picture)) == digit).all()
        enlarged = picture.resize((280, 280), Image.Resampling.BICUBIC)
        similar.append(similarity(photo.read_digit(file(enlarged)), digit))
    assert np.mean(similar) > 0.9


@pytest.mark.slow
def test_cnn_reads_photos_of_other_hands():
    images, labels, _ = hands.pen_strokes()
    light = (200 - 90 * np.linspace(0, 1, 560))[None, :]
    read = []
    for image in images[::6]:
        ink = np.kron(image, np.ones((20, 20))) / 255
        read.append(photo.read_digit(file(Image.fromarray((light * (1 - 0.7 * ink)).astype(np.uint8)), "JPEG")))
    assert np.mean(atelier.load("cnn", "cpu").predict(np.stack(read)) == labels[::6]) >= 0.95


REFUSED = {
    "text": (b"I am not a picture", "not an image"),
    "empty": (b"", "not an image"),
    "truncated photo": (paper(SEVEN, EVEN)[:3000], "damaged"),
    "50 megapixels": (file(Image.new("1", (10_000, 5_000))), "40 megapixels"),
    "decompression bomb": (file(Image.new("1", (20_000, 20_000))), "40 megapixels"),
    "blank paper": (paper([], EVEN), "pen stroke"),
    "gradient": (paper([], LIGHTS["dark corner"]), "pen stroke"),
    "28 blank pixels": (file(Image.new("L", (28, 28))), "blank|pen stroke"),
}


@pytest.mark.parametrize("content", REFUSED)
def test_unreadable_image_is_refused(content):
    data, reason = REFUSED[content]
    for read in (photo.read_digit, photo.read_scene):
        with pytest.raises(photo.PhotoError, match=reason):
            read(data)


@pytest.mark.parametrize("light", LIGHTS)
def test_number_on_paper_keeps_its_digits_and_proportions(light):
    two = [[[x * 0.4 + shift, y * 0.4 + 150] for x, y in line] for shift in (20, 220) for line in SEVEN]
    scene = photo.read_scene(paper(two, LIGHTS[light], pen=12))
    pieces = scenes.pieces(scene)
    assert len(pieces) == 2
    for (left, top, right, bottom), digit in pieces:
        assert (bottom - top) / (right - left) == pytest.approx(108 / 80, rel=0.1)  # the pen's width included
        assert digit.shape == (28, 28)
    height, width = scene.shape
    assert 1.2 < width / height < 2.5  # cut to the ink and a margin
