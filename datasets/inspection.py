"""The doctor's work: every example of a data set is looked at, then all of them together."""

import array
import collections
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

from common.progress import Progress
from datasets import conversion_report, facts, findings, folders, image_folder, images, pixels
from datasets.facts import Facts
from datasets.findings import Finding, Limits, Place, shown
from datasets.image_headers import BadImage

VERSION = 1  # of the report's format
_CHUNK = 32  # examples that a thread looks at in one go
_UNLABELLED = ""


@dataclasses.dataclass
class Part:
    """Some examples and what was found of each: the numbers of those in `facts`, and findings by number."""

    split: str
    shard: str | None
    facts: Facts
    numbers: array.array = dataclasses.field(default_factory=lambda: array.array("q"))
    found: list[tuple[int, str, str]] = dataclasses.field(default_factory=list)  # number, kind, reason

    def say(self, number: int, kind: str, reason: str) -> None:
        """Adds a finding."""
        self.found.append((number, kind, reason))


@dataclasses.dataclass
class Inspection:
    """A data set looked through.

    Attributes:
        kind: `records` or `photos`.
        folder: where it is.
        class_names: by class.
        counts: split -> class -> number of examples.
        parts: the examples.
        found: all findings.
        limits: what counted as tiny, huge and alike.
        with_pixels: whether images were decoded.
        ignored: files passed over, by suffix.
    """

    kind: str
    folder: str
    class_names: Sequence[str]
    counts: Mapping[str, collections.Counter]
    parts: Sequence[Part]
    found: Sequence[Finding]
    limits: Limits
    with_pixels: bool
    ignored: Mapping[str, int]

    def report(self, seconds: float) -> dict[str, Any]:
        """The content of the JSON report, but for the findings themselves."""
        return {
            "version": VERSION,
            "kind": self.kind,
            "dataset_dir": shown(os.path.abspath(self.folder)),
            "is_sound": not findings.has_errors(self.found),
            "images": sum(len(part.facts) for part in self.parts),
            "classes": {
                name: {split: count[label] for split, count in self.counts.items()}
                for label, name in enumerate(self.class_names)
            },
            "sizes": facts.size_summary([part.facts for part in self.parts]),
            "ignored_files": dict(self.ignored),
            "checks": {
                "pixels": self.with_pixels,
                "damage_inside_jpeg": self.with_pixels and pixels.finds_damage(),
                **self.limits.limits(),
            },
            "summary": findings.summary(self.found),
            "seconds": round(seconds, 2),
        }

    def lines(self, report: Mapping[str, Any]) -> Iterator[str]:
        """Yields the report as lines for people."""
        what = "TFRecords" if self.kind == "records" else "photos"
        yield (
            f"{shown(self.folder)} ({what}): {report['images']} images in {len(self.class_names)} classes, looked "
            f"through in {report['seconds']:.1f} s"
        )
        names = {_UNLABELLED: "images"}
        classes = {
            name: {names.get(split, split): count for split, count in row.items()}
            for name, row in report["classes"].items()
        }
        yield from conversion_report.class_table(classes, [names.get(split, split) for split in self.counts])
        for side in ("width", "height"):
            if report["sizes"]:
                size = report["sizes"][side]
                yield f"  {side}: {size['smallest']:.0f} to {size['largest']:.0f} pixels, half up to {size['50%']:.0f}"
        if self.ignored:
            kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(self.ignored.items()))
            yield f"  Passed over, no images: {kinds}"
        yield from findings.lines(self.found)
        if not self.found:
            yield "Nothing found that is worth a word."
        if not self.with_pixels:
            yield "Not looked for: damage inside images, nearly equal pictures (--checks=pixels)."
        elif not pixels.finds_damage():
            yield "Not looked for: damage inside JPEG data; for that, pip install simplejpeg."


