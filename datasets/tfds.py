"""Any data set of images that TensorFlow Datasets has prepared on this machine (extra `tfds`): `tfds:NAME`.

It is read from its folder alone (`DATA_DIR/NAME/CONFIG/VERSION`): nothing is downloaded, no data set's code is run. The
images' own bytes are taken, not decoded ones.
"""

import array
import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from absl import logging

from common import suggest
from common.errors import UserError, tensorflow_reason
from datasets import image_folder, images, records, splits
from datasets.image_headers import BadImage
from datasets.sources import Contents, Item, Source

_DATA_DIR = "~/tensorflow_datasets"
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_RECORD_HEAD, _RECORD_FRAME = 12, 16  # bytes of a TFRecord before its data; before and after it


class _Features(NamedTuple):
    """Which features are taken.

    Attributes:
        image, label: their names.
        class_names: name of each class.
        multi_label: whether an image may have several classes.
        channels: of the images, 1 or 3.
    """

    image: str
    label: str
    class_names: Sequence[str]
    multi_label: bool
    channels: int


def source(
    builder: str,
    *,
    data_dir: str | None = None,
    name: str | None = None,
    image_feature: str | None = None,
    label_feature: str | None = None,
) -> Source:
    """Declares a prepared data set.

    Args:
        builder: NAME, NAME/CONFIG, NAME:VERSION or NAME/CONFIG:VERSION; the newest version by default.
        data_dir: folder of the prepared data sets.
        name: of the data set here; default: NAME.
        image_feature, label_feature: the features to take; default: those that the data set names for training, else
            the only ones of their kind.
    """
    library = _library()
    folder = builder_folder(builder, os.path.expanduser(data_dir or os.environ.get("TFDS_DATA_DIR", _DATA_DIR)))
    name = name or re.split("[/:]", builder)[0]
    image_folder.check_name(name)
    try:
        prepared = library.builder_from_directory(folder)
    except Exception as error:  # whatever the library makes of a damaged folder
        raise UserError(f"{folder} cannot be read as a data set of TensorFlow Datasets: {_line(error)}") from error
    features = _choose(prepared.info, library.features, image_feature, label_feature)
    identity = {
        "converter": "tfds",
        "builder": prepared.info.full_name,
        "splits": {split: [info.num_examples, info.num_bytes] for split, info in sorted(prepared.info.splits.items())},
        "features": [features.image, features.label],
    }
    return Source(name, identity, lambda stack: _contents(prepared, library, features, stack))


def builder_folder(builder: str, data_dir: str) -> str:
    """Returns the folder of a prepared data set.

    Raises:
        UserError: there is none; the message names those that are there.
    """
    match = re.fullmatch(r"(?P<name>\w+)(?:/(?P<config>[^:/]+))?(?::(?P<version>[\w.]+))?", builder)
    if not match:
        raise UserError(f"tfds:{builder}: expected tfds:NAME, tfds:NAME/CONFIG or either with :VERSION")
    if not os.path.isdir(data_dir):
        raise UserError(
            f"--data_dir={data_dir}: no such folder; it is where TensorFlow Datasets prepares its data sets"
        )
    if not os.path.isdir(folder := os.path.join(data_dir, match["name"])):
        names = [name for name in _folders(data_dir) if _is_prepared(os.path.join(data_dir, name))]
        hint = suggest.unknown("prepared data set", match["name"], names)
        raise UserError(f"{data_dir}: {hint} Prepare it with TensorFlow Datasets first; nothing is downloaded here")
    prepared = _configs(folder)
    if match["config"]:
        if not prepared:
            wanted = match["name"] + (f":{match['version']}" if match["version"] else "")
            found = f"it has no configs; name it as tfds:{wanted}" if _versions(folder) else "it is not prepared"
            raise UserError(f"{folder}: unknown config {match['config']!r}; {found}")
        if match["config"] not in prepared:
            raise UserError(f"{folder}: {suggest.unknown('config', match['config'], prepared)}")
        versions = prepared[match["config"]]
    elif not (versions := _versions(folder)):
        if len(prepared) != 1:
            found = f"it has the configs {', '.join(sorted(prepared))}" if prepared else "it is not prepared"
            raise UserError(f"{folder}: {found}; name one as tfds:{match['name']}/CONFIG")
        (versions,) = prepared.values()
    if match["version"] and match["version"] not in versions:
        raise UserError(f"{folder}: {suggest.unknown('version', match['version'], versions)}")
    version = match["version"] or max(versions, key=lambda version: [int(part) for part in version.split(".")])
    return versions[version]


def _folders(path: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))


def _is_prepared(folder: str) -> bool:
    return bool(_versions(folder) or _configs(folder))


def _configs(path: str) -> dict[str, dict[str, str]]:
    """Config -> its complete versions."""
    configs = {config: _versions(os.path.join(path, config)) for config in _folders(path)}
    return {config: versions for config, versions in configs.items() if versions}


def _versions(path: str) -> dict[str, str]:
    """Version -> folder of those that are complete."""
    folders = {version: os.path.join(path, version) for version in _folders(path) if _VERSION.fullmatch(version)}
    return {version: folder for version, folder in folders.items() if "dataset_info.json" in os.listdir(folder)}


def _library() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(
            f"tfds:NAME needs TensorFlow Datasets ({error}); install it: pip install tensorflow-datasets"
        ) from error
    return tensorflow_datasets


