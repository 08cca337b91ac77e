import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

import atelier
from atelier.data import hands, mnist, photo, scenes
from atelier.data.drawing import from_polylines, rasterise


def file(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def paper(lines, light, pen=26, kind="JPEG", **options) -> bytes:
    """A 'photo' of pen strokes on paper under the given light `float[880, 880]`, a little blurred and noisy."""
    ink = np.kron(rasterise(from_polylines(lines, pen)), np.ones((2, 2))) / 255
    noise = np.random.default_rng(0).normal(0, 3, light.shape)
    picture = Image.fromarray((light * (1 - 0.7 * ink) + noise).clip(0, 255).astype(np.uint8))
    return file(picture.filter(ImageFilter.GaussianBlur(1.5)), kind, **options)


SEVEN = [[[130, 110], [300, 100], [200, 340]], [[170, 220], [270, 215]]]
EVEN = np.full((880, 880), 220.0)
X, Y = np.meshgrid(np.linspace(0, 1, 880), np.linspace(0, 1, 880))


def likeness(a, b) -> float:
    return np.corrcoef(a.astype(float).ravel(), b.astype(float).ravel())[0, 1]


@pytest.fixture(scope="module")
def drawn():
    return photo.normalise(rasterise(from_polylines(SEVEN, 26)))


LIGHTS = {
    "even": EVEN,
    "a lamp on one side": 60 + 180 * X,
    "a dark corner": 230 - 160 * np.hypot(X, Y) / 1.4,
    "half in the shadow": np.where(X + 0.2 * Y > 0.9, 110.0, 215.0),
}


@pytest.mark.parametrize("light", LIGHTS)
def test_ink_is_found_under_uneven_light(light, drawn):
    assert likeness(photo.read_digit(paper(SEVEN, LIGHTS[light])), drawn) > 0.9


def test_chalk_on_a_board_is_read_too(drawn):
    dark = Image.open(io.BytesIO(paper(SEVEN, LIGHTS["a lamp on one side"])))
    assert likeness(photo.read_digit(file(Image.eval(dark, lambda v: 255 - v))), drawn) > 0.9


def test_a_photo_taken_sideways_is_turned_as_its_exif_says(drawn):
    upright = Image.open(io.BytesIO(paper(SEVEN, EVEN)))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: turn by 90 degrees clockwise to view
    content = file(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)
    assert likeness(photo.read_digit(content), drawn) > 0.9


@pytest.mark.parametrize("ink", [0, 255])
def test_transparent_ground_contrasts_with_the_ink(ink, drawn):
    opacity = Image.fromarray(rasterise(from_polylines(SEVEN, 26)))
    picture = Image.merge("LA", [Image.new("L", opacity.size, ink), opacity])
    assert likeness(photo.read_digit(file(picture)), drawn) > 0.9


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "CMYK", "I;16"])
def test_pictures_of_any_kind_are_read(mode, drawn):
    picture = Image.fromarray(255 - rasterise(from_polylines(SEVEN, 26)))
    if mode == "I;16":
        content = file(Image.fromarray(np.asarray(picture).astype(np.uint16) * 256))
    else:
        content = file(picture.convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    assert likeness(photo.read_digit(content), drawn) > 0.9


def test_a_mnist_digit_saved_as_it_is_comes_back_as_it_is():
    digit = mnist.load("test")[0][0]
    assert (photo.read_digit(file(Image.fromarray(digit))) == digit).all()
    assert (photo.read_digit(file(Image.fromarray(255 - digit))) == digit).all()


def test_enlarged_mnist_digits_keep_their_shape():
    digits = mnist.load("test")[0][:40]
    enlarged = (Image.fromarray(255 - digit).resize((280, 280), Image.Resampling.BICUBIC) for digit in digits)
    similar = [
        likeness(photo.read_digit(file(picture)), digit) for picture, digit in zip(enlarged, digits, strict=True)
    ]
    assert np.mean(similar) > 0.9


def test_photos_of_other_hands_are_read_by_the_cnn():
    images, labels, _ = hands.pen_strokes()
    light = (200 - 90 * np.linspace(0, 1, 560))[None, :]
    read = []
    for image in images[::6]:
        ink = np.kron(image, np.ones((20, 20))) / 255
        read.append(photo.read_digit(file(Image.fromarray((light * (1 - 0.7 * ink)).astype(np.uint8)), "JPEG")))
    assert np.mean(atelier.load("cnn", "cpu").predict(np.stack(read)) == labels[::6]) >= 0.95


REFUSED = {
    "a text file": (b"I am not a picture", "not a picture"),
    "an empty file": (b"", "not a picture"),
    "a truncated photo": (paper(SEVEN, EVEN)[:3000], "damaged"),
    "50 megapixels": (file(Image.new("1", (10_000, 5_000))), "40 megapixels"),
    "a decompression bomb": (file(Image.new("1", (20_000, 20_000))), "40 megapixels"),
    "blank paper": (paper([], EVEN), "No pen stroke"),
    "a gradient": (paper([], LIGHTS["a dark corner"]), "No pen stroke"),
    "28 blank pixels": (file(Image.new("L", (28, 28))), "blank"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_gets_a_sentence(what):
    content, sentence = REFUSED[what]
    with pytest.raises(photo.PhotoError, match=sentence):
        photo.read_digit(content)


@pytest.mark.parametrize("light", LIGHTS)
def test_a_number_on_paper_keeps_its_digits_apart_and_its_proportions(light):
    two = [[[x * 0.4 + shift, y * 0.4 + 150] for x, y in line] for shift in (20, 220) for line in SEVEN]
    scene = photo.read_scene(paper(two, LIGHTS[light], pen=12))
    found = scenes.pieces(scene)
    assert len(found) == 2
    for (left, top, right, bottom), digit in found:
        assert (bottom - top) / (right - left) == pytest.approx(108 / 80, rel=0.1)  # the pen's width included
        assert digit.shape == (28, 28)
    height, width = scene.shape
    assert 1.2 < width / height < 2.5  # cut to the ink and a margin


def test_a_page_without_a_number_gets_a_sentence():
    with pytest.raises(photo.PhotoError, match="pen stroke"):
        photo.read_scene(file(Image.new("L", (300, 300), 200)))
