"""Which example goes to which split, and in which order: drawn from the seed and the examples' keys alone.

Every draw is a hash of (seed, key): the operating system's order of files plays no part, and one file more or less
moves hardly any other.
"""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from common.errors import UserError
from datasets.sources import Item

TRAIN = "train"
VALIDATION = "validation"
DEFAULT_FRACTION = 0.1


def plan(
    items: Sequence[Item], seed: int, fraction: float | None = None, count: int | None = None
) -> dict[str, list[Item]]:
    """Deals the items out to splits, each in its final order.

    Items that name their split go there. From the others a stratified validation split is drawn, with at least one item
    of every class in it and one left for training, where a class has two and the count allows; none is drawn if some
    item names `validation` itself.

    Args:
        items: in any order; keys are unique.
        seed: of the draw and of the order.
        fraction: share of the items drawn for validation.
        count: how many are drawn, instead of a fraction; 0 for none.

    Raises:
        UserError: the count leaves a class nothing to train on.
    """
    ordered = sorted(items, key=lambda item: _rank(seed, "split", item.key))
    result: dict[str, list[Item]] = defaultdict(list)
    by_class: dict[int, list[Item]] = defaultdict(list)
    for item in ordered:
        if item.split:
            result[item.split].append(item)
        else:
            by_class[item.label].append(item)
    labels = sorted(by_class)
    sizes = [len(by_class[label]) for label in labels]
    drawn = [0] * len(sizes) if VALIDATION in result else _numbers(sizes, fraction, count)
    for label, number in zip(labels, drawn, strict=True):
        result[VALIDATION] += by_class[label][:number]
        result[TRAIN] += by_class[label][number:]
    return {
        split: sorted(members, key=lambda item: _rank(seed, "order", item.key))
        for split, members in sorted(result.items())
        if members
    }


def _numbers(sizes: Sequence[int], fraction: float | None, count: int | None) -> list[int]:
    total = sum(sizes)
    if count is not None:
        most = sum(max(size - 1, 0) for size in sizes)
        if count > most:
            raise UserError(
                f"--validation_count={count} is too many: of {total} images in {len(sizes)} classes at most {most} "
                "can be taken, so that every class keeps one to train on"
            )
        return allocate(sizes, count)
    fraction = DEFAULT_FRACTION if fraction is None else fraction
    if not fraction:
        return [0] * len(sizes)
    return allocate(sizes, max(round(fraction * total), sum(size > 1 for size in sizes)))


def allocate(sizes: Sequence[int], total: int) -> list[int]:
    """Returns how many of each class to take, `total` in all, in proportion to the sizes (largest remainders).

    At least one of each class that has two, if `total` allows that, and never the last one of a class.
    """
    everything = sum(sizes)
    caps = [max(size - 1, 0) for size in sizes]
    least = 1 if sum(cap > 0 for cap in caps) <= total else 0
    quotas = [total * size / everything if everything else 0.0 for size in sizes]
    taken = [min(max(int(quota), least), cap) for quota, cap in zip(quotas, caps, strict=True)]
    while (short := min(total, sum(caps)) - sum(taken)) != 0:
        step = 1 if short > 0 else -1
        able = [k for k, cap in enumerate(caps) if (taken[k] < cap if step > 0 else taken[k] > min(least, cap))]
        for k in sorted(able, key=lambda k: step * (taken[k] - quotas[k]))[: abs(short)]:
            taken[k] += step
    return taken


def _rank(seed: int, purpose: str, key: str) -> bytes:
    # Names differ in how accents are stored between systems (NFC, NFD); surrogates stand for bytes that are not UTF-8.
    text = f"{seed}\0{purpose}\0{unicodedata.normalize('NFC', key)}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=12)
    return digest.digest() + key.encode("utf-8", "surrogateescape")
