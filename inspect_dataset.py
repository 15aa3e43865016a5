"""Looks through a data set for what training would trip over: TFRecords, or a folder of photos before conversion.

    python inspect_dataset.py --dataset_dir=DATA
    python inspect_dataset.py --dataset_dir=PHOTOS
    python inspect_dataset.py --dataset_dir=DATA --find=flowers_train_00002-of-00005.tfrecord:17

Finds images that cannot be read or are damaged inside, copies and nearly equal pictures, above all those that are in
two splits or in two classes, wrong labels, damaged files, odd sizes and unequal classes. Prints a summary and writes a
JSON report. Changes nothing. The exit status is 1 where something is found that training would fail at, or that would
make its accuracy wrong.
"""

import sys

from common import scripts
from datasets.doctor import InspectConfig


def main(_: list[str]) -> None:
    config, _ = scripts.config_from_flags(InspectConfig)

    scripts.start_tensorflow()
    from datasets import doctor

    if config.find:
        print("\n".join(doctor.find(config)))
        return
    is_sound, text = doctor.inspect(config)
    sys.stdout.writelines(text)
    if not is_sound:
        sys.exit(scripts.USER_ERROR)


if __name__ == "__main__":
    scripts.define_flags(InspectConfig)
    scripts.run(main)
