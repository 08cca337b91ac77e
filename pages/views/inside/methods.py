"""The methods of attribution: which parts of a digit support a class."""

from typing import NamedTuple


class Method(NamedTuple):
    """What the page says about a method."""

    label: str
    reading: str  # how to read its colours
    help: str  # how it works
    unit: str = "support"  # of its numbers
    signed: bool = False  # whether it also marks what opposes the class
    per_layer: bool = False  # whether it reads the feature maps of one layer


METHODS = {
    "grad_cam": Method(
        "Grad-CAM",
        "Colour shows where this layer's feature maps support the class.",
        "**Grad-CAM** gives each feature map one weight: the mean gradient of the class's score.",
        per_layer=True,
    ),
    "hires_cam": Method(
        "HiResCAM",
        "Colour shows where this layer's feature maps support the class.",
        "**HiResCAM** marks the pixels that made this answer more likely.",
        per_layer=True,
    ),
    "integrated_gradients": Method(
        "Integrated gradients",
        "Orange pixels raise the score of the class. Blue pixels lower it.",
        "**Integrated gradients** add up each pixel's effect on the score, from a black image to the digit.",
        unit="added to the score (logit)",
        signed=True,
    ),
    "occlusion": Method(
        "Occlusion",
        "Orange: without this part, the class is less probable. Blue: it is more probable.",
        "**Occlusion** covers one part after another with a black square.",
        unit="probability lost",
        signed=True,
    ),
    "gradient_rollout": Method(
        "Gradient rollout",
        "Colour shows which patches support the class.",
        "**Gradient rollout** traces the attention that supports the answer back to the patches.",
    ),
    "proposals": Method(
        "Proposals",
        "Colour shows where boxes look like the class.",
        "**Proposals** are boxes that may hold a digit. The white frame is the final box.",
    ),
}
