"""Letters of fonts. The only font is the one inside Pillow (A to Z, a to z), under file names that `load` accepts."""

import unicodedata

import numpy as np
import pytest
from PIL import ImageFont

from atelier.data import glyphs

PILLOWS = ImageFont.load_default(20).path.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one font; one picture of a letter is enough here, and two scripts keep it fast."""
    monkeypatch.setattr(glyphs, "FEWEST", 1)
    monkeypatch.setattr(glyphs, "SCRIPTS", {name: glyphs.SCRIPTS[name] for name in ("Latin", "Cyrillic")})
    (tmp_path / "Rufscript010.ttf").write_bytes(PILLOWS)
    return tmp_path


def test_alphabet_has_no_numbers_and_no_accented_letters():
    alphabet = glyphs.alphabet()
    assert {unicodedata.category(c) for c in alphabet} == {"Lu", "Ll", "Lo"}
    assert all(unicodedata.numeric(c, None) is None for c in alphabet)
    assert len(set(alphabet)) == len(alphabet)
    assert {"A", "ß", "Я", "क"} <= set(alphabet)
    assert not {"Ä", "é", "Й", "ё", "ά", "क़"} & set(alphabet)


def test_pictures_have_mnists_format(folder):
    drawn = glyphs.load([folder])
    assert drawn.images.dtype == np.uint8
    assert drawn.images.shape == (len(drawn.labels), 28, 28)
    assert drawn.labels.dtype == np.int64
    assert (np.bincount(drawn.labels, minlength=len(drawn.characters)) > 0).all()
    assert (drawn.images.max(axis=(1, 2)) == 255).all()
    for direction in (1, 2):  # at most 20 pixels
        assert ((drawn.images.max(axis=direction) > 0).sum(axis=1) <= 20).all()
    assert drawn.fonts == ["Rufscript010.ttf"]


def test_missing_letters_and_the_second_of_similar_letters_are_dropped(folder):
    kept = set(glyphs.load([folder]).characters)
    assert {"A", "g", "C", "O", "S", "V", "X", "Z", "E", "F", "b", "d", "h", "n", "q"} <= kept
    assert not {"c", "o", "s", "v", "x", "z"} & kept
    assert not {"ß", "Я"} & kept  # the font draws a box for these


def test_letter_with_too_few_pictures_is_dropped(folder, monkeypatch):
    monkeypatch.setattr(glyphs, "FEWEST", 2)
    (folder / "lobster.otf").write_bytes(PILLOWS)  # its pictures are the same
    with pytest.raises(glyphs.GlyphError):
        glyphs.load([folder])


def test_pictures_that_differ_most_stay(monkeypatch):
    vectors = np.zeros((6, 196), dtype=np.float32)
    for row, (first, second) in enumerate([(1, 0), (1, 0), (0.9, 0.435), (0.7, 0.714), (0.995, 0.1), (0, 1)]):
        vectors[row, :2] = first * glyphs.UNIT, second * glyphs.UNIT
    monkeypatch.setattr(glyphs, "MOST", 3)
    assert glyphs._different(vectors).tolist() == [0, 3, 5]
    monkeypatch.setattr(glyphs, "MOST", 9)
    assert glyphs._different(vectors).tolist() == [0, 2, 3, 5]  # the second and the fifth are similar to the first


def test_broken_and_other_fonts_and_the_place_of_fonts_do_not_matter(folder):
    expected = glyphs.load([folder])
    (folder / "damase.ttf").write_bytes(b"no font")
    (folder / "Kristi.ttf").write_bytes(PILLOWS[: len(PILLOWS) // 2])
    (folder / "lobster.otf").mkdir()
    (folder / "more").mkdir()
    (folder / "Rufscript010.ttf").rename(folder / "more" / "Rufscript010.ttf")
    (folder / "NotoEmoji-Regular.ttf").write_bytes(PILLOWS)  # not among PACKAGES
    (folder / "copy").mkdir()
    (folder / "copy" / "Rufscript010.ttf").write_bytes(PILLOWS)
    drawn = glyphs.load([folder])
    assert np.array_equal(drawn.images, expected.images)
    assert np.array_equal(drawn.labels, expected.labels)
    assert (drawn.characters, drawn.fonts) == (expected.characters, expected.fonts)


def test_missing_fonts_are_named(tmp_path):
    with pytest.raises(glyphs.GlyphError, match=r"apt-get install .*`\.$") as error:
        glyphs.load([tmp_path, tmp_path / "nowhere"])
    assert "\n" not in str(error.value)


def test_documented_packages_are_complete():
    command = glyphs.__doc__.split("apt-get install")[1].split("\n\n")[0]
    assert command.replace("\\\n", "").split()[1:] == sorted(glyphs.PACKAGES)


def test_every_twentieth_picture_is_for_validation():
    drawn = glyphs.Glyphs(np.arange(40 * 784).reshape(40, 28, 28), np.repeat([0, 1], 20), ["A", "B"], [])
    train, val = drawn.split()
    assert val.labels.tolist() == [0, 1]
    assert train.labels.tolist() == [0] * 19 + [1] * 19
    assert sorted([*train.images[:, 0, 0], *val.images[:, 0, 0]]) == drawn.images[:, 0, 0].tolist()