def look(config: Any) -> Inspection:
    """Looks through the folder of a `doctor.InspectConfig`.

    Raises:
        UserError: there is neither a data set nor a folder of photos.
    """
    with images.large_images_allowed():
        described = folders.read_description(config.dataset_dir)
        if not described and folders.unfinished(config.dataset_dir):
            folders.check_readable(config.dataset_dir)
        if described or folders.named_splits(config.dataset_dir):
            from datasets import record_inspection  # imports TensorFlow

            return record_inspection.look(config)
        return _look_at_photos(config)


def in_threads(
    function: Callable[[Any], Part], chunks: Iterable[Any], num_threads: int, progress: Progress | None = None
) -> Iterator[Part]:
    """Yields `function(chunk)` of each chunk, in order; takes only a few chunks before they are due."""
    threads = num_threads or os.cpu_count() or 1
    waiting: collections.deque[futures.Future] = collections.deque()
    done = 0
    with futures.ThreadPoolExecutor(threads) as pool:
        try:
            for chunk in itertools.chain(chunks, itertools.repeat(None, 4 * threads)):
                if chunk is not None:
                    waiting.append(pool.submit(function, chunk))
                while waiting and (chunk is None or len(waiting) > 4 * threads):
                    part = waiting.popleft().result()
                    done += len(part.facts)
                    if progress:
                        progress.update(done)
                    yield part
        finally:
            pool.shutdown(cancel_futures=True)


def findings_of(parts: Sequence[Part], place: Callable[[Part, int], Place], limits: Limits) -> list[Finding]:
    """Returns what was found of each example, and by comparing them.

    Args:
        parts: the examples.
        place: from a part and an example's number to where it is.
        limits: what counts as what.
    """
    found = [Finding(kind, reason, (place(part, number),)) for part in parts for number, kind, reason in part.found]
    return found + facts.judge(
        [part.facts for part in parts], lambda part, row: place(parts[part], parts[part].numbers[row]), limits
    )


def _look_at_photos(config: Any) -> Inspection:
    contents = image_folder.list_folder(config.dataset_dir, "--dataset_dir", nested=config.class_folders == "deepest")
    items, with_pixels = contents.items, config.checks == "pixels"
    progress = Progress("looking at", len(items))

    def look_at(chunk: range) -> Part:
        part = Part(_UNLABELLED, None, Facts(with_pixels))
        for number in chunk:
            try:
                image = contents.load(items[number])
                thumbnail = pixels.thumbnail(image.data) if with_pixels else None
            except BadImage as error:
                part.say(number, "unusable", str(error))
                continue
            part.facts.add(image.data, image.height, image.width, items[number].classes, thumbnail)
            part.numbers.append(number)
            kind = image.remark or ("PNG" if image.format == "png" else "JPEG")
            if image.remark:
                part.say(number, "encoded_anew", image.remark)
            if wrong := conversion_report.wrong_suffix(items[number].key, kind):
                part.say(number, "wrong_extension", wrong)
        return part

    chunks = (range(start, min(start + _CHUNK, len(items))) for start in range(0, len(items), _CHUNK))
    try:
        parts = list(in_threads(look_at, chunks, config.num_threads, progress))
    finally:
        progress.close()

    def place(_: Part, number: int) -> Place:
        item = items[number]
        names = ", ".join(contents.class_names[label] for label in item.classes)
        return Place(shown(item.key), item.split, label=names)

    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for part in parts:
        for number in part.numbers:
            counts[items[number].split or _UNLABELLED].update(items[number].classes)
    found = [Finding("unusable", reason, (Place(shown(key)),)) for key, reason in contents.left_out]
    found += findings_of(parts, place, config)
    found += class_findings(contents.class_names, counts)
    return Inspection(
        "photos",
        config.dataset_dir,
        contents.class_names,
        dict(sorted(counts.items())),
        parts,
        findings.in_order(found),
        config,
        with_pixels,
        contents.ignored,
    )


def class_findings(
    class_names: Sequence[str], counts: Mapping[str, collections.Counter], are_known: bool = True
) -> list[Finding]:
    """Returns what is wrong with the classes (`facts.class_findings`)."""
    rows = {split: [count[label] for label in range(len(class_names))] for split, count in counts.items()}
    return facts.class_findings(class_names, rows, are_known)
