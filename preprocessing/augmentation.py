"""The language of `--augmentation`: `flip,rotate(15),scale(0.7,1),mixup(alpha=0.2)`.

A text is a list of operations and presets, each with its arguments in brackets, by place or by name; its words are in
`augmentation_words`. Nothing here needs TensorFlow, so that a wrong word is told before anything is loaded.
`preprocessing.augmented` makes ops of the operations on images, `preprocessing.batch_ops` does those on batches.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import NoReturn

from common import suggest
from preprocessing.augmentation_words import NONE, ONCE, OPERATIONS, PRESETS, SPELLINGS, STAGES, Argument, Operation


@dataclasses.dataclass(frozen=True)
class Step:
    """An operation with its arguments."""

    operation: Operation
    arguments: Mapping[str, float]

    def __str__(self) -> str:
        if not self.arguments:
            return self.operation.name
        return f"{self.operation.name}({', '.join(f'{name}={value:g}' for name, value in self.arguments.items())})"


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What a text asks for: its steps, presets written out, in the order in which they are done."""

    steps: tuple[Step, ...]

    def stage(self, name: str) -> tuple[Step, ...]:
        """Returns the steps of one of `STAGES`."""
        return tuple(step for step in self.steps if step.operation.stage == name)

    def __str__(self) -> str:
        return ", ".join(map(str, self.steps)) or NONE


def parse(text: str) -> Augmentation:
    """Returns what `text` asks for.

    Raises:
      ValueError: it is not of the language; the message names the place (characters count from 1), what was found there
        and what may stand there.
    """
    words = _Reader(text).read()
    if [word.name for word in words] == [NONE]:
        if words[0].has_brackets:
            _fail(words[0].position, f"{NONE!r} takes no arguments")
        return Augmentation(())
    _check_one_preset([word for word in words if word.name in PRESETS])
    steps: list[tuple[Step, bool]] = []  # and whether a preset brought it
    for word in words:
        if word.name in PRESETS:
            _check_no_arguments(word)
            there = {step.operation.name for step, _ in steps if step.operation.name in ONCE}
            parts = map(_bound, _Reader(PRESETS[word.name]).read())
            steps += [(part, True) for part in parts if part.operation.name not in there]
            continue
        step = _bound(word)
        same = [k for k, (other, _) in enumerate(steps) if other.operation is step.operation]
        if same and step.operation.name in ONCE:
            if not steps[same[0]][1]:
                _fail(word.position, f"{word.name} is there twice")
            steps[same[0]] = (step, False)  # in place of the preset's
        else:
            steps.append((step, False))
    if [step.operation.name for step, _ in steps if step.operation.stage == "crop"] not in ([], ["recipe"], ["scale"]):
        _fail(1, "'recipe' and 'scale' both cut the image to size; leave one of them out (presets have 'scale')")
    ordered = sorted((step for step, _ in steps), key=lambda step: STAGES.index(step.operation.stage))
    return Augmentation(tuple(ordered))


@dataclasses.dataclass(frozen=True)
class _Word:
    """A word as it is written; `arguments` are (name or None, text, position)."""

    name: str
    position: int
    arguments: list[tuple[str | None, str, int]]
    has_brackets: bool


