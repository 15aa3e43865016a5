"""The table of recipes, and Slim's way of naming one by a network."""

from common import suggest
from preprocessing import cifarnet_preprocessing, inception_preprocessing, lenet_preprocessing, vgg_preprocessing
from preprocessing.core import Recipe

RECIPES: dict[str, Recipe] = {
    module.RECIPE.name: module.RECIPE
    for module in (cifarnet_preprocessing, inception_preprocessing, lenet_preprocessing, vgg_preprocessing)
}

# The network names that Slim's factory took. A network's own record names its recipe; these are for command lines
# that pass a network's name as --preprocessing_name. Slim lacked the second group.
_NETWORKS: dict[str, str] = {
    "inception": (
        "inception_v1 inception_v2 inception_v3 inception_v4 inception_resnet_v2 "
        "mobilenet_v1 mobilenet_v2 mobilenet_v2_035 mobilenet_v2_140 mobilenet_v3_small mobilenet_v3_large "
        "mobilenet_v3_small_minimalistic mobilenet_v3_large_minimalistic mobilenet_edgetpu mobilenet_edgetpu_075 "
        "nasnet_mobile nasnet_large pnasnet_mobile pnasnet_large "
        "mobilenet_v1_075 mobilenet_v1_050 mobilenet_v1_025"
    ),
    "vgg": (
        "vgg_a vgg_16 vgg_19 resnet_v1_50 resnet_v1_101 resnet_v1_152 resnet_v1_200 "
        "resnet_v2_50 resnet_v2_101 resnet_v2_152 resnet_v2_200 "
        "alexnet_v2 overfeat"
    ),
    "cifarnet": "nasnet_cifar",
}
_RECIPE_OF_NETWORK = {network: recipe for recipe, networks in _NETWORKS.items() for network in networks.split()}


def names() -> list[str]:
    """Returns the recipes' names, sorted."""
    return sorted(RECIPES)


def get(name: str) -> Recipe:
    """Returns the recipe called `name`, or the one of Slim's network of that name.

    Raises:
      ValueError: neither a recipe nor such a network; the message lists near matches.
    """
    recipe = RECIPES.get(_RECIPE_OF_NETWORK.get(name, name))
    if recipe is None:
        raise ValueError(suggest.unknown("preprocessing", name, [*RECIPES, *_RECIPE_OF_NETWORK]))
    return recipe
