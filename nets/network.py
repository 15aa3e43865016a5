"""A Slim network as an object: variables made once and kept by their Slim names, callable in `tf.function`.

A Slim network function asks `tf.compat.v1.get_variable` for what it needs, by name, each time it is called. `Network`
answers these requests itself, through a custom getter: one dry run in a scratch graph learns which variables there are
(`specs`), `initialize` makes them, and every later call looks them up. So the function runs unchanged inside
`tf.function` and under a distribution strategy, and a variable's name is its name in the checkpoint.
"""

import collections
import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import UserError, tensorflow_reason
from nets import initializers, layers, nets_factory, registry
from nets import stages as stages_lib

EndPoints = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class VariableSpec:
    """One variable that a network asks for."""

    name: str  # as in the checkpoint, without ":0"
    shape: tuple[int, ...]
    dtype: tf.DType  # of the stored variable; float32 also where the computation is in bfloat16
    trainable: bool
    initializer: Any  # v1 initializer protocol, see nets.initializers.sample
    regularizer: Callable[[tf.Tensor], tf.Tensor | None] | None
    synchronization: tf.VariableSynchronization
    aggregation: tf.VariableAggregation


class ImageSizeError(UserError, ValueError):
    """Images of a size that the network does not take: the user's matter in a script, a wrong argument elsewhere."""


