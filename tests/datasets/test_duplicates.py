import io

import numpy as np
import pytest
from PIL import Image

from datasets import duplicates, pixels


def thumbnails(*files):
    data = b"".join(pixels.thumbnail(file) for file in files)
    return np.frombuffer(data, np.uint8).reshape(-1, duplicates.ROWS, duplicates.COLUMNS)


def photo(seed, side=200):
    """A smooth random picture."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize((side * 4 // 3, side), Image.Resampling.BICUBIC)


def saved(image, image_format="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def sets(found):
    return [near.members.tolist() for near in found]


def test_equal_rows_are_found():
    rows = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [3, 4], [1, 2]], np.uint8)
    assert [members.tolist() for members in duplicates.exact_sets(rows)] == [[0, 2, 5], [1, 4]]
    assert duplicates.exact_sets(rows[:2]) == []
    assert duplicates.exact_sets(rows[:0]) == []


def test_dhash_is_one_bit_for_each_step_to_the_right():
    picture = np.zeros([2, 8, 9], np.uint8)
    picture[0] = np.arange(9)  # brighter all the way
    picture[1, 7, 8] = 1  # one step, the last
    assert [int(value) for value in duplicates.dhash(picture)] == [2**64 - 1, 1]


@pytest.mark.parametrize(
    "change",
    [
        lambda image: saved(image, quality=30),
        lambda image: saved(image, "PNG"),
        lambda image: saved(image.resize((140, 105))),
        lambda image: saved(image.resize((500, 375))),
        lambda image: saved(image.convert("L")),
        lambda image: saved(Image.eval(image, lambda value: min(255, value * 9 // 8 + 10))),
    ],
    ids=["quality", "format", "smaller", "larger", "gray", "brighter"],
)
def test_a_copy_looks_alike_and_other_pictures_do_not(change):
    originals = [photo(seed) for seed in range(12)]
    found = duplicates.near_sets(thumbnails(*map(saved, originals), change(originals[5])), 6)
    assert sets(found) == [[5, 12]]
    assert found[0].bits <= 6


def test_plain_pictures_are_like_no_other():
    plain = [saved(Image.new("RGB", (30, 30), colour)) for colour in ("black", "white", "white", "red")]
    assert duplicates.near_sets(thumbnails(*plain), 6) == []
    assert duplicates.near_sets(thumbnails(*plain)[:0], 6) == []


@pytest.mark.parametrize("many", [0, 10**9])
def test_pairs_within_the_distance_are_all_found(many, monkeypatch):
    """Against a comparison of all with all."""
    monkeypatch.setattr(duplicates, "_MANY", many)
    random = np.random.default_rng(0)
    base = random.integers(0, 256, (40, 8, 9)).astype(np.int64)
    noisy = [(base + random.integers(-size, size + 1, base.shape)).clip(0, 255) for size in (0, 10, 20, 30)]
    pictures = np.concatenate(noisy).astype(np.uint8)
    hashes = duplicates.dhash(pictures)
    for max_bits in (0, 3, 6, 10):
        expected = {
            (i, k)
            for i in range(len(hashes))
            for k in range(i + 1, len(hashes))
            if bin(int(hashes[i] ^ hashes[k])).count("1") <= max_bits
        }
        candidates = {
            (int(i), int(k))
            for first, second in duplicates._candidates(hashes, max_bits)
            for i, k in zip(first, second, strict=True)
        }
        assert expected <= candidates
        assert len(candidates) < 160 * 159 / 2 / 4
    joined = sets(duplicates.near_sets(pictures, 10))
    assert all(len({number % 40 for number in members}) == 1 for members in joined)
    assert len(joined) == 40


def test_chains_are_joined():
    found = duplicates._joined({(1, 2): 3, (2, 5): 4, (7, 9): 0})
    assert [(near.members.tolist(), near.bits) for near in found] == [([1, 2, 5], 4), ([7, 9], 0)]
