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

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator, RegionProposalNetwork
from torchvision.ops import MultiScaleRoIAlign, RoIAlign, clip_boxes_to_image, nms

from atelier.data.scenes import LONG_SIDE, SHORT_SIDE
from atelier.models.inputs import to_unit_range
from atelier.models.sizes import check_number, check_numbers

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


class Stages(NamedTuple):
    """All that lies between N pictures and their boxes.

    In each picture: P anchors (A at each place of the map, row by row), B candidates, R proposals. Boxes are left, top,
    right, bottom in pixels.
    """

    features: Tensor  # float[N, C, H / 4, W / 4]
    anchors: Tensor  # float[P, 4]
    objectness: Tensor  # float[N, P], logits: how much each anchor looks like some digit
    proposals: Tensor  # float[N, R, 4]
    proposed: Tensor  # bool[N, R], False for padding: pictures of a batch differ in their number of proposals
    shifted: Tensor  # float[N, P, 4], the anchors, shifted and stretched to fit
    best: Tensor  # int64[N, B], the anchors of highest objectness, highest first
    candidates: Tensor  # float[N, B, 4], their shifted boxes, cut at the picture's border
    kept: Tensor  # int64[N, R], the candidates that non-maximum suppression keeps: they become the proposals
    regions: Tensor  # float[N, R, C, 7, 7], the features under each proposal
    class_logits: Tensor  # float[N, R, 11], background first
    refined: Tensor  # float[N, R, 11, 4], a box for each class


Suppress = Callable[[Tensor, Tensor, float, int], tuple[Tensor, Tensor]]


def suppress_overlaps(boxes: Tensor, candidates: Tensor, overlap: float, most: int) -> tuple[Tensor, Tensor]:
    """Non-maximum suppression in each of N pictures: keep the first box, drop those that overlap it, and so on.

    Args:
        boxes: `float[N, B, 4]`, in order of preference.
        candidates: `bool[N, B]`, the boxes that may be kept.
        overlap: intersection over union above which two boxes are the same.
        most: how many boxes of a picture are kept at most.

    Returns:
        indices of the kept boxes, `int64[N, R]`, and `bool[N, R]`, False where a picture has fewer than R.
    """
    rank = torch.arange(boxes.shape[1], 0, -1, dtype=boxes.dtype, device=boxes.device)  # stands for a score
    kept = []
    for picture, wanted in zip(boxes, candidates, strict=True):
        (indices,) = torch.nonzero(wanted, as_tuple=True)
        kept.append(indices[nms(picture[indices], rank[indices], overlap)[:most]])
    longest = max([1, *map(len, kept)])
    places = torch.stack([F.pad(indices, (0, longest - len(indices)), value=-1) for indices in kept])
    return places.clamp(min=0), places >= 0