class Network(tf.Module):
    """A registered network with its variables.

    Example:
        network = Network("resnet_v1_50", num_classes=5)
        network.initialize()
        logits, end_points = network(images)  # images: [N, H, W, C] in the range of the network's preprocessing

    Args:
        name: a name of `nets_factory.networks_map`.
        num_classes: width of the classifier; 0 or None for features only.
        image_size: side of the (square) input in pixels; None for the network's default.
        channels: channels of the input; None for the network's default (3, lenet 1).
        weight_decay: L2 scale given to the network's arg scope; 0.0 for none.
        seed: with a variable's name it determines the variable's initial value.
        compute_dtype: float32, or bfloat16 for mixed precision: variables stay float32 and are cast where used, batch
          norm parameters stay float32, logits come back as float32.
        **kwargs: further arguments of the network function (`depth_multiplier`, `output_stride`, ...).

    Attributes:
        specs: one `VariableSpec` per variable, in the order in which the training graph asks for them.
        variables_by_name: Slim name -> `tf.Variable`; empty until `initialize`.
    """

    def __init__(
        self,
        name: str,
        num_classes: int | None,
        *,
        image_size: int | None = None,
        channels: int | None = None,
        weight_decay: float = 0.0,
        seed: int = 0,
        compute_dtype: tf.DType = tf.float32,
        **kwargs: Any,
    ):
        super().__init__(name=None)
        self.record = registry.get(name)
        self.num_classes = num_classes
        self.image_size = image_size or self.record.image_size
        self.channels = channels or self.record.channels
        self.seed = seed
        self.compute_dtype = compute_dtype
        self._weight_decay = float(weight_decay)
        self._kwargs = kwargs
        self._trained: frozenset[str] | None = None
        self._compiled: dict[tuple, Any] = {}
        self.variables_by_name: dict[str, tf.Variable] = {}
        self._moving_batch_norms: dict[str, bool] = {}
        self.specs = self._discover_variables_at_size()
        self._frozen_batch_norms = self._find_frozen_batch_norms()

    # -- variables ---------------------------------------------------------------------------------------------------

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Slim name -> shape of every variable."""
        return {spec.name: spec.shape for spec in self.specs}

    @property
    def stages(self) -> tuple[stages_lib.Stage, ...]:
        """(name, scopes) of each stage in the order of computation, see `nets.stages`."""
        return stages_lib.stages(self.shapes, self.record.head_scopes)

    @property
    def trainable_names(self) -> list[str]:
        """Names of the variables that can be trained (all but batch-norm statistics)."""
        return [spec.name for spec in self.specs if spec.trainable]

    def initialize(self, values: Mapping[str, tf.Tensor] | None = None) -> None:
        """Makes the variables: those in `values` from there, the others from their seeded initial distributions.

        Call it inside `strategy.scope()` to have them distributed. Initial values are drawn in one traced function, and
        only those that `values` does not give.

        Args:
            values: Slim name -> tensor or array; cast to the variable's type.

        Raises:
            ValueError: a name that the network does not have, or another shape than its variable's.
        """
        values = dict(values or {})
        if unknown := sorted(values.keys() - self.shapes.keys()):
            raise ValueError(f"network {self.record.name!r} has no variables {', '.join(unknown[:5])}")
        values.update(self._draw_initial_values([spec for spec in self.specs if spec.name not in values]))
        self._compiled.clear()  # these functions hold the variables that they were traced with
        self.variables_by_name = {
            spec.name: tf.Variable(
                tf.cast(values[spec.name], spec.dtype),
                trainable=spec.trainable,
                name=spec.name,
                dtype=spec.dtype,
                shape=spec.shape,
                synchronization=spec.synchronization,
                aggregation=spec.aggregation,
            )
            for spec in self.specs
        }

    def initial_values(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Draws the seeded initial values that `initialize` would give these variables: name -> tensor."""
        names = set(names)
        return self._draw_initial_values([spec for spec in self.specs if spec.name in names])

    def _draw_initial_values(self, specs: list[VariableSpec]) -> dict[str, tf.Tensor]:
        def draw(seed: int | tf.Tensor, specs: list[VariableSpec]) -> dict[str, tf.Tensor]:
            return {
                spec.name: initializers.sample(
                    spec.initializer, spec.shape, spec.dtype, (seed, zlib.crc32(spec.name.encode()) & 0x7FFFFFFF)
                )
                for spec in specs
            }

        def is_traceable(initializer: Any) -> bool:
            # Constants, most of the variables, are made faster one by one than as outputs of a function.
            return initializers.has_stateless_draw(initializer) and not initializers.is_fixed(initializer)

        traceable = [spec for spec in specs if is_traceable(spec.initializer)]
        values = draw(self.seed, [spec for spec in specs if not is_traceable(spec.initializer)])
        if traceable:
            # An argument, not a constant: else Grappler draws everything a first time, to fold it into the graph.
            seed = tf.constant(self.seed)
            compiled = tf.function(lambda seed: draw(seed, traceable), autograph=False)
            values.update(compiled.get_concrete_function(tf.TensorSpec([], seed.dtype))(seed))
        return values

    def train_only(self, names: Iterable[str]) -> None:
        """Declares which variables are trained; all other layers are frozen.

        A batch norm none of whose own variables is trained then runs in inference mode even when the network is
        called with `training=True`, so a frozen layer's statistics do not move.
        """
        self._trained = frozenset(names)
        self._frozen_batch_norms = self._find_frozen_batch_norms()
        self._compiled.clear()

    @property
    def trained_names(self) -> list[str]:
        """Names of the variables to train, in creation order; all trainable ones unless `train_only` said less."""
        return [name for name in self.trainable_names if self._trained is None or name in self._trained]

    def moving_statistics_names(self) -> list[str]:
        """Names of the batch-norm statistics that move under `training=True`: those of layers that are not frozen."""
        return [
            spec.name
            for spec in self.specs
            # Statistics, and they alone, are kept per replica and read as their mean.
            if spec.synchronization == tf.VariableSynchronization.ON_READ
            and (scope := self._batch_norm_of(spec.name)) is not None
            and scope not in self._frozen_batch_norms
        ]

    def _batch_norm_of(self, name: str) -> str | None:
        """The scope of the batch norm that a variable belongs to."""
        scope = name.rpartition("/")[0]
        while scope and scope not in self._moving_batch_norms:
            scope = scope.rpartition("/")[0]
        return scope or None

    def _find_frozen_batch_norms(self) -> frozenset[str]:
        """Scopes of the batch norms that run in inference mode in training too: nothing they go with is trained."""
        trained, by_scope = self._trained, collections.defaultdict(list)
        for name in self.trainable_names:
            by_scope[name.rpartition("/")[0]].append(name)

        def is_frozen(scope: str) -> bool:
            layer = scope.rpartition("/")[0]
            # center=False, scale=False: without variables of its own it goes with the layer that it normalises.
            own = by_scope.get(scope) or by_scope.get(layer)
            if own:
                return trained.isdisjoint(own)
            # It normalises no one layer: it moves where all around it is trained.
            around = f"{layer}/" if layer else ""
            return not trained.issuperset(name for name in self.trainable_names if name.startswith(around))

        return frozenset(
            scope
            for scope, moves in self._moving_batch_norms.items()
            if not moves or (trained is not None and is_frozen(scope))
        )

    def regularization_loss(
        self, names: Iterable[str] | None = None, factors: Mapping[str, float] | None = None
    ) -> tf.Tensor:
        """Sum of the L2 terms (float32 scalar) over all regularised variables, or over those in `names`.

        Args:
            names: variables to sum over; None for all.
            factors: variable -> what its term is multiplied by, where that is not 1.
        """
        names = None if names is None else set(names)
        factors = factors or {}
        terms = []
        for spec in self.specs:
            factor = factors.get(spec.name, 1.0)
            if spec.regularizer is None or factor == 0 or (names is not None and spec.name not in names):
                continue
            term = spec.regularizer(self.variables_by_name[spec.name])
            if term is not None:
                terms.append(term if factor == 1 else factor * term)
        return tf.add_n(terms) if terms else tf.constant(0.0)

    # -- calls -------------------------------------------------------------------------------------------------------

    def __call__(
        self,
        images: tf.Tensor,
        training: bool = False,
        *,
        batch_statistics: bool | None = None,
        batch_norm_decay: Callable[[float], Any] | None = None,
        seed: tf.Tensor | None = None,
        step: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, EndPoints]:
        """Applies the network.

        Args:
            images: [N, H, W, C] (video networks: [N, T, H, W, C]) in the range that the network's preprocessing makes.
            training: dropout and batch norm in training mode (frozen layers excepted, see `train_only`).
            batch_statistics: whether batch norms that are not frozen use the batch's own statistics; None for
              `training`. With `training=False` the moving averages are then left as they are.
            batch_norm_decay: maps the network's decay of the moving averages to the one to use; None keeps it.
            seed: int tensor [2] that fixes the dropout masks; None for a fresh draw.
            step: int scalar, how many training steps have been done, for networks with a schedule of their own (the
                drop path of NASNet); None for the schedule's end.

        Returns:
            (logits, end_points): [N, num_classes] float32 (the features where num_classes is 0) and Slim's end points.
        """
        if not self.variables_by_name:
            raise ValueError(f"network {self.record.name!r} has no variables yet: call initialize() first")
        if tf.executing_eagerly():
            return self._call_eagerly(images, training, batch_statistics, batch_norm_decay, seed, step)
        if batch_statistics is None:
            batch_statistics = training

        def batch_norm(scope: str, is_training: Any, decay: float) -> tuple[Any, Any]:
            del is_training
            if not batch_statistics or scope in self._frozen_batch_norms:
                return False, decay
            if not training:
                return True, 1.0  # a decay of one leaves the averages as they are
            return True, batch_norm_decay(decay) if batch_norm_decay else decay

        with layers.call_context(batch_norm=batch_norm, seed=seed, step=step):
            return self._apply(images, training, self._look_up)

    def _call_eagerly(
        self,
        images: tf.Tensor,
        training: bool,
        batch_statistics: bool | None,
        decay: Callable | None,
        seed: Any,
        step: Any,
    ) -> tuple[tf.Tensor, EndPoints]:
        images = tf.convert_to_tensor(images)
        # One trace for batches of any length, but one for each size of image: a size not known in the trace would make
        # another network of some (pooling windows that shrink with their input).
        key = (training, batch_statistics, *images.shape[1:])
        compiled = self._compiled.get(key) if decay is None else None
        if compiled is None:
            options = {"batch_statistics": batch_statistics, "batch_norm_decay": decay}
            compiled = tf.function(
                lambda batch, seed, step: self(batch, training, seed=seed, step=step, **options),
                autograph=False,
                reduce_retracing=True,
            )
            if decay is None:  # a callable may mean something else each time
                self._compiled[key] = compiled
        return compiled(images, seed, step if step is None else tf.convert_to_tensor(step))

    def _apply(self, images: tf.Tensor, training: bool, getter: Callable) -> tuple[tf.Tensor, EndPoints]:
        function = nets_factory.get_network_fn(
            self.record.name, self.num_classes, weight_decay=self._weight_decay, is_training=training
        )
        # Re-entering the current scope adds the getter without adding to any name.
        with tf.compat.v1.variable_scope(tf.compat.v1.get_variable_scope(), custom_getter=getter):
            logits, end_points = function(tf.cast(images, self.compute_dtype), **self._kwargs)
        return tf.cast(logits, tf.float32), end_points

    def _look_up(self, getter: Callable, name: str, shape: Any = None, dtype: tf.DType = tf.float32, **_: Any) -> Any:
        variable = self.variables_by_name.get(name)
        if variable is None or not (shape is None or variable.shape.is_compatible_with(shape)):
            wanted = name if shape is None else f"{name} {tf.TensorShape(shape)}"
            raise ValueError(
                f"network {self.record.name!r} was built for {self.image_size}x{self.image_size} images with "
                f"{self.channels} channels and has no variable {wanted}: it was called with other images or arguments; "
                f"make a new Network for those"
            )
        return variable if variable.dtype == dtype else tf.cast(variable, dtype)

    @functools.cached_property
    def evaluation_names(self) -> frozenset[str]:
        """Names of the variables that evaluation uses: all but those of heads built for training alone."""
        return frozenset(spec.name for spec in self._discover_variables(training=False))

    def _discover_variables_at_size(self) -> tuple[VariableSpec, ...]:
        """The variables. Where the image size is to blame for that there are none, the error says so."""
        try:
            return self._discover_variables()
        except ValueError as error:
            own = self.record.image_size
            if self.image_size == own or not self._works_at_its_own_size():
                raise
            raise ImageSizeError(
                f"network {self.record.name!r} does not take images of {self.image_size}x{self.image_size}: "
                f"{tensorflow_reason(error)}. Its own size is {own}x{own}; leave out --train_image_size, "
                "--eval_image_size or --image_size, or give another one"
            ) from error

    def _works_at_its_own_size(self) -> bool:
        try:
            Network(self.record.name, self.num_classes, channels=self.channels, **self._kwargs)
        except ValueError:
            return False
        return True

    def _discover_variables(self, training: bool = True) -> tuple[VariableSpec, ...]:
        specs: dict[str, VariableSpec] = {}

        def collect(getter, name, shape=None, dtype=tf.float32, initializer=None, regularizer=None, **options):
            if name not in specs:
                specs[name] = _make_spec(name, shape, dtype, initializer, regularizer, options)
            return tf.compat.v1.placeholder(dtype, specs[name].shape)

        def batch_norm(scope: str, is_training: Any, decay: Any) -> tuple[Any, float]:
            # Training mode shows all variables (auxiliary heads, debiased means); which of the batch norms the network
            # itself keeps in inference mode shows here and only here.
            moves = bool(is_training) if not tf.is_tensor(is_training) else True
            if training:
                self._moving_batch_norms[scope] = moves or self._moving_batch_norms.get(scope, False)
            return is_training, 1.0  # a decay of one asks for no updates, which placeholders do not have

        frames = (None,) if self.record.video else ()
        shape = (None, *frames, self.image_size, self.image_size, self.channels)
        compute_dtype, self.compute_dtype = self.compute_dtype, tf.float32
        try:
            with tf.Graph().as_default(), layers.call_context(batch_norm=batch_norm, step=0):
                self._apply(tf.compat.v1.placeholder(tf.float32, shape), training, collect)
        finally:
            self.compute_dtype = compute_dtype
        return tuple(specs.values())


