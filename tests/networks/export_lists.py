"""Exports small detectors that give lists of boxes, scores and classes.

Made with torch 2.14.1 and torchvision 0.29.1:

    cd tests/networks && python export_lists.py

``torchvision_*`` are of the real library, with its own answers beside. mmdeploy and TensorFlow's
object detection do not install beside these: ``mmdet`` and ``tensorflow`` have their interfaces
(mmdeploy's detection_onnxruntime configurations; the object detection API's exporter with
tf2onnx), built by hand, and the ``.npz`` holds what their documentation makes of the outputs:
mmdeploy divides corners by the factor of each axis, TensorFlow's are shares in the order y, x.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torchvision
from export_detr import HERE, write
from pictures import squares_and_ramps
from torch import nn

SIZE = 96, 128


class Body(nn.Sequential):
    """A backbone of a few channels, stride 8."""

    def __init__(self, out_channels=8):
        steps = []
        for channels in (3, 4, 8):
            steps += [nn.Conv2d(channels, 8 if channels > 3 else 4, 3, 2, 1), nn.ReLU()]
        super().__init__(*steps)
        self.out_channels = out_channels


def torchvision_faster(masks=False):
    """Faster R-CNN, or Mask R-CNN, of torchvision."""
    from torchvision.models.detection import FasterRCNN, MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

    pool = torchvision.ops.MultiScaleRoIAlign(["0"], 3, 2)
    more = {}
    if masks:
        more = {
            "mask_roi_pool": torchvision.ops.MultiScaleRoIAlign(["0"], 4, 2),
            "mask_head": MaskRCNNHeads(8, (8,), 1),
            "mask_predictor": MaskRCNNPredictor(8, 4, 91),
        }
    model = (MaskRCNN if masks else FasterRCNN)(
        Body(), num_classes=None, min_size=SIZE[0], max_size=SIZE[1],
        rpn_anchor_generator=AnchorGenerator(((16, 32),), ((0.5, 1.0, 2.0),)),
        rpn_pre_nms_top_n_test=60, rpn_post_nms_top_n_test=30, box_roi_pool=pool,
        box_head=TwoMLPHead(8 * 9, 16), box_predictor=FastRCNNPredictor(16, 91),
        box_score_thresh=0.005, box_detections_per_img=40, **more,
    )  # fmt: skip
    for weight in model.parameters():
        if weight.ndim >= 2:
            nn.init.normal_(weight, std=1.7 / weight[0].numel() ** 0.5)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight *= 0.45
        model.roi_heads.box_predictor.cls_score.bias[0] = 1.0
    return model.eval()


class Lists(nn.Module):
    """Boxes of cells with their best class, the best first."""

    def __init__(self, classes, top=30):
        super().__init__()
        self.body, self.top, self.classes = Body(), top, classes
        self.head = nn.Conv2d(8, 4 + classes, 1)
        y, x = torch.meshgrid(torch.arange(12), torch.arange(16), indexing="ij")
        self.register_buffer("cells", torch.stack([x, y], dim=-1).reshape(1, -1, 2) * 8.0 + 4)
        for weight in self.parameters():
            if weight.ndim >= 2:
                nn.init.normal_(weight, std=1.7 / weight[0].numel() ** 0.5)
        with torch.no_grad():
            self.head.weight *= 0.1

    def lists(self, image):
        """Corners in pixels, scores and classes of the best cells."""
        found = self.head(self.body(image)).flatten(2).transpose(1, 2)
        half = torch.exp(found[..., 2:4].tanh()) * 12
        centre = self.cells + 4 * found[..., :2].tanh()
        corners = torch.cat([centre - half, centre + half], dim=-1)
        best, labels = (found[..., 4:].tanh() * 2.5 - 3).sigmoid().max(dim=-1)
        scores, index = best.topk(self.top, dim=1)
        labels = labels.gather(1, index)
        return corners.gather(1, index[..., None].repeat(1, 1, 4)), scores, labels


class MMDet(Lists):
    """``dets`` and ``labels`` as mmdeploy has them."""

    def forward(self, image):
        boxes, scores, labels = self.lists(image)
        return torch.cat([boxes, scores[..., None]], dim=-1), labels


class TensorFlow(Lists):
    """Lists as TensorFlow's object detection has them, of pixels as they are, channels last."""

    def forward(self, image):
        pixels = image.permute(0, 3, 1, 2).float() / 127.5 - 1
        boxes, scores, labels = self.lists(pixels)
        w, h = float(SIZE[1]), float(SIZE[0])
        shares = torch.stack([boxes[..., 1] / h, boxes[..., 0] / w, boxes[..., 3] / h,
                              boxes[..., 2] / w], dim=-1)  # fmt: skip
        count = torch.full_like(scores[:, 0], self.top)
        return count, shares, scores, labels.float() + 1