def _choose(info: Any, kinds: Any, image: str | None, label: str | None) -> _Features:
    features = dict(info.features.items())
    supervised = info.supervised_keys if isinstance(info.supervised_keys, tuple) else ()
    is_label = lambda feature: isinstance(getattr(feature, "feature", feature), kinds.ClassLabel)  # noqa: E731
    image = _only(features, "image", image, supervised, lambda feature: isinstance(feature, kinds.Image))
    label = _only(features, "label", label, supervised, is_label)
    shape = features[image].shape
    if tf.as_dtype(features[image].np_dtype) not in (tf.uint8, tf.uint16):
        raise UserError(f"feature {image!r} has pixels of {features[image].np_dtype}; expected bytes")
    classes = getattr(features[label], "feature", features[label])
    return _Features(image, label, list(classes.names), classes is not features[label], 1 if shape[-1] == 1 else 3)


def _only(
    features: Mapping[str, Any], kind: str, given: str | None, supervised: Sequence[str], fits: Callable[[Any], bool]
) -> str:
    """The name of the feature of a kind: given, or named by the data set, or the only one."""
    fitting = [name for name, feature in features.items() if fits(feature)]
    if given:
        if given not in fitting:
            raise UserError(suggest.unknown(f"--{kind}_feature", given, fitting))
        return given
    named = [name for name in fitting if name in supervised] or fitting
    if len(named) != 1:
        found = f"several features that are one ({', '.join(named)})" if named else f"none among {', '.join(features)}"
        raise UserError(f"which feature is the {kind}? There are {found}; say --{kind}_feature")
    return named[0]


def _contents(prepared: Any, library: Any, features: _Features, stack: contextlib.ExitStack) -> Contents:
    # The chosen features alone: the others are not looked at, whatever they are.
    whole = {name: prepared.info.features[name] for name in (features.image, features.label)}
    parse = library.features.FeaturesDict(whole).deserialize_example_np
    parse_label = library.features.FeaturesDict({features.label: whole[features.label]}).deserialize_example_np
    as_stored = {features.image: library.decode.SkipDecoding()}
    names = _split_names(prepared.info.splits)
    drawn = set() if splits.VALIDATION in names.values() else {splits.TRAIN}
    if len(names) == 1:
        drawn = set(names.values())  # whatever it is called
    readers, items = {}, []
    for split, info in prepared.info.splits.items():
        logging.info("Reading the labels of %s, split %s ...", prepared.info.full_name, split)
        readers[split] = _reader(prepared, split, info, stack)
        to = None if names[split] in drawn else names[split]
        for index, serialized in enumerate(readers[split].scan()):
            value = parse_label(serialized)[features.label]
            labels = tuple(dict.fromkeys(int(label) for label in value)) if features.multi_label else None
            label = (labels[0] if labels else records.NO_LABEL) if features.multi_label else int(value)
            items.append(Item(f"{split}/{index:08d}", label, to, len(serialized), labels=labels))

    def load(item: Item) -> images.EncodedImage:
        split, index = item.key.rsplit("/", 1)
        try:
            data = parse(readers[split].read(int(index)), decoders=as_stored)[features.image]
        except Exception as error:  # whatever a damaged record leads to
            raise BadImage(f"the record cannot be read: {_line(error)}") from error
        return images.prepare(data)

    return Contents(
        features.class_names,
        items,
        load,
        has_files=False,
        channels=features.channels,
        fixed_classes=True,
        multi_label=features.multi_label,
    )


def _split_names(infos: Mapping[str, Any]) -> dict[str, str]:
    """Their split names -> ours, of letters and digits."""
    names = {}
    for split in infos:
        plain = re.sub(r"[^A-Za-z0-9]", "", split)
        names[split] = image_folder.SPLIT_NAMES.get(plain.lower(), plain)
    if len(set(names.values())) < len(names):
        raise UserError(f"splits {', '.join(names)}: two of them have the same letters and digits")
    return names


class _RecordFiles:
    """Records of TFRecord files by number; `scan` goes first."""

    def __init__(self, paths: Sequence[str], stack: contextlib.ExitStack):
        self._paths = paths
        self._files = [stack.enter_context(open(path, "rb")) for path in paths]  # noqa: SIM115
        self._numbers, self._offsets, self._sizes = array.array("i"), array.array("q"), array.array("q")

    def scan(self) -> Iterator[bytes]:
        """Yields every record."""
        for number, path in enumerate(self._paths):
            offset = _RECORD_HEAD
            try:
                for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
                    self._numbers.append(number)
                    self._offsets.append(offset)
                    self._sizes.append(len(serialized))
                    offset += len(serialized) + _RECORD_FRAME
                    yield serialized
            except tf.errors.OpError as error:
                raise UserError(f"{path} cannot be read: {tensorflow_reason(error)}; prepare it again") from error

    def read(self, index: int) -> bytes:
        """Returns a record."""
        return os.pread(self._files[self._numbers[index]].fileno(), self._sizes[index], self._offsets[index])


class _ArrayRecords:
    """Records of ArrayRecord files by number."""

    def __init__(self, paths: Sequence[str], stack: contextlib.ExitStack):
        from array_record.python import array_record_data_source

        self._records = stack.enter_context(array_record_data_source.ArrayRecordDataSource(list(paths)))

    def scan(self) -> Iterator[bytes]:
        """Yields every record."""
        for index in range(len(self._records)):
            yield self.read(index)

    def read(self, index: int) -> bytes:
        """Returns a record."""
        return self._records[index]


def _reader(prepared: Any, split: str, info: Any, stack: contextlib.ExitStack) -> Any:
    readers = {"tfrecord": _RecordFiles, "array_record": _ArrayRecords}
    kind = getattr(prepared.info.file_format, "value", prepared.info.file_format)
    if kind not in readers:
        raise UserError(f"{prepared.info.full_name} is stored as {kind}; expected {' or '.join(readers)}")
    paths = [os.fspath(path) for path in info.filepaths]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise UserError(f"{missing[0]} is missing: split {split!r} has {len(paths)} files; prepare it again")
    return readers[kind](paths, stack)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
