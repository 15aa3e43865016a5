"""Moving averages in a checkpoint, under Slim's names. Pure Python."""

from collections.abc import Container, Iterable

from common.errors import UserError

SUFFIX = "/ExponentialMovingAverage"


def sources(names: Iterable[str], found: Container[str]) -> dict[str, str]:
    """Returns for each variable that has an average in the checkpoint the average's name.

    Args:
        names: variables of the network.
        found: all names in the checkpoint.

    Returns:
        name -> `NAME/ExponentialMovingAverage`; empty where the checkpoint has no averages.
    """
    return {name: name + SUFFIX for name in names if name + SUFFIX in found}


def required_sources(
    names: Iterable[str], found: Container[str], source: str, flag: str = "--moving_average_decay"
) -> dict[str, str]:
    """As `sources`, for a user who asked for averages by `flag`.

    Raises:
        UserError: the checkpoint `source` has none.
    """
    shadows = sources(names, found)
    if not shadows:
        raise UserError(f"{flag} asks for moving averages, and {source} holds none (VARIABLE{SUFFIX}); leave it out")
    return shadows
