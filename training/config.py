"""The settings of a training run and of an evaluation, every one with its meaning, unit and default.

Fields marked `slim=True` are flags of the original scripts: same names, same defaults
(`train_image_classifier.py`, `eval_image_classifier.py` of TF-Slim's image library). The others are ours.
"""

import dataclasses

from checkpoints import renames, scopes
from common.config import check_local, option
from common.errors import FlagError
from preprocessing import augmentation as augmentation_lib

OPTIMIZERS = ("adadelta", "adagrad", "adam", "ftrl", "momentum", "sgd", "rmsprop")
DECAY_TYPES = ("fixed", "exponential", "polynomial")
BATCH_NORM_MODES = ("fitted", "recomputed", "frozen", "slim")
PRECISIONS = ("float32", "bfloat16")
CACHES = ("none", "memory", "disk")
CACHE_KINDS = ("encoded", "decoded")

# Flags of the original that this version does not carry out, with the value that means "off".
_NOT_YET = {
    "master": "",
    "num_clones": 1,
    "clone_on_cpu": False,
    "worker_replicas": 1,
    "num_ps_tasks": 0,
    "task": 0,
    "sync_replicas": False,
    "replicas_to_aggregate": 1,
    "quantize_delay": -1,
}


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """What `train_image_classifier.py` does."""

    # Data.
    dataset_dir: str | None = option(None, "Folder with the TFRecords. Required.", slim=True)
    dataset_name: str = option("imagenet", "Data set, where the folder does not say itself what it holds.", slim=True)
    dataset_split_name: str = option("train", "Split to train on.", slim=True)
    fold: int | None = option(
        None, "Fold held out, of a data set in folds: `train` is all others, `validation` is it.", minimum=0
    )
    labels_offset: int = option(
        0, "Subtracted from labels and class count: 1 drops the background class (VGG, ResNet v1).", slim=True
    )
    use_grayscale: bool = option(False, "Turn images to gray, one channel.", slim=True)
    num_readers: int = option(4, "TFRecord shards read in parallel.", minimum=1, slim=True)
    num_preprocessing_threads: int = option(4, "Images decoded and preprocessed in parallel.", minimum=1, slim=True)
    batch_size: int = option(32, "Images per step.", minimum=1, slim=True)
    file_pattern: str | None = option(
        None, "Names of the TFRecord files below --dataset_dir, with %s for the split and *, ? and [abc] as in a shell."
    )
    cache: str = option("none", "Where images are kept once they are read; see docs/input_pipeline.md.", choices=CACHES)
    cache_images: str = option("encoded", "What is kept: files' bytes, or pixels (more room).", choices=CACHE_KINDS)
    cache_dir: str | None = option(None, "Folder of --cache=disk; default: `cache` in --train_dir.")
    deterministic: bool = option(
        True, "Whether a run can be repeated; false takes images as they arrive (slow or uneven file systems)."
    )
    max_corrupt_records: int = option(
        10, "Records that cannot be read or decoded and are skipped, each told; one more ends the run.", minimum=0
    )

    # Augmentation.
    augmentation: str | None = option(
        None,
        "What is done to training images in place of the recipe's own random steps, such as "
        "`scale(0.3,1),flip,rotate(15),colour(0.4),mixup(0.2)`, or a preset: light, medium, strong, trivial; `none`: "
        "as in evaluation. See docs/augmentation.md. Default: the recipe's own.",
    )
    preview_augmentation: str | None = option(
        None, "Write a PNG of training images as the network will see them to this path, and end."
    )

    # Classes of unequal size.
    class_balance: float = option(
        0.0,
        "How evenly classes are drawn: 0 as in the data, 1 all equally often; between, as count ** (1 - balance).",
        minimum=0.0,
        maximum=1.0,
    )
    class_weights: str | None = option(
        None,
        "Weights of the classes in the loss: `balanced`, numbers between commas in the order of the classes, or a file "
        "of lines CLASS: WEIGHT.",
    )

    # Network.
    model_name: str = option("inception_v3", "Network to train.", slim=True)
    preprocessing_name: str | None = option(None, "Preprocessing recipe; default: the network's own.", slim=True)
    train_image_size: int | None = option(
        None, "Side of the square input in pixels; default: the network's.", minimum=1, slim=True
    )
    network_module: str | None = option(
        None, "Python file that registers networks of your own (see docs/networks.md); loaded first."
    )

    # Where to start.
    train_dir: str = option("/tmp/tfmodel/", "Folder of the run: checkpoints, events, run.json.", slim=True)
    checkpoint_path: str | None = option(
        None,
        "Checkpoint to start from: prefix, folder (its newest; FOLDER@STEP: of a step), .tar.gz as published, "
        "SavedModel or frozen graph (.pb).",
        slim=True,
    )
    checkpoint_exclude_scopes: str | None = option(
        None,
        "Comma separated scopes not to restore: whole path components, globs, `head`, `last:N`; `auto`: the head if it "
        "does not fit. See docs/checkpoints.md.",
        slim=True,
    )
    ignore_missing_vars: bool = option(
        False, "Initialise what the checkpoint does not have instead of failing.", slim=True
    )
    trainable_scopes: str | None = option(
        None,
        "Comma separated scopes to train: whole path components, globs, `head`, `last:N`; default: all.",
        slim=True,
    )
    checkpoint_rename: str | None = option(
        None,
        "FROM:TO, comma separated: scopes or names in the checkpoint and what the network calls them; `FROM:` takes a "
        "scope away, `:TO` puts one before all.",
    )
    checkpoint_averages: bool = option(
        False, "Start from the checkpoint's moving averages in place of its variables, as evaluation does."
    )
    dry_run: bool = option(
        False, "Print where each variable would start from and whether it would be trained; write nothing, and end."
    )

    # Classes that the checkpoint knows; see docs/classes.md.
    checkpoint_labels: str | None = option(
        None,
        "Begin with the checkpoint's classifier rows for the classes that it has, too, by name: `auto` (its run.json, "
        "a labels.txt beside it, ImageNet's for 1000 and 1001 classes) or a file of its class names. Default: no rows.",
    )
    extend_classes: bool = option(
        False, "Add the new classes of --dataset_dir to the classifier of --checkpoint_path, which keeps its old ones."
    )
    replay_dataset_dir: str | None = option(
        None, "With --extend_classes: TFRecords of the old classes, mixed into the batches against forgetting."
    )
    replay_share: float = option(
        0.5,
        "Share of old images in a batch; 0: --replay_dataset_dir is for the report alone.",
        minimum=0.0,
        maximum=1.0,
    )
    distillation_weight: float = option(
        0.0,
        "With --extend_classes: weight of the loss that keeps what the network said of the old classes (1 is usual).",
        minimum=0.0,
    )
    distillation_temperature: float = option(
        2.0, "Softens the two distributions that --distillation_weight compares.", minimum=0.1
    )

    # How long, and what is kept.
    max_number_of_steps: int | None = option(None, "Stop at this global step; default: never.", minimum=1, slim=True)
    log_every_n_steps: int = option(10, "Steps between progress lines.", minimum=1, slim=True)
    save_summaries_secs: int = option(600, "Seconds between TensorBoard histograms.", minimum=1, slim=True)
    save_interval_secs: int = option(600, "Seconds between checkpoints.", minimum=1, slim=True)
    keep_checkpoints: int = option(5, "Checkpoints kept; older ones are deleted.", minimum=1)
    seed: int = option(0, "Fixes new weights, order of images, augmentation and dropout.", minimum=0)

    # Loss and batch norm.
    weight_decay: float = option(0.00004, "L2 scale; replaces the network's own default.", minimum=0.0, slim=True)
    weight_decay_multipliers: str | None = option(
        None, "SCOPE=FACTOR, comma separated, the later wins: multiplies --weight_decay, as in `head=0,*/fc6=10`."
    )
    label_smoothing: float = option(
        0.0, "Share of a label spread over all classes.", minimum=0.0, maximum=1.0, slim=True
    )
    moving_average_decay: float | None = option(
        None, "Decay of averages kept of all model variables; default: none kept.", minimum=0.0, maximum=1.0, slim=True
    )
    batch_norm: str = option(
        "recomputed",
        "How batch norm's averages keep up with a short run. `fitted`: their decay grows with the step to the "
        "network's own; `recomputed`: fitted, and computed anew from training images before each checkpoint; "
        "`frozen`: the checkpoint's, also in training; `slim`: the network's own decay from the start.",
        choices=BATCH_NORM_MODES,
    )
    precision: str = option("float32", "Arithmetic of the layers; variables are float32 in both.", choices=PRECISIONS)

    # Learning rate.
    learning_rate: float = option(0.01, "Initial learning rate.", minimum=0.0, slim=True)
    learning_rate_multipliers: str | None = option(
        None, "SCOPE=FACTOR, comma separated, the later wins: multiplies the rate, as in `all=0.1,head=1`."
    )
    learning_rate_decay_type: str = option("exponential", "Schedule.", choices=DECAY_TYPES, slim=True)
    learning_rate_decay_factor: float = option(0.94, "Factor of the exponential schedule.", minimum=0.0, slim=True)
    num_epochs_per_decay: float = option(
        2.0, "Epochs between decays (exponential) or until the end rate (polynomial).", minimum=0.0, slim=True
    )
    end_learning_rate: float = option(0.0001, "End rate of the polynomial schedule.", minimum=0.0, slim=True)
    warmup_epochs: float = option(0.0, "Epochs of linear warm-up from 0.", minimum=0.0, slim=True)

    # Optimizer.
    optimizer: str = option("rmsprop", "Optimizer.", choices=OPTIMIZERS, slim=True)
    opt_epsilon: float = option(
        1.0, "Epsilon of adadelta, adam, rmsprop. Slim's 1.0 damps small gradients.", minimum=0.0, slim=True
    )
    momentum: float = option(0.9, "Of `momentum`.", minimum=0.0, slim=True)
    rmsprop_momentum: float = option(0.9, "Of `rmsprop`.", minimum=0.0, slim=True)
    rmsprop_decay: float = option(0.9, "Decay of rmsprop's squared gradients.", minimum=0.0, slim=True)
    adam_beta1: float = option(0.9, "Decay of adam's first moment.", minimum=0.0, slim=True)
    adam_beta2: float = option(0.999, "Decay of adam's second moment.", minimum=0.0, slim=True)
    adadelta_rho: float = option(0.95, "Decay of adadelta.", minimum=0.0, slim=True)
    adagrad_initial_accumulator_value: float = option(0.1, "Start of adagrad's sum.", minimum=0.0, slim=True)
    ftrl_learning_rate_power: float = option(-0.5, "Learning rate power of ftrl.", maximum=0.0, slim=True)
    ftrl_initial_accumulator_value: float = option(0.1, "Start of ftrl's sum.", minimum=0.0, slim=True)
    ftrl_l1: float = option(0.0, "L1 strength of ftrl.", minimum=0.0, slim=True)
    ftrl_l2: float = option(0.0, "L2 strength of ftrl.", minimum=0.0, slim=True)

    # Distribution and quantization of the original: known, refused until they are carried out.
    master: str = option("", "Not supported: address of a TensorFlow master.", slim=True)
    num_clones: int = option(1, "Not supported beyond 1.", slim=True)
    clone_on_cpu: bool = option(False, "Not supported.", slim=True)
    worker_replicas: int = option(1, "Not supported beyond 1.", slim=True)
    num_ps_tasks: int = option(0, "Not supported beyond 0.", slim=True)
    task: int = option(0, "Not supported beyond 0.", slim=True)
    sync_replicas: bool = option(False, "Not supported.", slim=True)
    replicas_to_aggregate: int = option(1, "Not supported beyond 1.", slim=True)
    quantize_delay: int = option(-1, "Not supported: quantization aware training.", slim=True)

    def __post_init__(self):
        require_dataset_dir(self.dataset_dir)
        check_local(train_dir=self.train_dir, cache_dir=self.cache_dir, preview_augmentation=self.preview_augmentation)
        renames.parse(self.checkpoint_rename)
        for name in ("learning_rate_multipliers", "weight_decay_multipliers"):
            scopes.split_factors(getattr(self, name), f"--{name}")
        self._check_augmentation()
        self._check_extension()
        if self.cache == "none" and self.cache_images != "encoded":
            raise FlagError("--cache_images says what to keep, --cache=none keeps nothing; add --cache=memory or disk")
        if self.cache != "disk" and self.cache_dir:
            raise FlagError("--cache_dir is the folder of --cache=disk; add that, or leave the folder out")
        for name, off in _NOT_YET.items():
            if getattr(self, name) != off:
                raise FlagError(
                    f"--{name}={getattr(self, name)}: distribution and quantization are not supported yet; "
                    f"leave the flag out (its value then is {off!r})"
                )

    def _check_augmentation(self) -> None:
        augmentation = self.parsed_augmentation()
        if augmentation and augmentation.stage("batch") and self.batch_size < 2:
            raise FlagError("mixup and cutmix in --augmentation mix the images of a batch: use --batch_size=2 or more")
        if self.preview_augmentation and not self.preview_augmentation.lower().endswith(".png"):
            raise FlagError(f"--preview_augmentation={self.preview_augmentation} must be the name of a .png file")

    def _check_extension(self) -> None:
        if not self.extend_classes:
            for name, off in {"replay_dataset_dir": None, "replay_share": 0.5, "distillation_weight": 0.0}.items():
                if getattr(self, name) != off:
                    raise FlagError(
                        f"--{name} goes with --extend_classes, which adds classes; add that or leave it out"
                    )
        elif not self.checkpoint_path:
            raise FlagError(
                "--extend_classes adds classes to a trained classifier: name its run, --checkpoint_path=RUN"
            )
        elif self.labels_offset:
            raise FlagError("--extend_classes finds classes by name: leave --labels_offset out")
        elif self.class_weights == "balanced":
            raise FlagError(
                "--class_weights=balanced counts one data set: with --extend_classes give numbers or a file, or "
                "--class_balance"
            )
        if self.distillation_temperature != 2.0 and not self.distillation_weight:
            raise FlagError(
                "--distillation_temperature is that of --distillation_weight, which is 0: add it, 1 is usual"
            )
        if self.distillation_weight and self.label_smoothing and not self.num_replayed:
            raise FlagError(
                "--label_smoothing spreads over all classes, which --distillation_weight keeps apart where nothing is "
                "replayed: leave it out, or add --replay_dataset_dir"
            )
        if self.replay_share != 0.5 and not self.replay_dataset_dir:
            raise FlagError("--replay_share is of the images in --replay_dataset_dir: name that folder")
        if self.replay_dataset_dir and self.replay_share and not 0 < self.num_replayed < self.batch_size:
            raise FlagError(
                f"--replay_share={self.replay_share:g} of --batch_size={self.batch_size} is {self.num_replayed} "
                "images: a batch must have old and new ones"
            )

    @property
    def num_replayed(self) -> int:
        """Old images in a batch."""
        return round(self.replay_share * self.batch_size) if self.replay_dataset_dir else 0

    def parsed_augmentation(self) -> augmentation_lib.Augmentation | None:
        """What `augmentation` asks for; None: the recipe's own random steps."""
        if not self.augmentation:
            return None
        try:
            return augmentation_lib.parse(self.augmentation)
        except ValueError as error:
            raise FlagError(f"--augmentation={self.augmentation!r}, {error}") from None


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """What `eval_image_classifier.py` does.

    A flag that is not given takes its value from the run's `run.json` where there is one, else the default below.
    """

    checkpoint_path: str = option("/tmp/tfmodel/", "Run folder (its newest checkpoint) or a checkpoint.", slim=True)
    eval_dir: str | None = option(
        "/tmp/tfmodel/", "Folder for metrics.json and events; default: eval_SPLIT in the run's folder.", slim=True
    )
    dataset_dir: str | None = option(None, "Folder with the TFRecords; default: the run's.", slim=True)
    dataset_name: str = option("imagenet", "Data set, where the folder does not say itself.", slim=True)
    dataset_split_name: str = option(
        "test", "Split to evaluate; where it is not given and there is no `test`, `validation`.", slim=True
    )
    fold: int | None = option(
        None, "Fold that is `validation`, of a data set in folds; default: the one the run held out.", minimum=0
    )
    labels_offset: int = option(0, "Subtracted from labels and class count.", slim=True)
    model_name: str = option("inception_v3", "Network.", slim=True)
    preprocessing_name: str | None = option(None, "Preprocessing recipe; default: the network's.", slim=True)
    eval_image_size: int | None = option(None, "Side of the input in pixels.", minimum=1, slim=True)
    use_grayscale: bool = option(False, "Turn images to gray, one channel.", slim=True)
    network_module: str | None = option(None, "Python file that registers networks of your own.")
    batch_size: int = option(100, "Images per step; changes no result.", minimum=1, slim=True)
    max_num_batches: int | None = option(
        None, "Evaluate this many batches only; default, and 0: all.", minimum=0, slim=True
    )
    num_preprocessing_threads: int = option(4, "Images decoded in parallel.", minimum=1, slim=True)
    file_pattern: str | None = option(
        None, "Names of the TFRecord files below --dataset_dir, with %s for the split and *, ? and [abc] as in a shell."
    )
    max_corrupt_records: int = option(
        0,
        "Records that cannot be read or decoded and are left out, each told and counted in metrics.json; one more ends "
        "the evaluation.",
        minimum=0,
    )
    moving_average_decay: float | None = option(
        None, "Any value but 0: use the averages that training kept. Default: where the checkpoint has them.", slim=True
    )
    master: str = option("", "Not supported: address of a TensorFlow master.", slim=True)
    quantize: bool = option(False, "Not supported: quantized evaluation.", slim=True)

    def __post_init__(self):
        check_local(eval_dir=self.eval_dir)
        for name, off in {"master": "", "quantize": False}.items():
            if getattr(self, name) != off:
                raise FlagError(f"--{name} is not supported yet; leave it out")


def require_dataset_dir(dataset_dir: str | None) -> None:
    """Fails where no data set folder is named."""
    if not dataset_dir:
        raise FlagError(
            "--dataset_dir is missing: name the folder with the TFRecords (download_and_convert_data.py makes them)"
        )
