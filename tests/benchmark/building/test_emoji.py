import hashlib
import json
import zipfile
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from benchmark.building import build_emoji
from benchmark.building.emoji import drawn
from benchmark.building.files import FONT, NAMES
from benchmark.building.pictures import features_of
from benchmark.building.text_encoder import TENSOR, TOKENIZER, VECTORS, TextEncoder
from benchmark.errors import TaskDataError
from benchmark.tasks.cache import kept_arrays

DEJAVU = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
LIST = """\
# group: Symbols
2600                       ; fully-qualified     # \u2600 E0.6 sun
2601                       ; fully-qualified     # \u2601 E0.6 cloud
2601 FE0F                  ; unqualified         # \u2601 E0.6 cloud again
2605                       ; fully-qualified     # \u2605 E1.0 black star
2605 1F3FB                 ; fully-qualified     # \u2605 E1.0 black star: light skin tone
2600 200D 2601 200D 2602   ; fully-qualified     # \u2600 E1.0 sun, cloud and umbrella
200B                       ; fully-qualified     # \u200b E1.0 nothing
2602                       ; fully-qualified     # \u2602 E0.6 umbrella: red
2602                       ; fully-qualified     # \u2602 E0.6 second umbrella
"""
WORDS = ("[UNK]", "sun", "cloud", "black", "star", "umbrella", "red", ":")


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHOBUST_DATASETS_DIR", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    file = tmp_path / "emoji-test.txt"
    file.write_text(LIST, encoding="utf-8")
    return file


def vectors() -> np.ndarray[tuple[int, int], np.dtype[np.float16]]:
    return np.arange(len(WORDS) * 4, dtype=np.float16).reshape(len(WORDS), 4)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A folder with the content of a wheel, made of a few words."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path / "encoder"
    for name in (VECTORS, TOKENIZER):
        (folder / name).parent.mkdir(parents=True)
    codes = {word: place for place, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(codes, unk_token="[UNK]"))  # noqa: S106  (a word, no secret)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / TOKENIZER))
    save_file({TENSOR: vectors()}, folder / VECTORS)
    return folder


def test_pictures_and_names_are_paired_counted_and_told_of(datasets: Path, names: Path, encoder: Path) -> None:
    built = build_emoji(encoder, font=DEJAVU, names=names)
    assert (built.n_emoji, built.n_toned, built.n_repeated) == (4, 1, 1)
    assert built.n_undrawn == 2, "one is drawn as two pictures, one as none"
    kept = kept_arrays(datasets / "emoji", "emoji")
    assert kept is not None
    assert kept.arrays["name"].tolist() == ["sun", "cloud", "black star", "umbrella: red"]
    assert kept.arrays["emoji"].tolist() == ["\u2600", "\u2601", "\u2605", "\u2602"]
    assert kept.arrays["image"].shape == (4, 704)
    assert kept.arrays["image"].dtype == kept.arrays["text"].dtype == np.float32
    assert len(np.unique(kept.arrays["image"], axis=0)) == 4
    np.testing.assert_array_equal(kept.arrays["text"][2], vectors().astype(np.float32)[[3, 4]].mean(axis=0))
    told = json.loads(built.file.with_suffix(".json").read_text(encoding="utf-8"))
    assert told["emoji"] == 4
    assert told["sources"]["names"]["sha256"] == hashlib.sha256(names.read_bytes()).hexdigest()
    assert told["sources"]["encoder"][VECTORS] == hashlib.sha256((encoder / VECTORS).read_bytes()).hexdigest()
    assert told["sources"]["font"]["file"] == "DejaVuSans.ttf"


def test_building_again_gives_the_same_and_takes_the_place_of_others(
    datasets: Path, names: Path, encoder: Path
) -> None:
    first = build_emoji(encoder, font=DEJAVU, names=names)
    assert build_emoji(encoder, font=DEJAVU, names=names) == first
    names.write_text(LIST.replace("umbrella: red", "red umbrella"), encoding="utf-8")
    second = build_emoji(encoder, font=DEJAVU, names=names)
    assert second.file != first.file
    assert sorted((datasets / "emoji").iterdir()) == sorted([second.file, second.file.with_suffix(".json")])


