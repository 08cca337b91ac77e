"""Attribution of a class to pixels or to a layer's feature maps: four methods, all computed by Captum (captum.ai).

- Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) weights each feature map by the mean gradient of the class's logit.
  For families with convolutions.
- HiResCAM (Draelos and Carin 2020, arXiv:2011.08891) weights each place of a feature map by its own gradient.
- Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv:1703.01365) sum the gradients of the class's logit on
  the way from a black image to the digit. For every network.
- Occlusion (Zeiler and Fergus 2014, arXiv:1311.2901) measures how much probability each class loses while a black
  square covers a part of the digit. For every network.

    import atelier
    from atelier.explain import gradcam

    cnn = atelier.load("cnn")
    layer = gradcam.default_layer(cnn)
    gradcam.upsample(gradcam.grad_cam(cnn, digit, target=4, layer=layer), layer)
"""

from weakref import WeakKeyDictionary

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, LayerGradientXActivation, Occlusion
from torch import Tensor

from atelier.classifier import Classifier
from atelier.data.mnist import CLASSES, SIDE
from atelier.explain.convolutions import Layer, layers
from atelier.explain.hooks import as_input, hookable_copy

__all__ = [
    "choose_layer",
    "default_layer",
    "grad_cam",
    "hires_cam",
    "integrated_gradients",
    "layers",
    "logit_gain",
    "occlusion",
    "upsample",
]

SMALLEST = 7  # rows and columns: a coarser map does not show where on the digit the support is
BATCH = 64  # occluded images


def default_layer(classifier: Classifier) -> Layer:
    """The deepest layer whose maps have at least 7 × 7 places, kept per classifier.

    Raises:
        TypeError: for a network without convolutional layers.
    """
    if classifier not in _default_layers:
        _default_layers[classifier] = choose_layer(layers(classifier))
    return _default_layers[classifier]


_default_layers: WeakKeyDictionary[Classifier, Layer] = WeakKeyDictionary()  # `layers` runs the network


def choose_layer(layers: list[Layer]) -> Layer:
    """The deepest of some layers whose maps have at least 7 × 7 places; every network that can be built has one."""
    return [layer for layer in layers if min(layer.convolution.shape[1:]) >= SMALLEST][-1]


def grad_cam(classifier: Classifier, digit: np.ndarray, target: int, layer: Layer) -> np.ndarray:
    """Compute Grad-CAM of a layer: the weighted sum of its maps, without negative values.

    Args:
        digit: `uint8[28, 28]`.
        target: the class, 0 to 9.
        layer: one of `layers(classifier)`.

    Returns:
        `float32[h, w]`, the size of the layer's maps; all 0 where nothing supports the class.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    network = hookable_copy(classifier.network)
    captum = LayerGradCam(network, network.get_submodule(layer.convolution.name))
    return _array(captum.attribute(as_input(classifier, digit), target=target, relu_attributions=True))


def hires_cam(classifier: Classifier, digit: np.ndarray, target: int, layer: Layer) -> np.ndarray:
    """Compute HiResCAM of a layer. Arguments and result as for `grad_cam`.

    The CNN's Grad-CAM is often blank in its default layer, because a map means different things at different places.
    HiResCAM is rarely blank.
    """
    network = hookable_copy(classifier.network)
    captum = LayerGradientXActivation(network, network.get_submodule(layer.convolution.name))
    products = captum.attribute(as_input(classifier, digit), target=target)  # (1, channels, h, w)
    return _array(products.sum(dim=1, keepdim=True).relu())


def upsample(heat: np.ndarray, layer: Layer) -> np.ndarray:
    """Upsample a layer's heat map to the digit, bilinearly: `float32[h, w]` to `float32[28, 28]`.

    Each value lies at the centre of its receptive field. Plain resizing misses it by up to two pixels.
    """
    step = layer.convolution
    pixels = (np.arange(SIDE) + 0.5 - step.start) / step.stride  # their centres, in rows or columns of the map
    down, right = (
        np.stack([np.interp(pixels, np.arange(count), one) for one in np.eye(count)], axis=1) for count in heat.shape
    )
    return (down @ heat @ right.T).astype(np.float32)


def integrated_gradients(classifier: Classifier, digit: np.ndarray, target: int) -> np.ndarray:
    """Compute the contribution of each pixel to a class's logit: `float32[28, 28]`.

    The contributions add up to `logit_gain`, except for the error of an integral with few steps. For most digits it is
    1% (CNN, AlexNet, ViT), 33% (VGG16: more steps reduce it, but do not change the picture) or 20% (Faster R-CNN: its
    choice of a box is not smooth).

    Args:
        digit: `uint8[28, 28]`.
        target: the class, 0 to 9.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    network = hookable_copy(classifier.network)
    # Most of the change happens close to black: for the ViT, which normalises contrast, nearly all in the first
    # hundredth of the path. Powers of equal steps follow the same path, but sample it more densely there.
    power, steps = classifier.spec.gradient_steps
    captum = IntegratedGradients(lambda roots: network(roots**power))
    return _array(captum.attribute(as_input(classifier, digit) ** (1 / power), target=target, n_steps=steps))


def logit_gain(classifier: Classifier, digit: np.ndarray, target: int) -> float:
    """A class's logit for a digit `uint8[28, 28]` minus its logit for a black image."""
    image = as_input(classifier, digit)
    with torch.inference_mode():
        black, inked = classifier.network(torch.cat([torch.zeros_like(image), image]))[:, target].tolist()
    return inked - black


def occlusion(classifier: Classifier, digit: np.ndarray, window: int = 6, stride: int = 4) -> np.ndarray:
    """Compute the probability that each class loses while a black square covers a pixel.

    Args:
        digit: `uint8[28, 28]`.
        window: height and width of the square, in pixels.
        stride: pixels from one square to the next, at most `window`, so that squares cover all pixels.

    Returns:
        `float32[10, 28, 28]`, -1 to 1, the mean over all squares that cover a pixel.

    Raises:
        ValueError: for a digit of another shape or type, or for squares that do not cover all pixels.
    """
    if not 1 <= stride <= window <= SIDE:
        raise ValueError(f"A window of {window} pixels and a stride of {stride} do not cover the digit.")

    def probabilities(images: Tensor) -> Tensor:
        # Half of the squares cover only black, and the ten classes share their images: compute each image once.
        distinct, index = images.unique(dim=0, return_inverse=True)
        return classifier.network(distinct).softmax(dim=1)[index]

    lost = Occlusion(probabilities).attribute(
        as_input(classifier, digit).repeat(CLASSES, 1, 1, 1),  # once for each class
        sliding_window_shapes=(1, window, window),
        strides=(1, stride, stride),
        target=torch.arange(CLASSES, device=classifier.device),
        perturbations_per_eval=BATCH,
    )
    return lost[:, 0].float().cpu().numpy()


def _array(attributions: Tensor) -> np.ndarray:
    """`[1, 1, h, w]` to `float32[h, w]`."""
    return attributions[0, 0].detach().float().cpu().numpy()
