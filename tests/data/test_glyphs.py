"""Letters are drawn with the one font that Pillow brings along (A to Z, a to z), under file names that `load` knows: so
these tests need no font on the machine."""

import unicodedata

import numpy as np
import pytest
from PIL import ImageFont

from atelier.data import glyphs

PILLOWS = ImageFont.load_default(20).path.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one font in it. One picture of a letter shall do, for there is no second font that differs; and two
    scripts, to be quick."""
    monkeypatch.setattr(glyphs, "FEWEST", 1)
    monkeypatch.setattr(glyphs, "SCRIPTS", {name: glyphs.SCRIPTS[name] for name in ("Latin", "Cyrillic")})
    (tmp_path / "Rufscript010.ttf").write_bytes(PILLOWS)
    return tmp_path


def test_no_class_is_a_number_in_any_script():
    alphabet = glyphs.alphabet()
    assert {unicodedata.category(c) for c in alphabet} == {"Lu", "Ll", "Lo"}
    assert all(unicodedata.numeric(c, None) is None for c in alphabet)
    assert len(set(alphabet)) == len(alphabet)


def test_accented_letters_are_left_out():
    assert {"A", "ß", "Я", "क"} <= set(glyphs.alphabet())
    assert not {"Ä", "é", "Й", "ё", "ά", "क़"} & set(glyphs.alphabet())


def test_every_class_has_pictures_as_mnist_has_them(folder):
    drawn = glyphs.load([folder])
    assert drawn.images.dtype == np.uint8
    assert drawn.images.shape == (len(drawn.labels), 28, 28)
    assert drawn.labels.dtype == np.int64
    assert (np.bincount(drawn.labels, minlength=len(drawn.characters)) > 0).all()
    assert (drawn.images.max(axis=(1, 2)) == 255).all()
    for direction in (1, 2):  # ink fills 20 pixels of the longer side, no more
        assert ((drawn.images.max(axis=direction) > 0).sum(axis=1) <= 20).all()
    assert drawn.fonts == ["Rufscript010.ttf"]


def test_a_letter_that_a_font_lacks_is_not_counted(folder):
    drawn = glyphs.load([folder])
    assert {"A", "g"} <= set(drawn.characters)
    assert not {"ß", "Я"} & set(drawn.characters)  # the font draws a box for these


def test_of_letters_that_look_alike_the_first_stays(folder):
    kept = set(glyphs.load([folder]).characters)
    assert {"C", "O", "S", "V", "X", "Z"} <= kept
    assert not {"c", "o", "s", "v", "x", "z"} & kept
    assert {"E", "F", "b", "d", "h", "n", "q"} <= kept


def test_a_letter_that_too_few_fonts_have_is_left_out(folder, monkeypatch):
    monkeypatch.setattr(glyphs, "FEWEST", 2)
    (folder / "lobster.otf").write_bytes(PILLOWS)  # the same pictures again are no second font
    with pytest.raises(glyphs.GlyphError):
        glyphs.load([folder])


def test_of_many_pictures_those_that_differ_most_stay(monkeypatch):
    looks = np.zeros((6, 196), dtype=np.float32)
    for row, (first, second) in enumerate([(1, 0), (1, 0), (0.9, 0.435), (0.7, 0.714), (0.995, 0.1), (0, 1)]):
        looks[row, :2] = first * glyphs.UNIT, second * glyphs.UNIT
    monkeypatch.setattr(glyphs, "MOST", 3)
    assert glyphs._different(looks).tolist() == [0, 3, 5]
    monkeypatch.setattr(glyphs, "MOST", 9)
    assert glyphs._different(looks).tolist() == [0, 2, 3, 5]  # the second and the fifth look like the first


def test_broken_files_are_skipped(folder):
    expected = glyphs.load([folder])
    (folder / "damase.ttf").write_bytes(b"no font")
    (folder / "Kristi.ttf").write_bytes(PILLOWS[: len(PILLOWS) // 2])
    (folder / "lobster.otf").mkdir()
    same(glyphs.load([folder]), expected)


def test_the_same_fonts_give_the_same_pictures_wherever_they_lie_and_whatever_else_does(folder):
    expected = glyphs.load([folder])
    (folder / "more").mkdir()
    (folder / "Rufscript010.ttf").rename(folder / "more" / "Rufscript010.ttf")
    (folder / "NotoEmoji-Regular.ttf").write_bytes(PILLOWS)  # not among PACKAGES
    (folder / "copy").mkdir()
    (folder / "copy" / "Rufscript010.ttf").write_bytes(PILLOWS)
    same(glyphs.load([folder]), expected)


def test_without_fonts_one_sentence_says_what_to_install(tmp_path):
    with pytest.raises(glyphs.GlyphError, match=r"^There are too few fonts .* run `apt-get install .*`\.$") as error:
        glyphs.load([tmp_path, tmp_path / "nowhere"])
    assert "\n" not in str(error.value)


def test_the_documented_packages_are_those_that_are_read():
    command = glyphs.__doc__.split("apt-get install")[1].split("\n\n")[0]
    assert command.replace("\\\n", "").split()[1:] == sorted(glyphs.PACKAGES)


def test_every_twentieth_picture_validates():
    drawn = glyphs.Glyphs(np.arange(40 * 784).reshape(40, 28, 28), np.repeat([0, 1], 20), ["A", "B"], [])
    train, val = drawn.split()
    assert val.labels.tolist() == [0, 1]
    assert train.labels.tolist() == [0] * 19 + [1] * 19
    assert sorted([*train.images[:, 0, 0], *val.images[:, 0, 0]]) == drawn.images[:, 0, 0].tolist()


def same(one: glyphs.Glyphs, other: glyphs.Glyphs) -> None:
    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.labels, other.labels)
    assert one.characters == other.characters
    assert one.fonts == other.fonts