def test_a_wheel_is_read_as_its_content_is(tmp_path: Path, encoder: Path) -> None:
    wheel = tmp_path / "wordllama-0.4.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (VECTORS, TOKENIZER):
            archive.write(encoder / name, f"wordllama/{name}")
    texts = ["sun: red", "cloud", "nothing known"]
    found, expected = TextEncoder.load(wheel), TextEncoder.load(encoder)
    np.testing.assert_array_equal(found.embedded(texts), expected.embedded(texts))
    np.testing.assert_array_equal(found.embedded(texts)[0], vectors().astype(np.float32)[[1, 7, 6]].mean(axis=0))
    assert found.source == {**expected.source, "file": wheel.name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be a wheel of wordllama, or a folder of one, but"),
        (b"no archive", "must be a wheel of wordllama, or a folder of one, but"),
    ],
)
def test_a_wheel_that_is_none_says_what_to_run(tmp_path: Path, content: bytes | None, message: str) -> None:
    wheel = tmp_path / "wordllama.whl"
    if content is not None:
        wheel.write_bytes(content)
    with pytest.raises(TaskDataError, match=rf"{message}.*`rhobust build emoji"):
        TextEncoder.load(wheel)


@pytest.mark.parametrize(("name", "content"), [(VECTORS, b"none"), (TOKENIZER, b"{}"), (TOKENIZER, b"\xff")])
def test_an_encoder_that_is_damaged_is_named(encoder: Path, name: str, content: bytes) -> None:
    (encoder / name).write_bytes(content)
    with pytest.raises(TaskDataError, match=r"must be WordLlama 0\.4, but"):
        TextEncoder.load(encoder)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TaskDataError, match="the package wordllama must be installed, or its wheel be given"):
        TextEncoder.load(None)


def test_sources_that_are_missing_or_empty_are_named(tmp_path: Path, names: Path, encoder: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(TaskDataError, match=rf"{missing} must be the list of emoji.*unicode-data"):
        build_emoji(encoder, font=DEJAVU, names=missing)
    with pytest.raises(TaskDataError, match=rf"{missing} must be a font.*fonts-noto-color-emoji"):
        build_emoji(encoder, font=missing, names=names)
    names.write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(TaskDataError, match="but no line has one"):
        build_emoji(encoder, font=DEJAVU, names=names)


def test_features_are_colours_and_directions_of_edges() -> None:
    picture = np.zeros((1, 128, 128, 3), dtype=np.uint8)
    picture[0, :, 64:, 0] = 255  # red on the right: one upright edge
    features = features_of(picture)[0]
    colours, edges = features[:192].reshape(8, 8, 3), features[192:].reshape(8, 8, 8)
    np.testing.assert_array_equal(colours[:, 4:, 0], 1)
    assert colours[:, :4].max() == colours[..., 1:].max() == 0
    assert (edges[:, 3:5, 0] > 0).all()
    edges[:, 3:5, 0] = 0
    assert edges.max() == 0, "elsewhere, and in other directions, there is no edge"
    turned = features_of(picture.transpose(0, 2, 1, 3))[0][192:].reshape(8, 8, 8)
    assert (turned[3:5, :, 4] > 0).all()
    np.testing.assert_allclose(np.delete(turned, 4, axis=2), 0)


def test_an_edge_has_the_direction_of_its_gradient_up_to_sign() -> None:
    down, across = np.mgrid[0:128, 0:128]
    for angle, direction in ((11, 0), (34, 1), (101, 4), (168, 7)):
        ramp = across * np.cos(np.radians(angle)) + down * np.sin(np.radians(angle))
        for sign in (1, -1):
            grey = np.clip(127 + 6 * sign * (ramp - ramp.mean()), 0, 255).astype(np.uint8)
            edges = features_of(np.repeat(grey[None, ..., None], 3, axis=3))[0][192:].reshape(8, 8, 8)
            assert edges.sum(axis=(0, 1)).argmax() == direction


@pytest.mark.skipif(
    not (FONT.exists() and NAMES.exists()), reason="Debian's fonts-noto-color-emoji and unicode-data are not here"
)
def test_noto_draws_every_emoji_as_one_picture_in_colour() -> None:
    pictures, is_one = drawn(FONT, ["\U0001f600", "\U0001f1f3\U0001f1f4", "\U0001f468\u200d\U0001f33e", "A\U0001f600"])
    assert is_one == [True, True, True, False]
    assert (np.ptp(pictures[:3].astype(int), axis=3).max(axis=(1, 2)) > 100).all()
