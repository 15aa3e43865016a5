"""Exports a classifier as a SavedModel that TensorFlow Serving loads.

    python export_saved_model.py --checkpoint_path=RUN --export_dir=SERVED

writes SERVED/1 (then 2, 3, ...): encoded images in; probabilities, class indices and class names out, best first. It is
loaded and compared with the checkpoint before it is published.
"""

from common import scripts
from exporting.config import ExportConfig


def main(_: list[str]) -> None:
    config, _ = scripts.config_from_flags(ExportConfig)

    scripts.start_tensorflow()  # only here: a wrong flag and --help answer at once
    from exporting import saved_model

    saved_model.export(config)


if __name__ == "__main__":
    scripts.define_flags(ExportConfig)
    scripts.run(main)
