"""Slim's seven optimizers with TensorFlow 1's update rules and slot names.

They differ from Keras's of the same names (RMSProp's accumulator starts at one with epsilon inside the root, Adam's
epsilon is the "epsilon hat" form, momentum keeps the rate outside its accumulator), and published recipes depend on the
difference. Each rule is one fused TensorFlow kernel. State is kept under the names that TensorFlow 1 gave it in
checkpoints: `VARIABLE/RMSProp`, `VARIABLE/Momentum`, `beta1_power`, ...
"""

import dataclasses
from collections.abc import Callable, Mapping

import tensorflow as tf

from training.config import TrainConfig

Slots = list[tf.Variable]
Apply = Callable[["Optimizer", tf.Variable, tf.Tensor, tf.Tensor, Slots], None]


@dataclasses.dataclass(frozen=True)
class _Rule:
    """An optimizer: its slots (name suffix -> initial value) and how it moves one variable."""

    apply: Apply
    slots: Callable[[TrainConfig], dict[str, float]] = lambda config: {}
    powers: Callable[[TrainConfig], dict[str, float]] = lambda config: {}  # scalars multiplied by themselves each step


def _sgd(opt, var, grad, rate, slots):
    tf.raw_ops.ResourceApplyGradientDescent(var=var.handle, alpha=rate, delta=grad)


def _momentum(opt, var, grad, rate, slots):
    tf.raw_ops.ResourceApplyMomentum(
        var=var.handle, accum=slots[0].handle, lr=rate, grad=grad, momentum=opt.config.momentum
    )


def _rmsprop(opt, var, grad, rate, slots):
    tf.raw_ops.ResourceApplyRMSProp(
        var=var.handle,
        ms=slots[0].handle,
        mom=slots[1].handle,
        lr=rate,
        rho=opt.config.rmsprop_decay,
        momentum=opt.config.rmsprop_momentum,
        epsilon=opt.config.opt_epsilon,
        grad=grad,
    )


def _adam(opt, var, grad, rate, slots):
    tf.raw_ops.ResourceApplyAdam(
        var=var.handle,
        m=slots[0].handle,
        v=slots[1].handle,
        beta1_power=opt.powers["beta1_power"],
        beta2_power=opt.powers["beta2_power"],
        lr=rate,
        beta1=opt.config.adam_beta1,
        beta2=opt.config.adam_beta2,
        epsilon=opt.config.opt_epsilon,
        grad=grad,
    )


def _adagrad(opt, var, grad, rate, slots):
    tf.raw_ops.ResourceApplyAdagrad(var=var.handle, accum=slots[0].handle, lr=rate, grad=grad)


def _adadelta(opt, var, grad, rate, slots):
    tf.raw_ops.ResourceApplyAdadelta(
        var=var.handle,
        accum=slots[0].handle,
        accum_update=slots[1].handle,
        lr=rate,
        rho=opt.config.adadelta_rho,
        epsilon=opt.config.opt_epsilon,
        grad=grad,
    )


def _ftrl(opt, var, grad, rate, slots):
    tf.raw_ops.ResourceApplyFtrl(
        var=var.handle,
        accum=slots[0].handle,
        linear=slots[1].handle,
        grad=grad,
        lr=rate,
        l1=opt.config.ftrl_l1,
        l2=opt.config.ftrl_l2,
        lr_power=opt.config.ftrl_learning_rate_power,
    )


_RULES = {
    "sgd": _Rule(_sgd),
    "momentum": _Rule(_momentum, lambda c: {"Momentum": 0.0}),
    "rmsprop": _Rule(_rmsprop, lambda c: {"RMSProp": 1.0, "RMSProp_1": 0.0}),
    "adam": _Rule(
        _adam,
        lambda c: {"Adam": 0.0, "Adam_1": 0.0},
        lambda c: {"beta1_power": c.adam_beta1, "beta2_power": c.adam_beta2},
    ),
    "adagrad": _Rule(_adagrad, lambda c: {"Adagrad": c.adagrad_initial_accumulator_value}),
    "adadelta": _Rule(_adadelta, lambda c: {"Adadelta": 0.0, "Adadelta_1": 0.0}),
    "ftrl": _Rule(_ftrl, lambda c: {"Ftrl": c.ftrl_initial_accumulator_value, "Ftrl_1": 0.0}),
}


class Optimizer(tf.Module):
    """One of Slim's optimizers over named variables.

    Args:
        config: its name (`config.optimizer`) and hyperparameters.
        variables: Slim name -> variable to train.
        rate_factors: name -> what the learning rate is multiplied by for it, where that is not 1. With 0 the variable
            and its slots stay as they are.
    """

    def __init__(
        self,
        config: TrainConfig,
        variables: Mapping[str, tf.Variable],
        rate_factors: Mapping[str, float] | None = None,
    ):
        super().__init__(name=None)
        rule = _RULES[config.optimizer]
        self.config = config
        self._apply = rule.apply
        self._variables = dict(variables)
        self._rate_factors = dict(rate_factors or {})
        self._slots = {
            name: [
                tf.Variable(tf.fill(variable.shape, initial), trainable=False, name=f"{name}/{suffix}")
                for suffix, initial in rule.slots(config).items()
            ]
            for name, variable in self._variables.items()
        }
        self._factors = rule.powers(config)
        self.powers = {name: tf.Variable(factor, trainable=False, name=name) for name, factor in self._factors.items()}

    @property
    def state(self) -> dict[str, tf.Variable]:
        """Name in the checkpoint -> variable, of all that the optimizer keeps."""
        named = {slot.name.partition(":")[0]: slot for slots in self._slots.values() for slot in slots}
        return named | self.powers

    def apply(self, gradients: Mapping[str, tf.Tensor | None], rate: tf.Tensor) -> None:
        """Moves each variable by its gradient at learning rate `rate`; None leaves a variable alone."""
        rates = {factor: rate * factor for factor in set(self._rate_factors.values())} | {1.0: rate}
        for name, gradient in gradients.items():
            factor = self._rate_factors.get(name, 1.0)
            if gradient is not None and factor:  # at a rate of zero FTRL would divide by it
                self._apply(self, self._variables[name], gradient, rates[factor], self._slots[name])
        for name, factor in self._factors.items():
            self.powers[name].assign(self.powers[name] * factor)
