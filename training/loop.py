"""Training, start to end: `train(config)` reads as what happens."""

import collections
import dataclasses
import itertools
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from checkpoints import writer
from common.errors import UserError
from datasets import dataset_factory, filesystem, folds, splits
from datasets.skipping import Batches
from nets import registry
from nets.network import Network
from preprocessing import recipes
from reporting.progress import Progress, duration
from reporting.summaries import TrainSummaries
from training import distillation, dry_run, extending, extension_report, models, preview, runs, selection
from training.averages import MovingAverages
from training.batch_norm import RECOMPUTE_IMAGES, BatchNormAverages
from training.config import TrainConfig
from training.data import TrainData
from training.extending import Extension
from training.optimizers import Optimizer
from training.replay import extended_data
from training.runs import ModelInfo
from training.schedules import learning_rate
from training.start import Start, starting_point
from training.step import make_train_step

_CHECKED_IMAGES = 128  # images on which the two modes of batch norm are compared


def train(config: TrainConfig, given: frozenset[str] = frozenset()) -> None:
    """Trains a network as `config` says and leaves checkpoints, events and `run.json` in `config.train_dir`.

    Args:
        config: all settings.
        given: names of the flags that the user gave (a data set named by the user wins over what the folder says).
    """
    dataset = dataset_factory.get_dataset(
        config.dataset_name if "dataset_name" in given else None,
        config.dataset_split_name,
        config.dataset_dir,
        config.file_pattern,
        fold=config.fold,
    )
    config, extension = extending.prepare(config, given, dataset)
    info = _model_info(config, dataset)
    if config.preview_augmentation:
        preview.write(config, info, dataset)
        return
    if extension:
        info = extension.extended(info)
    network = Network(
        info.model_name,
        info.num_classes,
        image_size=info.image_size,
        channels=info.channels,
        weight_decay=config.weight_decay,
        seed=config.seed,
        compute_dtype=tf.as_dtype(config.precision),
    )
    network.train_only(selection.names_to_train(config, network))
    start = starting_point(config, network, info.labels, extension)
    if config.dry_run:
        print(dry_run.table(config, network, start))
        return
    logging.info("%s", start.text)
    if config.max_number_of_steps and start.step >= config.max_number_of_steps:
        logging.info(
            "Nothing to do: the run is at step %d of --max_number_of_steps=%d", start.step, config.max_number_of_steps
        )
        return
    known = (runs.read(config.train_dir) or {}).get("corrupt_records", ()) if start.kind == "resumed" else ()
    if extension:
        extension = extension_report.measured_before(extension, config, info)
    data = (
        extended_data(config, info, dataset, extension, known) if extension else TrainData(config, info, dataset, known)
    )
    batches = data.batches(start.step, config.seed)
    # From here on images are read and decoded on other threads, while variables are made and the step is traced.
    Trainer(config, given, dataset, info, network, start, data, batches, extension).run()
    if extension:
        extension_report.report(extension, config, given, info)


def _model_info(config: TrainConfig, dataset: Any) -> ModelInfo:
    """The model to train, from the config and what the data set says."""
    if config.network_module:
        registry.load_module(config.network_module)
    record = models.known("--model_name", registry.get, config.model_name)
    models.check_takes_images(record)
    recipe = models.known("--preprocessing_name", recipes.get, config.preprocessing_name or record.preprocessing)
    num_classes = dataset.num_classes - config.labels_offset
    if num_classes < 1:
        raise UserError(
            f"--labels_offset={config.labels_offset} leaves no class of the {dataset.num_classes} in {dataset.name}: "
            f"use --labels_offset=0, or 1 where class 0 is a background class"
        )
    names = dataset.labels_to_names
    labels = None
    if names:
        labels = tuple(str(names.get(k + config.labels_offset, k)) for k in range(num_classes))
    return ModelInfo(
        model_name=record.name,
        num_classes=num_classes,
        image_size=config.train_image_size or record.image_size,
        channels=1 if config.use_grayscale else dataset.channels,
        preprocessing_name=recipe.name,
        labels=labels,
        labels_offset=config.labels_offset,
        network_module=config.network_module and os.path.abspath(config.network_module),
        multi_label=dataset.multi_label,
    )