class FasterRCNN(nn.Module):
    """`uint8[N, 28, 28]`, or `float[N, 1, 28, 28]` in [0, 1], to `logits float[N, 10]`; `detect` finds boxes.

    Shapes in comments: N pictures, C channels, R proposals in a picture; see Stages.
    """

    suppress: Suppress = staticmethod(suppress_overlaps)  # an exported graph needs another one

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
        self.anchors = AnchorGrid(self.detector.rpn.anchor_generator)
        self.propose = Propose()
        self.roi_align = RoIAlign(ROI, 1 / STRIDE, sampling_ratio=2)

    def forward(self, digits: Tensor) -> Tensor:
        """The box head's digit logits of the proposal that looks most like a digit.

        Taken before any threshold and before non-maximum suppression: the detector answers for every picture.
        """
        stages = self.forward_stages(self.enlarge(digits))
        answering = self.answering_proposal(stages).view(-1, 1, 1).expand(-1, 1, 11)
        logits = stages.class_logits.gather(1, answering)[:, 0, 1:]  # (N, 10)
        return logits.where(stages.proposed.any(dim=1, keepdim=True), torch.nan)  # no proposal: weights are not finite

    def enlarge(self, digits: Tensor) -> Tensor:
        """Single digits, as `forward` takes them, as pictures `float[N, 1, 72, 72]` in [0, 1]."""
        return F.interpolate(to_unit_range(digits), size=(ENLARGED, ENLARGED), mode="bilinear")

    def answering_proposal(self, stages: Stages) -> Tensor:
        """In each picture the proposal that looks least like background, `int64[N]`: a digit's logits are its own."""
        background = stages.class_logits.softmax(dim=2)[:, :, 0]
        return background.where(stages.proposed, 2.0).argmin(dim=1)

    def forward_stages(self, pictures: Tensor, suppress: Suppress | None = None) -> Stages:
        """Both stages with all they compute on the way, and no decision yet.

        Args:
            pictures: `float[N, 1, H, W]` in [0, 1].
            suppress: another implementation of non-maximum suppression, see `suppress_overlaps`.
        """
        rpn, roi_heads = self.detector.rpn, self.detector.roi_heads
        count, size = len(pictures), pictures.shape[2:]

        # First stage: how much does each anchor look like some digit, and which box would fit better?
        normalised = self.detector.transform.normalize(pictures)
        padded = F.pad(normalised, (0, -size[1] % STRIDE, 0, -size[0] % STRIDE))  # whole strides
        features = self.detector.backbone(padded)  # (N, C, H / 4, W / 4)
        (objectness,), (deltas,) = rpn.head([features])  # (N, A, H / 4, W / 4), (N, A * 4, H / 4, W / 4)
        objectness = objectness.permute(0, 2, 3, 1).flatten(1)  # (N, P)
        deltas = deltas.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)  # (N, P, 4)
        anchors = self.anchors(features)  # (P, 4)
        first = self.propose(objectness, deltas, anchors, size, rpn, suppress or self.suppress)

        # Second stage: which digit is in each proposal, and which box would fit better still?
        picture = torch.arange(count, device=features.device).view(-1, 1, 1).expand(*first.proposals.shape[:2], 1)
        rois = torch.cat([picture.to(features), first.proposals], dim=2).flatten(0, 1)  # (N * R, 5)
        regions = self.roi_align(features, rois)  # (N * R, C, 7, 7)
        class_logits, deltas = roi_heads.box_predictor(roi_heads.box_head(regions))  # (N * R, 11), (N * R, 11 * 4)
        refined = roi_heads.box_coder.decode_single(deltas, rois[:, 1:])
        return Stages(
            features=features,
            anchors=anchors,
            objectness=objectness,
            **first._asdict(),
            regions=regions.unflatten(0, (count, -1)),
            class_logits=class_logits.unflatten(0, (count, -1)),
            refined=clip_boxes_to_image(refined, size).view(count, -1, 11, 4),
        )

    def detect(self, picture: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        """The digits in a picture.

        Args:
            picture: `float[1, H, W]` in [0, 1], digits about 20 to 100 pixels high.
            threshold: the least probability of a box's digit.

        Returns:
            boxes `float[K, 4]` (left, top, right, bottom in pixels), and for each the probabilities of the ten digits
            `float[K, 10]`: their sum is below 1, the rest is "background". Highest probability first.
        """
        stages = self.forward_stages(picture.unsqueeze(0))
        probabilities = stages.class_logits[0].softmax(dim=1)[:, 1:]  # (R, 10)
        scores, digits = probabilities.max(dim=1)
        boxes = stages.refined[0, torch.arange(len(digits), device=digits.device), 1 + digits]  # (R, 4)
        likely = torch.nonzero(stages.proposed[0] & (scores >= threshold)).flatten()
        kept = likely[nms(boxes[likely], scores[likely], OVERLAP)]  # one box a digit, whatever its class
        return boxes[kept], probabilities[kept]

    def losses(self, pictures: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The four losses of training: is it a digit and where (RPN), which digit and where (box head).

        Args:
            pictures: `float[1, H, W]` in [0, 1] each.
            targets: for each picture `boxes float[K, 4]` in pixels, and `labels int64[K]`, digits counted from 1.
        """
        return self.detector(pictures, targets)


class AnchorGrid(nn.Module):
    """The anchors at every place of a map, row by row: features `float[N, C, H, W]` to boxes `float[P, 4]`."""

    def __init__(self, generator: AnchorGenerator):
        super().__init__()
        (self.cell,) = generator.cell_anchors  # float[A, 4], around (0, 0)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        y, x = torch.meshgrid(torch.arange(height) * STRIDE, torch.arange(width) * STRIDE, indexing="ij")
        places = torch.stack([x, y, x, y], dim=2).view(-1, 1, 4)  # (H * W, 1, 4)
        return (places + self.cell.cpu()).view(-1, 4).to(features)


class Proposals(NamedTuple):
    """What the first stage hands to the second; see Stages."""

    proposals: Tensor
    proposed: Tensor
    shifted: Tensor
    best: Tensor
    candidates: Tensor
    kept: Tensor


class Propose(nn.Module):
    """From anchors to proposals: shift them, take those of highest objectness, and suppress overlaps."""

    def forward(
        self,
        objectness: Tensor,
        deltas: Tensor,
        anchors: Tensor,
        size: tuple[int, int],
        rpn: RegionProposalNetwork,
        suppress: Suppress,
    ) -> Proposals:
        """Arguments as in Stages; `deltas float[N, P, 4]` say how to shift and stretch each anchor."""
        count = len(objectness)
        shifted = rpn.box_coder.decode_single(deltas.flatten(0, 1), anchors.repeat(count, 1)).view(count, -1, 4)
        best = objectness.topk(min(rpn.pre_nms_top_n(), objectness.shape[1])).indices  # (N, B)
        candidates = shifted.gather(1, best.unsqueeze(2).expand(-1, -1, 4)).flatten(0, 1)
        candidates = clip_boxes_to_image(candidates, size).unflatten(0, (count, -1))  # (N, B, 4)
        large = (candidates[:, :, 2:] - candidates[:, :, :2] >= rpn.min_size).all(dim=2)
        kept, proposed = suppress(candidates, large, rpn.nms_thresh, rpn.post_nms_top_n())  # (N, R)
        proposals = candidates.gather(1, kept.unsqueeze(2).expand(-1, -1, 4)).where(proposed.unsqueeze(2), 0.0)
        return Proposals(proposals, proposed, shifted, best, candidates, kept)


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