def mmdet_pixels(picture):
    """The picture as RTMDet's test pipeline shows it, and the factor of each axis."""
    h, w = picture.shape[:2]
    factor = min(SIZE[0] / h, SIZE[1] / w)
    new = int(w * factor + 0.5), int(h * factor + 0.5)
    small = cv2.resize(picture[..., ::-1], new, interpolation=cv2.INTER_LINEAR)
    full = np.full((*SIZE, 3), 114, np.uint8)
    full[: new[1], : new[0]] = small
    mean, std = np.array([103.53, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])
    pixels = ((full - mean) / std).astype(np.float32)
    return pixels.transpose(2, 0, 1)[None], np.array([new[0] / w, new[1] / h] * 2)


def keep(name, rows):
    """Writes what is expected of the pictures."""
    kept = {}
    for i, (picture, pixels, boxes, scores, labels) in enumerate(rows):
        kept |= {f"size_{i}": picture.shape[:2], f"pixels_{i}": pixels[:, ::8, ::8]}
        kept |= {f"boxes_{i}": boxes, f"scores_{i}": scores, f"labels_{i}": labels}
    np.savez_compressed(HERE / f"{name}.npz", **kept)


def main() -> None:
    """Writes all of them."""
    torch.manual_seed(7)
    example = torch.rand(3, *SIZE)
    with torch.no_grad():
        for name, masks in (("torchvision_faster", False), ("torchvision_mask", True)):
            model, rows = torchvision_faster(masks), []
            for picture in squares_and_ramps(SIZE, SIZE):
                pixels = torch.from_numpy(picture).permute(2, 0, 1) / 255
                (found,) = model([pixels])
                lists = (found[key].numpy() for key in ("boxes", "scores", "labels"))
                rows.append((picture, pixels.numpy(), *lists))
            keep(name, rows)
            outputs = ["boxes", "labels", "scores", *["masks"] * masks]
            write(
                name,
                model,
                ["image"],
                outputs,
                None,
                ([torch.from_numpy(squares_and_ramps(SIZE)[0]).permute(2, 0, 1) / 255],),
            )
        model, rows = MMDet(80).eval(), []
        for picture in squares_and_ramps(SIZE, (96, 64)):
            pixels, factor = mmdet_pixels(picture)
            dets, labels = (a[0].numpy() for a in model(torch.from_numpy(pixels)))
            rows.append((picture, pixels[0], dets[:, :4] / factor, dets[:, 4], labels))
        keep("mmdet", rows)
        free = {key: {0: "batch"} for key in ("input", "dets", "labels")}
        write("mmdet", model, ["input"], ["dets", "labels"], free, (example[None],))
        model, rows = TensorFlow(90).eval(), []
        for picture in squares_and_ramps(SIZE, SIZE):
            found = model(torch.from_numpy(picture)[None])
            _, boxes, scores, labels = (a[0].numpy() for a in found)
            corners = boxes[:, [1, 0, 3, 2]] * [SIZE[1], SIZE[0], SIZE[1], SIZE[0]]
            pixels = picture.transpose(2, 0, 1).astype(np.float32)
            rows.append((picture, pixels, corners, scores, labels.astype(int)))
        keep("tensorflow", rows)
        names = ["num_detections", "detection_boxes", "detection_scores", "detection_classes"]
        picture = torch.randint(0, 256, (1, *SIZE, 3), dtype=torch.uint8)
        write("tensorflow", model, ["input_tensor"], names, None, (picture,))


if __name__ == "__main__":
    main()