class Trainer:
    """One training run: its variables, its compiled step, and what it writes."""

    def __init__(
        self,
        config: TrainConfig,
        given: frozenset[str],
        dataset: Any,
        info: ModelInfo,
        network: Network,
        start: Start,
        data: TrainData,
        batches: Batches,
        extension: Extension | None = None,
    ):
        self._data, self._batches, self._extension = data, batches, extension
        self.config, self.dataset, self.info, self.network, self.start = config, dataset, info, network, start
        network.initialize({name: start.values[name] for name in network.shapes if name in start.values})
        self.global_step = tf.Variable(start.step, dtype=tf.int64, trainable=False, name="global_step")
        self._rate_factors = selection.rate_factors(config, network)
        self._decay_factors = selection.decay_factors(config, network)
        trained = {name: network.variables_by_name[name] for name in network.trained_names}
        self.optimizer = Optimizer(config, trained, self._rate_factors)
        self.batch_norm = BatchNormAverages(config.batch_norm, network, info.multi_label)
        self.averages = None
        if config.moving_average_decay:
            recomputed = network.moving_statistics_names() if self.batch_norm.is_recomputed else ()
            self.averages = MovingAverages(config.moving_average_decay, network.variables_by_name, given=recomputed)
        self._restore_state()
        self._frozen = {
            name: variable for name, variable in network.variables_by_name.items() if name not in self._moving_names()
        }
        self._frozen_digest = runs.digest(self._frozen)
        self._run = self._describe(given)
        self._recent: collections.deque = collections.deque()
        self._stop_signal: int | None = None

    # -- the run -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Trains until the last step, or until told to stop; the last checkpoint is of where it stopped."""
        config, first = self.config, self.start.step
        self._log_what_is_trained()
        try:
            runs.write(config.train_dir, self._run)
        except OSError as error:
            raise UserError(f"--train_dir={config.train_dir} cannot be written: {error.strerror}") from None
        train_step = make_train_step(
            config,
            self.network,
            self.optimizer,
            self.averages,
            learning_rate(config, self.dataset.num_samples),
            self.batch_norm,
            self.global_step,
            self._data.class_weights,
            self.info.multi_label,
            self._decay_factors,
            distillation.of(config, self.info, self._extension) if self._extension else None,
        )
        spec = self._batches.element_spec
        train_step.get_concrete_function(spec["image"], spec[self.info.labels_key])
        self._summaries = TrainSummaries(config.train_dir, self.network)
        save, summarise = _Every(config.save_interval_secs), _Every(config.save_summaries_secs)
        began, step, scalars = time.monotonic(), first, {}
        with _Signals(self), Progress(first, config.max_number_of_steps, config.batch_size) as progress:
            for batch in self._batches:
                images, labels = batch["image"], batch[self.info.labels_key]
                scalars = train_step(images, labels)
                step += 1
                self._remember(images, labels)
                if step == first + 1:
                    progress.start(step, self._checked_loss(step, scalars))
                    self._summaries.pictures(step, images)
                    progress.mark(step)
                elif step % config.log_every_n_steps == 0:
                    self._report(step, scalars, progress)
                if step == config.max_number_of_steps or self._stop_signal is not None:
                    break
                if summarise.is_due():
                    self._summaries.histograms(step, images)
                    progress.mark(step)
                if save.is_due():
                    self._checked_loss(step, scalars)
                    self._save(step)
                    progress.mark(step)
            self._checked_loss(step, scalars)
        self._finish(step, scalars, time.monotonic() - began)

    def request_stop(self, signal_number: int) -> None:
        """Ends the run after the step under way."""
        self._stop_signal = signal_number

    def _remember(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        self._recent.append((images, labels))
        while len(self._recent) > max(1, _CHECKED_IMAGES // self.config.batch_size):
            self._recent.popleft()

    def _report(self, step: int, scalars: Mapping[str, tf.Tensor], progress: Progress) -> None:
        loss = self._checked_loss(step, scalars)
        seconds, speed = progress.report(step, loss)
        values = {tag: float(value) for tag, value in scalars.items()}
        self._summaries.scalars(step, values | {"global_step/sec": 1 / seconds, "images/sec": speed})

    def _checked_loss(self, step: int, scalars: Mapping[str, tf.Tensor]) -> float:
        """The loss; fails before anything is saved where it is no number any more."""
        loss = float(scalars["total_loss"])
        if not math.isfinite(loss):
            rate = float(scalars["learning_rate"])
            raise UserError(
                f"the loss is {loss} at step {step}: training has diverged at learning rate {rate:g}. Start again from "
                f"the last checkpoint with a smaller one (--learning_rate={rate / 10:.2g}); nothing of this was saved"
            )
        return loss

    # -- what is kept ------------------------------------------------------------------------------------------------

    def _state(self) -> dict[str, tf.Variable]:
        """Name in the checkpoint -> variable, of everything a run needs to go on."""
        state = dict(self.network.variables_by_name) | self.optimizer.state
        if self.averages is not None:
            state |= self.averages.state
        return state | {"global_step": self.global_step}

    def _restore_state(self) -> None:
        """Gives optimizer and averages their values where the run is resumed."""
        if self.start.kind != "resumed":
            return
        new = []
        for name, variable in self._state().items():
            if name in self.start.values:
                variable.assign(tf.cast(self.start.values[name], variable.dtype))
            else:
                new.append(name)
        if new:
            logging.warning(
                "%d values are not in the checkpoint and start fresh (other flags than before?): %s",
                len(new),
                ", ".join(new[:3]) + (", ..." if len(new) > 3 else ""),
            )

    def _save(self, step: int) -> None:
        """Brings the batch-norm averages up to date, says whether the two modes agree, and writes a checkpoint."""
        if self.batch_norm.is_trained:
            if self.batch_norm.is_recomputed:
                self._recompute_averages()
            agreement = self.batch_norm.compare(self._recent)
            if agreement.is_good:
                logging.info("Batch norm: %s", agreement)
            else:
                logging.warning(
                    "Batch norm: %s: evaluation will be worse than training looks. "
                    "Use --batch_norm=recomputed, or a learning rate that falls",
                    agreement,
                )
            self._run["batch_norm"]["agreement"] = {
                **dataclasses.asdict(agreement),
                "step": step,
                "good": agreement.is_good,
            }
        prefix = writer.save(
            self.config.train_dir,
            step,
            {name: variable.read_value() for name, variable in self._state().items()},
            keep=self.config.keep_checkpoints,
        )
        logging.info("Saved %s", prefix)
        if self._data.unreadable.told:
            self._run["corrupt_records"] = self._data.unreadable.told
            runs.write(self.config.train_dir, self._run)

    def _recompute_averages(self) -> None:
        config = self.config
        images = min(RECOMPUTE_IMAGES, self.dataset.num_samples)

        def batches() -> Iterator[tf.Tensor]:
            some = itertools.islice(self._data.batches(0, self.config.seed + 1), math.ceil(images / config.batch_size))
            return (batch["image"] for batch in some)

        count = self.batch_norm.recompute(batches())
        if self.averages is not None:  # statistics that go with the averaged weights
            with self.averages.in_place_of_variables():
                self.batch_norm.recompute(batches())
        logging.info("Batch norm: averages recomputed from %d training batches", count)

    def _finish(self, step: int, scalars: Mapping[str, tf.Tensor], seconds: float) -> None:
        self._save(step)
        self._summaries.histograms(step, self._recent[-1][0])
        self._summaries.close()
        digest = runs.digest(self._frozen)
        if digest != self._frozen_digest:
            raise RuntimeError("a frozen variable has changed; this is a defect, please report it")
        if self._frozen:
            logging.info("%d frozen variables are bit-identical to the start", len(self._frozen))
        self._run["frozen"]["sha256_end"] = digest
        self._run["result"] = {
            "step": step,
            "seconds": round(seconds, 1),
            **{tag: float(value) for tag, value in scalars.items()},
        }
        runs.write(self.config.train_dir, self._run)
        if self._stop_signal is not None:
            name = signal.Signals(self._stop_signal).name
            raise UserError(f"stopped by {name} at step {step}; the same command goes on from there")
        self._log_end(step, seconds)

    # -- what is said ------------------------------------------------------------------------------------------------

    def _log_end(self, step: int, seconds: float) -> None:
        config, done = self.config, f"Done: step {step} after {duration(seconds)}."
        if config.dataset_split_name == folds.ALL and splits.TEST not in dataset_factory.splits(config.dataset_dir):
            logging.info("%s Every image was trained on, so none is left to evaluate on. Export with:", done)
            logging.info("  python export_saved_model.py --checkpoint_path=%s --export_dir=...", config.train_dir)
            return
        logging.info("%s Evaluate with:", done)
        logging.info("  python eval_image_classifier.py --checkpoint_path=%s", config.train_dir)

    def _moving_names(self) -> set[str]:
        """Names of the variables that training may change."""
        trained = set(self.network.trained_names)
        if self.batch_norm.is_trained:
            trained |= set(self.network.moving_statistics_names())
        return trained

    def _log_what_is_trained(self) -> None:
        trained = self.network.trained_names
        sizes = {name: math.prod(shape) for name, shape in self.network.shapes.items()}
        logging.info(
            "%s, %d classes, %dx%dx%d input, %s preprocessing, %d training images",
            self.info.model_name,
            self.info.num_classes,
            self.info.image_size,
            self.info.image_size,
            self.info.channels,
            self.info.preprocessing_name,
            self.dataset.num_samples,
        )
        logging.info(
            "Training %d of %d variables, %s of %s parameters",
            len(trained),
            len(self.network.trainable_names),
            f"{sum(sizes[name] for name in trained):,}",
            f"{sum(sizes[name] for name in self.network.trainable_names):,}",
        )
        for line in selection.describe(self._rate_factors, self._decay_factors, self.network):
            logging.info("%s", line)
        if self._extension:
            logging.info("%s", self._extension.described())
        if self.config.augmentation:
            logging.info("Augmentation: %s", self.config.parsed_augmentation())
        logging.info("Batch norm: %s", self.batch_norm.describe())

    def _describe(self, given: frozenset[str]) -> dict[str, Any]:
        """The content of run.json at the start."""
        dataset = self.dataset
        return {
            "model": vars(self.info),
            "dataset": {
                "name": dataset.name,
                "dir": filesystem.absolute(self.config.dataset_dir),
                "split": self.config.dataset_split_name,
                "fold": self.config.fold,
                "num_samples": dataset.num_samples,
                "num_classes": dataset.num_classes,
                "fingerprint": dataset.fingerprint,
            },
            "start": {
                "kind": self.start.kind,
                "step": self.start.step,
                "checkpoint": self.start.source,
                **({"classes": self.start.rows.as_json()} if self.start.rows else {}),
            },
            **({extending.RUN_KEY: self._extension.as_json()} if self._extension else {}),
            "trained": {
                "variables": len(self.network.trained_names),
                "scopes": self.config.trainable_scopes or "all",
            },
            "frozen": {"variables": len(self._frozen), "sha256_start": self._frozen_digest},
            "batch_norm": {"mode": self.config.batch_norm, "done": self.batch_norm.describe()},
            "augmentation": str(self.config.parsed_augmentation() or "recipe"),
            **({"corrupt_records": self._data.unreadable.told} if self._data.unreadable.told else {}),
            "flags": vars(self.config),
            "given_flags": sorted(given),
            "versions": runs.versions(),
        }


class _Every:
    """Tells when a number of seconds has passed since it last did."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._last = time.monotonic()

    def is_due(self) -> bool:
        if time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True


class _Signals:
    """Turns SIGTERM and the first Ctrl-C into a stop after the step under way, so that nothing done is lost."""

    def __init__(self, trainer: Trainer):
        self._trainer = trainer
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        def stop(number: int, frame: Any) -> None:
            self._trainer.request_stop(number)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C stops at once

        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, stop)
            except ValueError:  # not the main thread: the caller handles signals
                return

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
