"""Which example goes to which split, and in which order: drawn from the seed and the examples' keys alone.

Every draw is a hash of (seed, key), or of (seed, group) for what must stay together: the operating system's order of
files plays no part, and one file more or less moves hardly any other.
"""

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from common.errors import UserError
from datasets.sources import Item

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
DEFAULT_FRACTION = 0.1
_NO_CLASS = -1  # stands for the class of an image that has none of several


class Wish(NamedTuple):
    """How the examples that do not name their split are dealt out.

    Attributes:
        fraction: share drawn for validation; None for a tenth.
        count: number drawn for validation, instead of a fraction; 0 for none.
        test_fraction: share drawn for a test split.
        num_folds: number of folds that they are dealt into, instead of training and validation; 0 for none.
    """

    fraction: float | None = None
    count: int | None = None
    test_fraction: float = 0.0
    num_folds: int = 0


class _Unit(NamedTuple):
    """Items that go to one split together: a group, or one item.

    Attributes:
        items: what it has.
        classes: class and how many of its images have it, of each; an image of several classes counts for each.
    """

    items: tuple[Item, ...]
    classes: tuple[tuple[int, int], ...]


def fold_name(number: int) -> str:
    """Returns the name of the split that fold `number` is stored as: `fold0`."""
    return f"fold{number}"


def plan(
    items: Sequence[Item], seed: int, fraction: float | None = None, count: int | None = None, **more: float
) -> dict[str, list[Item]]:
    """Deals the items out to splits, each in its final order.

    Items that name their split go there, and with them the rest of their group. From the others a stratified validation
    split is drawn, with at least one item of every class in it and one left for training, where a class has two (two
    groups) and the count allows; none is drawn if some item names `validation` itself, and the same for `test`. With
    folds, all items but those that name a split other than `train` and `validation` are dealt into `fold0`, `fold1`,
    ..., stratified, so that each is in just one of them.

    Args:
        items: in any order; keys are unique.
        seed: of the draw and of the order.
        fraction, count, more: the fields of `Wish`.

    Raises:
        UserError: the count leaves a class nothing to train on, or there are more folds than images or groups.
    """
    wish = Wish(fraction, count, **more)
    result: dict[str, list[Item]] = defaultdict(list)
    free = []
    for unit in _units(items, seed):
        named = {item.split for item in unit.items if item.split}
        if wish.num_folds and named <= {TRAIN, VALIDATION}:
            named = set()
        if not named:
            free.append(unit)
        for item in unit.items if named else ():
            result[item.split or (min(named) if len(named) == 1 else TRAIN)].append(item)
    fraction = DEFAULT_FRACTION if wish.fraction is None else wish.fraction
    if wish.test_fraction and TEST not in result:
        taken, rest = _draw_stratified(free, wish.test_fraction, None, keep=2)
        result[TEST] += _items(taken)
        fraction *= len(_items(free)) / max(len(_items(rest)), 1)  # both are shares of all
        free = rest
    if wish.num_folds:
        for number, units in enumerate(_folds(free, wish.num_folds)):
            result[fold_name(number)] += _items(units)
    else:
        if VALIDATION not in result:
            taken, free = _draw_stratified(free, fraction, wish.count, keep=1)
            result[VALIDATION] += _items(taken)
        result[TRAIN] += _items(free)
    return {
        split: sorted(members, key=lambda item: _rank(seed, "order", item.key))
        for split, members in sorted(result.items())
        if members
    }


def torn_groups(planned: Mapping[str, Sequence[Item]]) -> dict[str, list[str]]:
    """Returns the groups that lie in more than one split (the items said so themselves): group -> its splits."""
    where: dict[str, set[str]] = defaultdict(set)
    for split, items in planned.items():
        for item in items:
            if item.group is not None:
                where[item.group].add(split)
    return {group: sorted(found) for group, found in sorted(where.items()) if len(found) > 1}


def _units(items: Sequence[Item], seed: int) -> list[_Unit]:
    """The items by group, in the order in which they are drawn."""
    groups: dict[str, list[Item]] = defaultdict(list)
    units = []
    of_one: dict[tuple[int, ...], tuple[tuple[int, int], ...]] = {}  # shared, as there may be a million items
    for item in items:
        if item.group is None:
            classes = item.classes or (_NO_CLASS,)
            if classes not in of_one:
                of_one[classes] = tuple((label, 1) for label in classes)
            units.append(_Unit((item,), of_one[classes]))
        else:
            groups[item.group].append(item)
    for members in groups.values():
        classes = Counter(label for item in members for label in item.classes or (_NO_CLASS,))
        units.append(_Unit(tuple(members), tuple(sorted(classes.items()))))

    def rank(unit: _Unit) -> bytes:
        item = unit.items[0]
        return _rank(seed, "split", item.key) if item.group is None else _rank(seed, "group", item.group)

    return sorted(units, key=rank)


def _items(units: Sequence[_Unit]) -> list[Item]:
    return [item for unit in units for item in unit.items]


def _sizes(units: Sequence[_Unit]) -> tuple[Counter, dict[int, int]]:
    """Images of each class, and of each class the fewest that come with one unit."""
    sizes: Counter = Counter()
    smallest: dict[int, int] = {}
    for unit in units:
        for label, number in unit.classes:
            sizes[label] += number
            smallest[label] = min(smallest.get(label, number), number)
    return sizes, smallest


def _draw_stratified(
    units: Sequence[_Unit], fraction: float, count: int | None, keep: int
) -> tuple[list[_Unit], list[_Unit]]:
    """Draws a share or a number of images; returns what is drawn and the rest, which keeps `keep` units a class."""
    sizes, smallest = _sizes(units)
    labels = sorted(sizes)
    caps = [max(sizes[label] - keep * smallest[label], 0) for label in labels]
    images, places = sum(len(unit.items) for unit in units), sum(sizes.values())
    if count is not None:
        # An image of several classes takes a place in each.
        most = sum(caps) * images // places if places else 0
        if count > most:
            classes = len(set(sizes) - {_NO_CLASS})
            raise UserError(
                f"--validation_count={count} is too many: of {images} images in {classes} classes at most {most} "
                "can be taken, so that every class keeps one to train on"
            )
        total = round(count * places / images) if images else 0
    else:
        total = max(round(fraction * places), sum(cap > 0 for cap in caps)) if fraction else 0
    wanted = allocate([sizes[label] for label in labels], total, caps)
    return _draw(units, dict(zip(labels, wanted, strict=True)), sizes)


def _draw(
    units: Sequence[_Unit], wanted: Mapping[int, int], sizes: Mapping[int, int] | None
) -> tuple[list[_Unit], list[_Unit]]:
    """Takes units in their order, as long as each brings the classes nearer to the numbers wanted.

    With `sizes` (images of each class) the last unit of a class is never taken, and where groups are too large to fit,
    the smallest one of a class that would get none is.
    """
    needed, left = dict(wanted), dict(sizes or {})
    taken, rest = [], []

    def gain(unit: _Unit, sign: int) -> int:
        """How much nearer it comes, taken (sign 1) or put back (-1)."""
        return sum(abs(needed[label]) - abs(needed[label] - sign * number) for label, number in unit.classes)

    def move(unit: _Unit, sign: int) -> None:
        for label, number in unit.classes:
            needed[label] -= sign * number
            if sizes is not None:
                left[label] -= sign * number

    def is_spare(unit: _Unit) -> bool:
        return sizes is None or all(left[label] > number for label, number in unit.classes)

    for unit in units:
        if gain(unit, 1) > 0 and is_spare(unit):
            taken.append(unit)
            move(unit, 1)
        else:
            rest.append(unit)
    if sizes is None:
        return taken, rest
    forced = False
    for label in sorted(wanted):
        if wanted[label] and needed[label] == wanted[label]:
            able = [unit for unit in rest if any(label == own for own, _ in unit.classes) and is_spare(unit)]
            if able:
                unit = min(able, key=lambda unit: len(unit.items))
                rest = [other for other in rest if other is not unit]
                taken.append(unit)
                move(unit, 1)
                forced = True
    for unit in taken[:] if forced else ():  # what they made superfluous
        keeps_all = all(needed[label] + number < wanted[label] for label, number in unit.classes if wanted[label])
        if gain(unit, -1) > 0 and keeps_all:
            taken = [other for other in taken if other is not unit]
            rest.append(unit)
            move(unit, -1)
    return taken, rest


def _folds(units: Sequence[_Unit], number: int) -> list[list[_Unit]]:
    if number > len(units):
        what = "images or groups of images" if any(len(unit.items) > 1 for unit in units) else "images"
        raise UserError(f"--num_folds={number} is too many: there are {len(units)} {what}; every fold needs one")
    folds, rest = [], list(units)
    for parts in range(number, 1, -1):
        sizes, _ = _sizes(rest)
        labels = sorted(sizes)
        values = [sizes[label] for label in labels]
        wanted = allocate(values, round(sum(values) / parts), values, least=0)
        taken, others = _draw(rest, dict(zip(labels, wanted, strict=True)), None)
        if not taken:  # large groups only: none fits
            taken, others = rest[:1], rest[1:]
        elif len(others) < parts - 1:
            taken, others = taken[: len(rest) - parts + 1], [*taken[len(rest) - parts + 1 :], *others]
        folds.append(taken)
        rest = others
    return [*folds, rest]


def allocate(sizes: Sequence[int], total: int, caps: Sequence[int] | None = None, least: int = 1) -> list[int]:
    """Returns how many of each class to take, `total` in all, in proportion to the sizes (largest remainders).

    Args:
        sizes: images of each class.
        total: number to take; fewer are taken where the caps do not allow it.
        caps: most of each class; all but one by default.
        least: of each class that may give any, if `total` allows that.
    """
    everything = sum(sizes)
    caps = [max(size - 1, 0) for size in sizes] if caps is None else caps
    least = least if sum(cap > 0 for cap in caps) <= total else 0
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
