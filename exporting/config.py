"""The settings of an export and of classifying images with one."""

import dataclasses

from common.config import check_local, option
from common.errors import FlagError


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What `export_saved_model.py` does.

    What the run's `run.json` says need not be said again; the flags that describe the model are for checkpoints
    without one, and win over it.
    """

    checkpoint_path: str | None = option(None, "Run folder (its newest checkpoint) or a checkpoint. Required.")
    export_dir: str | None = option(None, "Folder of the served model; a new version goes to export_dir/N. Required.")
    model_name: str | None = option(None, "Network; default: the run's.")
    preprocessing_name: str | None = option(None, "Preprocessing recipe; default: the run's, or the network's own.")
    image_size: int | None = option(None, "Side of the input in pixels; default: the run's.", minimum=1)
    use_grayscale: bool = option(False, "The network takes gray images.")
    network_module: str | None = option(None, "Python file that registers networks of your own.")
    multi_label: bool = option(
        False, "An image may have several classes, or none; needed only where there is no run.json that says so."
    )
    labels_file: str | None = option(
        None,
        "Class names, one a line in the order of the logits (or Slim's labels.txt); default: the run's, or ImageNet's "
        "for 1000 and 1001 classes.",
    )
    top_k: int = option(10, "Classes in an answer, best first; fewer if the network has fewer.", minimum=1)
    use_moving_averages: bool | None = option(
        None, "Export the averages that training kept; default: where the checkpoint has them."
    )

    def __post_init__(self):
        for name in ("checkpoint_path", "export_dir"):
            if not getattr(self, name):
                raise FlagError(f"--{name} is missing")
        check_local(export_dir=self.export_dir)


@dataclasses.dataclass(frozen=True)
class ClassifyConfig:
    """What `classify_images.py` does."""

    saved_model: str | None = option(None, "Export folder (its newest version) or one version of it. Required.")
    top_k: int = option(
        5, "Classes shown for each image, best first; where it may have several, those of at least 0.5.", minimum=1
    )
    json: bool = option(False, "Print one JSON object a line instead of a table.")
    batch_size: int = option(16, "Images per call.", minimum=1)

    def __post_init__(self):
        if not self.saved_model:
            raise FlagError("--saved_model is missing: name the folder that export_saved_model.py wrote")