def _make_spec(
    name: str, shape: Any, dtype: tf.DType, initializer: Any, regularizer: Any, options: Mapping[str, Any]
) -> VariableSpec:
    if tf.is_tensor(initializer):  # a graph's tensor is gone when values are drawn
        initializer = tf.get_static_value(initializer)
        if initializer is None:
            raise ValueError(
                f"the initial value of variable {name!r} is a tensor that is computed; "
                f"give a function initializer(shape, dtype) instead"
            )
    if shape is None and not callable(initializer):
        shape = np.shape(initializer)
    trainable = options.get("trainable")
    synchronization = options.get("synchronization", tf.VariableSynchronization.AUTO)
    if trainable is None:
        trainable = synchronization != tf.VariableSynchronization.ON_READ
    return VariableSpec(
        name=name,
        shape=tuple(tf.TensorShape(shape).as_list()),
        dtype=tf.as_dtype(dtype),
        trainable=bool(trainable),
        initializer=initializer,
        regularizer=regularizer,
        synchronization=synchronization,
        aggregation=options.get("aggregation", tf.VariableAggregation.NONE),
    )


def class_axes(name: str, **options: Any) -> dict[str, int]:
    """Returns which axis of which variable is the class axis: Slim name -> axis, in the network's order.

    Builds the network at two widths and compares the shapes, so that no table has to say it.

    Args:
        name: network.
        **options: of `Network`: `image_size`, `channels`.
    """
    return {variable: axis for variable, (axis, _) in _class_axes(name, **options).items()}


def class_count(name: str, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Reads off a checkpoint's shapes how many classes its classifier has.

    Args:
        name: network.
        shapes: Slim name -> shape of what the checkpoint holds.

    Returns:
        The number of classes, or None where the checkpoint has no classifier of this network.
    """
    for variable, (axis, rank) in reversed(_class_axes(name).items()):  # the main head is built last
        if variable in shapes and len(shapes[variable]) == rank:
            return shapes[variable][axis]
    return None


def _class_axes(name: str, **options: Any) -> dict[str, tuple[int, int]]:
    """The class axis and the rank of each variable that has one."""
    narrow, wide = (Network(name, width, **options).shapes for width in (3, 5))
    found = {}
    for variable, shape in narrow.items():
        axes = [i for i, (a, b) in enumerate(zip(shape, wide[variable], strict=True)) if a != b]
        if axes:
            found[variable] = (axes[0], len(shape))
    return found
