"""Faster R-CNN: finds every digit in a picture, then says which one each is.

Ren, He, Girshick and Sun 2015, "Faster R-CNN: Towards real-time object detection with region proposal networks"
(arXiv:1506.01497); RoIAlign from He et al. 2017, "Mask R-CNN" (arXiv:1703.06870). The two stages, the losses and the
matching of boxes to digits are torchvision's own `FasterRCNN`; the backbone is a small one of ours.

A picture passes two stages:

1. Region proposals: a backbone turns the picture into a map of features, one vector for every 4 x 4 pixels. At each
   place of the map lie nine anchors, boxes of three sizes and three shapes. The region proposal network (RPN) says of
   each how much it looks like *some* digit, and how to shift and stretch it to fit.
2. Recognition: RoIAlign cuts the features under each proposal out of the map, as a grid of 7 x 7 whatever the size of
   the box. The box head says which digit it is, or none ("background"), and refines the box once more.

Of boxes that overlap, non-maximum suppression keeps the surest.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image, nms

from atelier.data.scenes import SHORT_SIDE
from atelier.models.sizes import check_number, check_numbers

LONG_SIDE = 4 * SHORT_SIDE  # pixels: scenes are scaled to SHORT_SIDE, unless they are longer then
STRIDE = 4  # pixels from one place of the map to the next
ENLARGED = 72  # pixels: a single digit of 28 x 28 is enlarged, so that its ink is as large as most digits in scenes
ROI = 7  # height and width of the grid that RoIAlign cuts out
OVERLAP = 0.3  # intersection over union from which two boxes hold the same digit: neighbours in scenes stay below


@dataclass(frozen=True)
class FasterRCNNConfig:
    channels: int = 64  # features at each place of the map
    hidden: int = 128  # width of the box head
    anchor_sizes: tuple[float, ...] = (20.0, 36.0, 60.0)  # pixels, square roots of the anchors' areas
    anchor_shapes: tuple[float, ...] = (1.2, 2.0, 4.0)  # height to width: a 1 is tall and thin

    def __post_init__(self) -> None:
        check_number("channels", self.channels, 4, 256)
        check_number("hidden", self.hidden, 1, 1024)
        check_numbers("anchor_sizes", self.anchor_sizes, fewest=1, most=5, low=4, high=400, whole=False)
        check_numbers("anchor_shapes", self.anchor_shapes, fewest=1, most=5, low=0.1, high=10, whole=False)


class FasterRCNN(nn.Module):
    """`uint8[N, 28, 28]`, or `float[N, 1, 28, 28]` in [0, 1], to `logits float[N, 10]`; `detect` finds boxes.

    Shapes in comments: N pictures, C channels, R proposals in a picture.
    """

    def __init__(self, config: FasterRCNNConfig = FasterRCNNConfig()):
        super().__init__()
        self.config = config
        self.detector = detection.FasterRCNN(
            Backbone(config.channels),
            min_size=SHORT_SIDE,
            max_size=LONG_SIDE,
            image_mean=[0.1],  # about those of scenes
            image_std=[0.3],
            size_divisible=STRIDE,
            rpn_anchor_generator=AnchorGenerator((config.anchor_sizes,), (config.anchor_shapes,)),
            rpn_batch_size_per_image=64,  # anchors a picture that the RPN's loss looks at
            rpn_pre_nms_top_n_train=400,
            rpn_post_nms_top_n_train=200,
            rpn_pre_nms_top_n_test=200,
            rpn_post_nms_top_n_test=60,
            box_roi_pool=MultiScaleRoIAlign(["0"], output_size=ROI, sampling_ratio=2),
            box_head=TwoMLPHead(config.channels * ROI**2, config.hidden),
            box_predictor=FastRCNNPredictor(config.hidden, num_classes=1 + 10),  # background first, then ten digits
            box_batch_size_per_image=8,  # proposals a picture that the box head's loss looks at
            box_positive_fraction=0.9,  # most of them on digits: telling these apart is harder than telling background
            box_nms_thresh=OVERLAP,
        )

    def forward(self, digits: Tensor) -> Tensor:
        """The box head's scores for the proposal that looks most like a digit, background left out.

        Taken before any threshold and before non-maximum suppression: the detector answers for every picture.
        """
        if digits.dtype == torch.uint8:
            digits = digits.unsqueeze(1).float() / 255  # (N, 1, 28, 28) in [0, 1]
        pictures = F.interpolate(digits, size=(ENLARGED, ENLARGED), mode="bilinear")
        logits = []
        for _, class_logits, _ in self.look(pictures):
            if len(class_logits) == 0:  # only if the weights are no numbers any more
                logits.append(class_logits.new_full((10,), float("nan")))
                continue
            best = class_logits.softmax(dim=1)[:, 0].argmin()  # least background
            logits.append(class_logits[best, 1:])
        return torch.stack(logits)

    def look(self, pictures: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Both stages, and no decision yet.

        Args:
            pictures: `float[N, 1, H, W]` in [0, 1].

        Returns:
            for each picture its proposals `float[R, 4]` (left, top, right, bottom in pixels), their class logits
            `float[R, 11]`, background first, and the refined boxes `float[R, 11, 4]`, one for each class.
        """
        roi_heads, size = self.detector.roi_heads, (pictures.shape[2], pictures.shape[3])
        normalised = self.detector.transform.normalize(pictures)
        # torchvision takes picture size // map size for the anchors' stride, hence whole strides, as in its transform.
        padded = F.pad(normalised, (0, -size[1] % STRIDE, 0, -size[0] % STRIDE))
        images = ImageList(padded, [size] * len(pictures))
        features = {"0": self.detector.backbone(images.tensors)}  # (N, C, H / 4, W / 4)
        proposals, _ = self.detector.rpn(images, features)
        regions = roi_heads.box_roi_pool(features, proposals, images.image_sizes)  # (sum of R, C, 7, 7)
        class_logits, deltas = roi_heads.box_predictor(roi_heads.box_head(regions))
        boxes = roi_heads.box_coder.decode(deltas, proposals).reshape(-1, class_logits.shape[1], 4)
        boxes = clip_boxes_to_image(boxes, size)
        counts = [len(part) for part in proposals]
        return list(zip(proposals, class_logits.split(counts), boxes.split(counts), strict=True))

    def detect(self, picture: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        """The digits in a picture.

        Args:
            picture: `float[1, H, W]` in [0, 1], digits about 20 to 100 pixels high.
            threshold: the least probability of a box's digit.

        Returns:
            boxes `float[K, 4]` (left, top, right, bottom in pixels), and for each the probabilities of the ten digits
            `float[K, 10]`: their sum is below 1, the rest is "background". Surest first.
        """
        ((_, class_logits, boxes),) = self.look(picture.unsqueeze(0))
        probabilities = class_logits.softmax(dim=1)[:, 1:]  # (R, 10)
        scores, digits = probabilities.max(dim=1)
        boxes = boxes[torch.arange(len(boxes), device=boxes.device), 1 + digits]  # (R, 4): as refined for its digit
        likely = torch.nonzero(scores >= threshold).flatten()
        kept = likely[nms(boxes[likely], scores[likely], OVERLAP)]  # one box a digit, whatever it is taken for
        return boxes[kept], probabilities[kept]

    def losses(self, pictures: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The four losses of training: is it a digit and where (RPN), which digit and where (box head).

        Args:
            pictures: `float[1, H, W]` in [0, 1] each.
            targets: for each picture `boxes float[K, 4]` in pixels, and `labels int64[K]`, digits counted from 1.
        """
        return self.detector(pictures, targets)


class Backbone(nn.Sequential):
    """`float[N, 1, H, W]` to features `float[N, channels, H / 4, W / 4]`.

    Dilated filters (holes between their 3 x 3 weights; Yu and Koltun 2015, arXiv:1511.07122) let every place see a
    whole digit without making the map coarser.
    """

    def __init__(self, channels: int):
        super().__init__(
            ConvLayer(1, channels // 2, kernel_size=5, stride=2),  # (N, C / 2, H / 2, W / 2)
            ConvLayer(channels // 2, channels, stride=2),  # (N, C, H / 4, W / 4), as all that follow
            ConvLayer(channels, channels),
            ConvLayer(channels, channels, dilation=2),
            ConvLayer(channels, channels, dilation=4),
            ConvLayer(channels, channels, dilation=8),
            ConvLayer(channels, channels),
        )
        self.out_channels = channels  # torchvision asks for it


class ConvLayer(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel_size: int = 3, stride: int = 1, dilation: int = 1):
        padding = dilation * (kernel_size // 2)
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel_size, stride, padding, dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )
