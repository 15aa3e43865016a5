"""Turns images into TFRecords for training: your own photos, or a known data set.

    python download_and_convert_data.py --dataset_name=image_folder --image_dir=PHOTOS --dataset_dir=DATA
    python download_and_convert_data.py --dataset_name=manifest --manifest=PHOTOS.csv --dataset_dir=DATA
    python download_and_convert_data.py --dataset_name=flowers --dataset_dir=DATA
    python download_and_convert_data.py --dataset_name=shapes --shapes_task=target --dataset_dir=DATA

PHOTOS has a folder of images for each class (or train/, validation/ and test/ with such folders). The images are dealt
out to a training and a validation split, at random but the same for the same --seed. What cannot be read is left out
and listed, with the reason, in DATA/conversion_report.json. Images are not changed, unless they are in a form that not
every reader of records understands. docs/converters.md says for each data set where its files come from.
"""

from common import scripts
from datasets.convert import ConvertConfig


def main(_: list[str]) -> None:
    config, given = scripts.config_from_flags(ConvertConfig)

    scripts.start_tensorflow()
    from datasets import convert

    options = {name: getattr(config, name) for name in given - {"dataset_name", "dataset_dir"}}
    convert.convert(config.dataset_name, config.dataset_dir, **options)


if __name__ == "__main__":
    scripts.define_flags(ConvertConfig)
    scripts.run(main)
