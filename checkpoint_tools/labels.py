"""Which class of one list of names is which of another. Pure Python.

Names are compared exactly after normalisation: case, `_`, `-` and runs of blanks do not count. ImageNet's labels have
several names between commas ("tench, Tinca tinca"); a label with one name means the class that has it among its names,
and two labels with several names each mean one class where one has all the names of the other. A WordNet id
(`n01440764`, `n01440764-tench`) says more than any name. A name that two classes have ("crane") is never guessed at.
"""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Mapping, Sequence

from common import suggest

_WORDNET_ID = re.compile(r"(n\d{8})(?:[-_\s]+(.*))?", re.DOTALL)
_MOST_LISTED = 5


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What a label says.

    Attributes:
        names: its names, normalised; none where it is a WordNet id that nothing is known of.
        wordnet: its WordNet id, where it has or is known to have one.
    """

    names: frozenset[str]
    wordnet: str | None = None


class WordNet:
    """The classes of ImageNet as far as they are told apart by name.

    Args:
        labels: WordNet id -> its names between commas.
    """

    def __init__(self, labels: Mapping[str, str] | None = None):
        self._names = {wordnet: names_of(text) for wordnet, text in (labels or {}).items()}
        holders = collections.defaultdict(set)
        for wordnet, names in self._names.items():
            for name in names:
                holders[name].add(wordnet)
        self._of_two = {name for name, ids in holders.items() if len(ids) > 1}
        whole = collections.Counter(self._names.values())
        # A whole label of several names is ImageNet's own; a single name may be anybody's ("crane").
        self._by_label = {
            names: wordnet for wordnet, names in self._names.items() if len(names) > 1 and whole[names] == 1
        }

    def meaning(self, label: str) -> Meaning:
        """Returns what a label means."""
        match = _WORDNET_ID.fullmatch(label.strip())
        if match is None:
            names = names_of(label)
            return Meaning(names, self._by_label.get(names))
        wordnet, rest = match.groups()
        # A name that another class has as well would stand for both.
        return Meaning(names_of(rest or "") or self._names.get(wordnet, frozenset()) - self._of_two, wordnet)

    def meanings(self, labels: Sequence[str]) -> list[Meaning]:
        """Returns what the labels of a list mean; one that is ImageNet's from end to end means its classes in order."""
        meanings = [self.meaning(label) for label in labels]
        known = list(self._names.items())
        start = len(labels) - len(known)  # 1: with the background class before them
        if known and start in (0, 1) and [meaning.names for meaning in meanings[start:]] == [n for _, n in known]:
            meanings[start:] = [Meaning(names, wordnet) for wordnet, names in known]
        return meanings


@dataclasses.dataclass(frozen=True)
class Match:
    """The classes of a target list that a source list has, too.

    Attributes:
        target, source: the lists.
        rows: place in the target -> place in the source.
        ambiguous: place in the target -> places in the source, each of which it may be; not in `rows`.
    """

    target: tuple[str, ...]
    source: tuple[str, ...]
    rows: Mapping[int, int]
    ambiguous: Mapping[int, tuple[int, ...]]

    @property
    def unmatched(self) -> tuple[int, ...]:
        """Places in the target that the source has nothing for."""
        return tuple(k for k in range(len(self.target)) if k not in self.rows and k not in self.ambiguous)

    def missed(self, most: int = _MOST_LISTED) -> list[str]:
        """Returns a line for each target without a row, `most` of each kind: near matches, and the choices."""
        lines = []
        choices = {name.strip() for label in self.source for name in label.split(",")}
        for k in self.unmatched[:most]:
            near = ", ".join(map(repr, suggest.near_matches(self.target[k], sorted(choices))))
            lines.append(f"{self.target[k]!r}: unknown to the source" + (f" (near: {near})" if near else ""))
        for k, places in list(self.ambiguous.items())[:most]:
            lines.append(f"{self.target[k]!r}: may be {self.choices_text(k, places)}; its WordNet id would tell")
        rest = len(self.target) - len(self.rows) - len(lines)
        return lines + ([f"and {rest} more"] if rest else [])

    def choices_text(self, k: int, places: Sequence[int] | None = None) -> str:
        """Returns the classes that target `k` may be: `class 135 ('crane') or class 518 ('crane')`."""
        places = self.ambiguous[k] if places is None else places
        return " or ".join(f"class {place} ({self.source[place]!r})" for place in places)


def names_of(label: str) -> frozenset[str]:
    """Returns the names of a label, normalised: those between its commas."""
    return frozenset(name for name in map(normalised, label.split(",")) if name)


def normalised(name: str) -> str:
    """Returns a name without what does not count: case, `_` and `-` for a blank, blanks around and in a row."""
    return " ".join(re.sub(r"[_\-\s]+", " ", unicodedata.normalize("NFKC", name)).split()).casefold()


def match(target: Sequence[str], source: Sequence[str], wordnet: WordNet | None = None) -> Match:
    """Finds the classes of `target` in `source`; see the module.

    A name that several source classes have is settled where the target names the others, too: two lists with the same
    two cranes go together in order.

    Args:
        target, source: class names, in the order of the classes.
        wordnet: what is known of ImageNet.
    """
    wordnet = wordnet or WordNet()
    wanted, known = wordnet.meanings(target), wordnet.meanings(source)
    in_order = _in_order(wanted, known)
    taken = {place: k for k, place in in_order.items()}
    by_name, by_id = collections.defaultdict(set), collections.defaultdict(set)
    for place, meaning in enumerate(known):
        by_id[meaning.wordnet].add(place)
        for name in meaning.names:
            by_name[name].add(place)
    rows, ambiguous = {}, {}
    for k, meaning in enumerate(wanted):
        near = set().union(*(by_name[name] for name in meaning.names if name in by_name))
        if meaning.wordnet is not None:
            near |= by_id[meaning.wordnet]
        places = [place for place in sorted(near) if _is_one(meaning, known[place])]
        places = _the_best(meaning, places, known)
        places = [place for place in places if taken.get(place, k) == k]
        if len(places) == 1:
            rows[k] = places[0]
        elif places:
            ambiguous[k] = tuple(places)
    return Match(tuple(target), tuple(source), rows, ambiguous)


def _in_order(wanted: Sequence[Meaning], known: Sequence[Meaning]) -> dict[int, int]:
    """Places of those that say the same and are as many on both sides."""
    groups: dict[Meaning, tuple[list[int], list[int]]] = collections.defaultdict(lambda: ([], []))
    for side, meanings in enumerate((wanted, known)):
        for place, meaning in enumerate(meanings):
            groups[meaning][side].append(place)
    return {
        k: place
        for ours, theirs in groups.values()
        if len(ours) == len(theirs)
        for k, place in zip(ours, theirs, strict=True)
    }


def _is_one(a: Meaning, b: Meaning) -> bool:
    """Whether two labels may mean one class."""
    if a.wordnet is not None and b.wordnet is not None:
        return a.wordnet == b.wordnet
    return bool(a.names and b.names) and (a.names <= b.names or b.names <= a.names)


def _the_best(meaning: Meaning, places: list[int], known: Sequence[Meaning]) -> list[int]:
    """Those with the same WordNet id; else those with all the names of a label that has several; else all."""
    by_id = [place for place in places if meaning.wordnet is not None and known[place].wordnet == meaning.wordnet]
    alike = [place for place in places if len(meaning.names) > 1 and known[place].names == meaning.names]
    return by_id or alike or places
