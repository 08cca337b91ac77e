"""Faster R-CNN: finds every digit in a picture, then classifies each.

Ren, He, Girshick and Sun 2015, "Faster R-CNN: Towards real-time object detection with region proposal networks"
(arXiv:1506.01497); RoIAlign from He et al. 2017, "Mask R-CNN" (arXiv:1703.06870). The layers, the losses and the
matching of boxes to digits are torchvision's `FasterRCNN`; the backbone is a small one of this project.

Two stages:

1. Region proposals: a backbone turns the picture into a feature map, with one vector for every 4 x 4 pixels. At each
   place of the map lie nine anchors: boxes of three sizes and three shapes. For each, the region proposal network
   (RPN) predicts how much it looks like *some* digit (objectness), and how to shift and stretch it to fit.
2. Recognition: RoIAlign cuts the features under each proposal out of the map, always as a grid of 7 x 7. The box head
   predicts which digit it is, or none ("background"), and refines the box again.

After each stage, non-maximum suppression keeps the best of the boxes that overlap.

Shapes in comments: N pictures, C channels. In each picture: A anchors at each place of the map, P anchors in all,
B candidates, R proposals. Boxes are (left, top, right, bottom) in pixels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign, RoIAlign, clip_boxes_to_image, nms

from atelier.data.scenes import LONG_SIDE, SHORT_SIDE
from atelier.models.inputs import to_unit_range
from atelier.models.sizes import Config, number, numbers

STRIDE = 4  # pixels from one place of the map to the next
ENLARGED = 72  # pixels: a single digit of 28 x 28 is enlarged until its ink is as large as most digits in scenes
CANDIDATES, PROPOSALS = 200, 60  # per picture: the most anchors before, and proposals after non-maximum suppression
PROPOSAL_OVERLAP = 0.7  # intersection over union above which the better of two candidates is kept
OVERLAP = 0.3  # the same for the final boxes; neighbouring digits in scenes overlap less
SMALLEST = 1e-3  # pixels: smaller candidates are dropped
ROI = 7  # height and width of the grid that RoIAlign cuts out


@dataclass(frozen=True)
class FasterRCNNConfig(Config):
    channels: int = number(64, 4, 256)  # features at each place of the map
    hidden: int = number(128, 1, 1024)  # width of the box head
    anchor_sizes: tuple[float, ...] = numbers((20.0, 36.0, 60.0), 4, 400)  # pixels, square roots of the anchors' areas
    anchor_shapes: tuple[float, ...] = numbers((1.2, 2.0, 4.0), 0.1, 10)  # height to width: a 1 is tall and thin


class Stages(NamedTuple):
    """Everything that the two stages compute. Rows are padded where a picture has fewer than R proposals."""

    features: Tensor  # float[N, C, H / 4, W / 4]
    anchors: Tensor  # float[P, 4], row by row, the same for each picture
    objectness: Tensor  # float[N, P], logits
    shifted: Tensor  # float[N, P, 4], the anchors after the first stage's correction
    best: Tensor  # int64[N, B], the anchors of highest objectness, highest first
    candidates: Tensor  # float[N, B, 4], their shifted boxes, clipped to the picture
    kept: Tensor  # int64[N, R], the candidates that non-maximum suppression keeps
    proposals: Tensor  # float[N, R, 4], these candidates
    proposed: Tensor  # bool[N, R], False for padding
    regions: Tensor  # float[N, R, C, 7, 7], the features under each proposal
    class_logits: Tensor  # float[N, R, 11], background first
    refined: Tensor  # float[N, R, 11, 4], the proposals after the second stage's correction, for each class


class ConvLayer(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel_size: int = 3, stride: int = 1, dilation: int = 1):
        padding = dilation * (kernel_size // 2)
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel_size, stride, padding, dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Backbone(nn.Sequential):
    """`float[N, 1, H, W]` to features `float[N, channels, H / 4, W / 4]`.

    Dilated filters (holes between their 3 x 3 weights; Yu and Koltun 2015, arXiv:1511.07122) let every place see a
    whole digit without a coarser map.
    """

    def __init__(self, channels: int):
        super().__init__(
            ConvLayer(1, channels // 2, kernel_size=5, stride=2),  # (N, C / 2, H / 2, W / 2)
            ConvLayer(channels // 2, channels, stride=2),  # (N, C, H / 4, W / 4), like all that follow
            ConvLayer(channels, channels),
            ConvLayer(channels, channels, dilation=2),
            ConvLayer(channels, channels, dilation=4),
            ConvLayer(channels, channels, dilation=8),
            ConvLayer(channels, channels),
        )
        self.out_channels = channels  # torchvision reads it


class AnchorGrid(nn.Module):
    """The anchors at every place of a feature map, row by row: `float[N, C, H, W]` to boxes `float[P, 4]`."""

    def __init__(self, generator: AnchorGenerator):
        super().__init__()
        (self.cell,) = generator.cell_anchors  # float[A, 4], around (0, 0)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        y, x = torch.meshgrid(torch.arange(height) * STRIDE, torch.arange(width) * STRIDE, indexing="ij")
        places = torch.stack([x, y, x, y], dim=2).view(-1, 1, 4)  # (H * W, 1, 4)
        return (places + self.cell).view(-1, 4).to(features)  # (P, 4)


class Propose(nn.Module):
    """Select proposals among the shifted anchors: those of highest objectness that do not overlap."""

    def forward(
        self, objectness: Tensor, shifted: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """`objectness float[N, P]`, `shifted float[N, P, 4]`, the pictures' height and width.

        Returns:
            proposals, proposed, best, candidates and kept, see Stages.
        """
        best = objectness.topk(min(CANDIDATES, objectness.shape[1])).indices  # (N, B)
        candidates = select(shifted, best)
        candidates = clip_boxes_to_image(candidates.flatten(0, 1), size).view_as(candidates)  # (N, B, 4)
        large = (candidates[:, :, 2:] - candidates[:, :, :2] >= SMALLEST).all(dim=2)  # (N, B)
        kept, proposed = self.suppress(candidates, large, PROPOSAL_OVERLAP, PROPOSALS)  # (N, R)
        proposals = select(candidates, kept).where(proposed.unsqueeze(2), 0.0)  # (N, R, 4)
        return proposals, proposed, best, candidates, kept

    @staticmethod
    def suppress(boxes: Tensor, eligible: Tensor, overlap: float, most: int) -> tuple[Tensor, Tensor]:
        """Non-maximum suppression in each of N pictures: keep the first box, drop those that overlap it, and so on.

        An exported graph replaces this function, see `atelier.export`.

        Args:
            boxes: `float[N, B, 4]`, best first.
            eligible: `bool[N, B]`, the boxes that may be kept.
            overlap: intersection over union above which two boxes count as the same.
            most: how many boxes of a picture are kept at most.

        Returns:
            indices of the kept boxes, `int64[N, R]`, and `bool[N, R]`, False where a picture has fewer than R.
        """
        rank = torch.arange(boxes.shape[1], 0, -1, dtype=boxes.dtype, device=boxes.device)  # in place of scores
        kept = []
        for picture, allowed in zip(boxes, eligible, strict=True):
            (indices,) = torch.nonzero(allowed, as_tuple=True)
            kept.append(indices[nms(picture[indices], rank[indices], overlap)[:most]])
        longest = max([1, *map(len, kept)])
        padded = torch.stack([F.pad(indices, (0, longest - len(indices)), value=-1) for indices in kept])
        return padded.clamp(min=0), padded >= 0


class FasterRCNN(nn.Module):
    """`uint8[N, 28, 28]`, or `float[N, 1, 28, 28]` in [0, 1], to `logits float[N, 10]`; `detect` finds boxes."""

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
            rpn_batch_size_per_image=64,  # anchors per picture in the RPN's loss
            rpn_pre_nms_top_n_train=400,
            rpn_post_nms_top_n_train=200,
            rpn_pre_nms_top_n_test=CANDIDATES,
            rpn_post_nms_top_n_test=PROPOSALS,
            rpn_nms_thresh=PROPOSAL_OVERLAP,
            box_roi_pool=MultiScaleRoIAlign(["0"], output_size=ROI, sampling_ratio=2),
            box_head=TwoMLPHead(config.channels * ROI**2, config.hidden),
            box_predictor=FastRCNNPredictor(config.hidden, num_classes=1 + 10),  # background first, then ten digits
            box_batch_size_per_image=8,  # proposals per picture in the box head's loss
            box_positive_fraction=0.9,  # most of them on digits: to separate digits is harder than to find them
            box_nms_thresh=OVERLAP,
        )
        # torchvision's own steps for these differ between pictures in the number of boxes; ours work on whole batches.
        self.anchors = AnchorGrid(self.detector.rpn.anchor_generator)
        self.propose = Propose()
        self.roi_align = RoIAlign(ROI, 1 / STRIDE, sampling_ratio=2)

    def forward(self, digits: Tensor) -> Tensor:
        """The box head's digit logits of the proposal that looks least like background.

        They come before any threshold and before the final suppression, so every digit gets an answer. A picture
        without proposals has logits of NaN; that happens only if weights are not finite.
        """
        stages = self.forward_stages(self.enlarge(digits))
        best = self.answering_proposal(stages).unsqueeze(1)  # (N, 1)
        logits = select(stages.class_logits, best)[:, 0, 1:]  # (N, 10)
        return logits.where(stages.proposed.any(dim=1, keepdim=True), torch.nan)

    def enlarge(self, digits: Tensor) -> Tensor:
        """Single digits, as `forward` takes them, to pictures `float[N, 1, 72, 72]` in [0, 1]."""
        return F.interpolate(to_unit_range(digits), size=(ENLARGED, ENLARGED), mode="bilinear")

    def answering_proposal(self, stages: Stages) -> Tensor:
        """The proposal of each picture that looks least like background, `int64[N]`."""
        background = stages.class_logits.softmax(dim=2)[:, :, 0]  # (N, R)
        return background.where(stages.proposed, 2.0).argmin(dim=1)

    def forward_stages(self, pictures: Tensor) -> Stages:
        """Compute both stages for pictures `float[N, 1, H, W]` in [0, 1]."""
        rpn, roi_heads = self.detector.rpn, self.detector.roi_heads
        count, (height, width) = len(pictures), pictures.shape[2:]
        normalised = self.detector.transform.normalize(pictures)
        padded = F.pad(normalised, (0, -width % STRIDE, 0, -height % STRIDE))  # to a multiple of the stride
        features = self.detector.backbone(padded)  # (N, C, H / 4, W / 4)

        # First stage: how much does each anchor look like some digit, and which box fits better?
        (objectness,), (deltas,) = rpn.head([features])  # (N, A, H / 4, W / 4), (N, A * 4, H / 4, W / 4)
        objectness = objectness.permute(0, 2, 3, 1).flatten(1)  # (N, P)
        deltas = deltas.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).reshape(-1, 4)  # (N * P, 4)
        anchors = self.anchors(features)  # (P, 4)
        shifted = rpn.box_coder.decode_single(deltas, anchors.repeat(count, 1)).view(count, -1, 4)  # (N, P, 4)
        proposals, proposed, best, candidates, kept = self.propose(objectness, shifted, (height, width))

        # Second stage: which digit is in each proposal, and which box fits still better?
        picture = torch.arange(count, device=features.device).view(-1, 1, 1).expand(*proposed.shape, 1)  # (N, R, 1)
        rois = torch.cat([picture.to(features), proposals], dim=2).flatten(0, 1)  # (N * R, 5)
        regions = self.roi_align(features, rois)  # (N * R, C, 7, 7)
        class_logits, deltas = roi_heads.box_predictor(roi_heads.box_head(regions))  # (N * R, 11), (N * R, 11 * 4)
        refined = roi_heads.box_coder.decode_single(deltas, rois[:, 1:])  # (N * R, 11, 4)
        refined = clip_boxes_to_image(refined, (height, width))
        return Stages(
            features,
            anchors,
            objectness,
            shifted,
            best,
            candidates,
            kept,
            proposals,
            proposed,
            regions=regions.unflatten(0, (count, -1)),
            class_logits=class_logits.unflatten(0, (count, -1)),
            refined=refined.view(count, -1, 11, 4),
        )

    def detect(self, picture: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        """Find the digits in a picture.

        Args:
            picture: `float[1, H, W]` in [0, 1], digits about 20 to 100 pixels high.
            threshold: the least probability of a box's digit.

        Returns:
            boxes `float[K, 4]`, and the probabilities of the ten digits for each, `float[K, 10]`: what a row lacks to
            1 is "background". Highest probability first.
        """
        stages = self.forward_stages(picture.unsqueeze(0))
        probabilities = stages.class_logits[0].softmax(dim=1)[:, 1:]  # (R, 10)
        scores, digits = probabilities.max(dim=1)
        boxes = select(stages.refined[0], 1 + digits.unsqueeze(1))[:, 0]  # (R, 4), refined for this digit
        eligible = stages.proposed[0] & (scores >= threshold)
        order = scores.where(eligible, 0.0).topk(len(scores)).indices  # highest first
        kept, found = self.propose.suppress(boxes[order][None], eligible[order][None], OVERLAP, PROPOSALS)
        order = order[kept[0][found[0]]]  # one box for each digit, whatever its class
        return boxes[order], probabilities[order]

    def losses(self, pictures: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The four losses: objectness and box (RPN), class and box (box head).

        Args:
            pictures: `float[1, H, W]` in [0, 1] each.
            targets: for each picture `boxes float[K, 4]` in pixels, and `labels int64[K]`, digits counted from 1.
        """
        return self.detector(pictures, targets)


def select(rows: Tensor, indices: Tensor) -> Tensor:
    """In each picture the rows with these indices: `float[N, B, K]` and `int64[N, R]` to `float[N, R, K]`."""
    return rows.gather(1, indices.unsqueeze(2).expand(-1, -1, rows.shape[2]))
