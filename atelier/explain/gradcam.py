"""Which parts of a digit speak for a class: four answers, all computed by Captum (https://captum.ai).

- Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): where do the maps of a convolution hold what the class asks for?
  Coarse, for the CNN, VGG16 and AlexNet.
- HiResCAM (Draelos and Carin 2020, arXiv:2011.08891): the same, but each place of a map counts by itself.
- Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv:1703.01365): what has each pixel contributed to the
  class's logit, on the way from a black picture to the digit? For every network.
- Occlusion (Zeiler and Fergus 2014, arXiv:1311.2901): how much less probable is each class while a black square
  covers this part? For every network.

    import atelier
    from atelier.explain import gradcam

    cnn = atelier.load("cnn")
    layer = gradcam.default_layer(cnn)
    gradcam.enlarged(gradcam.grad_cam(cnn, digit, target=4, layer=layer), layer)
"""

from weakref import WeakKeyDictionary

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, LayerGradientXActivation, Occlusion
from torch import Tensor

from atelier.classifier import Classifier
from atelier.data.mnist import SIDE
from atelier.explain.convolutions import Layer, layers
from atelier.explain.hooks import as_input, hookable_copy

__all__ = [
    "default_layer",
    "enlarged",
    "grad_cam",
    "hires_cam",
    "integrated_gradients",
    "layers",
    "occlusion",
    "score_gained",
]

SMALLEST = 7  # rows and columns: a coarser map hides where on the digit it is warm
AT_ONCE = 64  # occluded pictures in a batch


def default_layer(classifier: Classifier) -> Layer:
    """The deepest layer whose maps have at least 7 × 7 places. Every network that can be built has one.

    Raises:
        TypeError: for the Vision Transformer and Faster R-CNN.
    """
    if classifier not in _default_layers:
        _default_layers[classifier] = deepest_fine(layers(classifier))
    return _default_layers[classifier]


_default_layers: WeakKeyDictionary[Classifier, Layer] = WeakKeyDictionary()  # they take a look at a picture to find


def deepest_fine(layers: list[Layer]) -> Layer:
    """Of some layers the deepest whose maps have at least 7 × 7 places."""
    return [layer for layer in layers if min(layer.convolution.shape[1:]) >= SMALLEST][-1]


def grad_cam(classifier: Classifier, digit: np.ndarray, target: int, layer: Layer) -> np.ndarray:
    """Where a convolution's maps speak for a class: their sum, each weighted by how much the class's logit would grow
    with it, and of that what is above zero.

    Args:
        digit: `uint8[28, 28]`.
        target: the class, 0 to 9.
        layer: one of `layers(classifier)`.

    Returns:
        `float32[h, w]`, the layer's own size; all 0 where nothing speaks for the class.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    network = hookable_copy(classifier.network)
    captum = LayerGradCam(network, network.get_submodule(layer.convolution.name))
    return _array(captum.attribute(as_input(classifier, digit), target=target, relu_attributions=True))


def hires_cam(classifier: Classifier, digit: np.ndarray, target: int, layer: Layer) -> np.ndarray:
    """As `grad_cam`, but each place is weighted by the logit's gradient at that place, not by the mean over the map.

    Far from the answer, where a map means one thing here and another there, the mean says little: the CNN's Grad-CAM
    is often blank in its default layer, this seldom.
    """
    network = hookable_copy(classifier.network)
    captum = LayerGradientXActivation(network, network.get_submodule(layer.convolution.name))
    products = captum.attribute(as_input(classifier, digit), target=target)  # (1, channels, h, w)
    return _array(products.sum(dim=1, keepdim=True).relu())


def enlarged(heat: np.ndarray, layer: Layer) -> np.ndarray:
    """A layer's heat on the digit: `float32[h, w]` to `float32[28, 28]`. Each number stands where its receptive field
    has its centre, which simple stretching misses by up to two pixels; between them it is bilinear."""
    step = layer.convolution
    pixels = (np.arange(SIDE) + 0.5 - step.start) / step.stride  # their centres, in rows or columns of the map
    down, right = (
        np.stack([np.interp(pixels, np.arange(count), one) for one in np.eye(count)], axis=1) for count in heat.shape
    )
    return (down @ heat @ right.T).astype(np.float32)


def integrated_gradients(classifier: Classifier, digit: np.ndarray, target: int) -> np.ndarray:
    """What each pixel contributes to a class's logit: `float32[28, 28]`. Together they make up the difference between
    the logits of the digit and of a black picture, but for the error of an integral in few steps: of most digits one
    hundredth (CNN, AlexNet, ViT), a third (VGG16, whose slope is uneven: with more steps the sum is closer, but the
    picture the same) or a fifth (Faster R-CNN, whose choice of a box is not smooth).

    Args:
        digit: `uint8[28, 28]`.
        target: the class, 0 to 9.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    network = hookable_copy(classifier.network)
    # Most happens soon after black, in the Vision Transformer, which gives every picture the same contrast, nearly all
    # in the first hundredth of the way to the digit. Powers of equal steps go the same way, but look there more often.
    power, steps = classifier.spec.gradient_steps
    captum = IntegratedGradients(lambda roots: network(roots**power))
    return _array(captum.attribute(as_input(classifier, digit) ** (1 / power), target=target, n_steps=steps))


def score_gained(classifier: Classifier, digit: np.ndarray, target: int) -> float:
    """By how much a class's logit is higher for a digit `uint8[28, 28]` than for a black picture: what integrated
    gradients share out among the pixels."""
    picture = as_input(classifier, digit)
    with torch.inference_mode():
        black, drawn = classifier.network(torch.cat([torch.zeros_like(picture), picture]))[:, target].tolist()
    return drawn - black


def occlusion(classifier: Classifier, digit: np.ndarray, window: int = 6, stride: int = 4) -> np.ndarray:
    """How much of each class's probability is lost while a black square covers a pixel: `float32[10, 28, 28]`, -1 to 1,
    the mean over all squares that cover it.

    Args:
        digit: `uint8[28, 28]`.
        window: height and width of the square, in pixels.
        stride: pixels from one square to the next; at most `window`, so that no pixel is left out.

    Raises:
        ValueError: for a digit of another shape or type, or a window that leaves pixels out.
    """
    if not 1 <= stride <= window <= SIDE:
        raise ValueError(f"A window of {window} pixels and a stride of {stride} do not cover the digit.")

    def probabilities(pictures: Tensor) -> Tensor:
        # A square on black changes nothing, which is so for half of them, and the ten classes share their pictures.
        distinct, which = pictures.unique(dim=0, return_inverse=True)
        return classifier.network(distinct).softmax(dim=1)[which]

    lost = Occlusion(probabilities).attribute(
        as_input(classifier, digit).repeat(10, 1, 1, 1),  # once for each class
        sliding_window_shapes=(1, window, window),
        strides=(1, stride, stride),
        target=torch.arange(10, device=classifier.device),
        perturbations_per_eval=AT_ONCE,
    )
    return lost[:, 0].float().cpu().numpy()


def _array(attributions: Tensor) -> np.ndarray:
    """`[1, 1, h, w]` to `float32[h, w]`."""
    return attributions[0, 0].detach().float().cpu().numpy()