class _Reader:
    """Splits a text into words."""

    _TOKEN = re.compile(r"\s*([A-Za-z_]\w*|[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|\S)")

    def __init__(self, text: str):
        self._tokens = [(match[1], match.start(1) + 1) for match in self._TOKEN.finditer(text)]
        self._tokens.append(("", len(text) + 1))
        self._next = 0

    def read(self) -> list[_Word]:
        words = [self._word()]
        while self._peek():
            self._expect(",", "',' or the end")
            words.append(self._word())
        return words

    def _peek(self) -> str:
        return self._tokens[self._next][0]

    def _take(self) -> tuple[str, int]:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)  # the end stays
        return token

    def _expect(self, wanted: str, words: str) -> None:
        token, position = self._take()
        if token != wanted:
            _fail(position, f"expected {words}, found {token!r}" if token else f"expected {words}, found the end")

    def _word(self) -> _Word:
        name, position = self._take()
        if not re.match(r"[A-Za-z_]", name):
            _fail(position, f"expected the name of an operation, found {name!r}" if name else "a name is missing")
        arguments = []
        has_brackets = self._peek() == "("
        if has_brackets:
            self._take()
            while self._peek() != ")":
                arguments.append(self._argument())
                if self._peek() != ")":
                    self._expect(",", "',' or ')'")
            self._take()
        return _Word(name, position, arguments, has_brackets)

    def _argument(self) -> tuple[str | None, str, int]:
        token, position = self._take()
        name = None
        if self._peek() == "=":
            name = token
            self._take()
            token, _ = self._take()
        if not re.match(r"[+-]?\.?\d", token):
            _fail(position, f"expected a number, found {token!r}" if token else "expected a number, found the end")
        return name, token, position


def _bound(word: _Word) -> Step:
    """The operation that a word names, with all its arguments."""
    name = SPELLINGS.get(word.name, word.name)
    if name == NONE:
        _fail(word.position, f"{NONE!r} stands alone")
    operation = OPERATIONS.get(name)
    if operation is None:
        _fail(word.position, suggest.unknown("operation", word.name, [*OPERATIONS, *PRESETS, NONE]))
    known = {argument.name: argument for argument in operation.arguments}
    values: dict[str, float] = {}
    for place, (given, text, position) in enumerate(word.arguments):
        if given is None and place >= len(known):
            _fail(position, f"{name} takes {_counted(operation)}, found {len(word.arguments)}")
        if given is not None and given not in known:
            _fail(position, f"{name} has no argument {given!r}; it takes {_counted(operation)}")
        argument = known[given] if given else operation.arguments[place]
        if argument.name in values:
            _fail(position, f"{argument.name} of {name} is there twice")
        values[argument.name] = _number(argument, name, text, position)
    for argument in operation.arguments:
        if argument.name not in values:
            if argument.default is None:
                _fail(word.position, f"{name} needs {argument.name} ({argument.meaning}), as in {name}(0.5)")
            values[argument.name] = argument.default
    if values.get("smallest", 0) > values.get("largest", 1):
        sizes = f"{values['smallest']:g} and {values['largest']:g}"
        _fail(word.position, f"smallest of {name} must be at most largest, found {sizes}")
    return Step(operation, {argument.name: values[argument.name] for argument in operation.arguments})


def _number(argument: Argument, of: str, text: str, position: int) -> float:
    value = float(text)
    if not argument.minimum <= value <= argument.maximum or (argument.whole and value != int(value)):
        kind = "a whole number of " if argument.whole else ""
        allowed = f"{kind}{argument.minimum:g} to {argument.maximum:g}"
        _fail(position, f"{argument.name} of {of} must be {allowed} ({argument.meaning}), found {text}")
    return int(value) if argument.whole else value


def _check_one_preset(presets: list[_Word]) -> None:
    if len(presets) > 1:
        first, second = (f"{word.name} ({PRESETS[word.name]})" for word in presets[:2])
        _fail(presets[1].position, f"{second} is a second preset after {first}; name one, and operations beside it")


def _check_no_arguments(word: _Word) -> None:
    if word.has_brackets:
        _fail(word.position, f"the preset {word.name!r} takes no arguments; it stands for {PRESETS[word.name]}")


def _counted(operation: Operation) -> str:
    names = ", ".join(argument.name for argument in operation.arguments)
    count = len(operation.arguments)
    return "no arguments" if not count else f"at most {count} argument{'s' if count > 1 else ''} ({names})"


def _fail(position: int, message: str) -> NoReturn:
    raise ValueError(f"character {position}: {message}")
