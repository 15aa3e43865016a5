"""Classifies image files with an export.

python classify_images.py --saved_model=SERVED photo.jpg folder_of_photos
"""

from common import scripts
from exporting.config import ClassifyConfig


def main(paths: list[str]) -> None:
    config, _ = scripts.config_from_flags(ClassifyConfig)

    scripts.start_tensorflow()  # only here: a wrong flag and --help answer at once
    from exporting import classify

    classify.classify(config, paths)


if __name__ == "__main__":
    scripts.define_flags(ClassifyConfig)
    scripts.run(main, positional=True)
