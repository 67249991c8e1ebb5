"""What libraries find with the instance networks of this folder, and small Mask R-CNN and DeepLab.

Made with ultralytics 8.4.190, rfdetr 1.11.2, torchvision 0.29.1 and torch 2.14.1, from networks of
``export_ultralytics.py`` and ``export_detr.py``:

    cd tests/networks && python export_masks.py

``NAME_masks.npz``: per picture of :mod:`pictures` ``boxes_I`` ``[n, 6]`` (corners, score, class)
and ``masks_I`` packed bits of ``[n, h, w]``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from pictures import drawn_pictures

HERE = Path(__file__).parent
CONF, IOU = 0.25, 0.6


def store(name: str, found: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes boxes and masks of each picture."""
    stored = {}
    for i, (boxes, masks) in enumerate(found):
        boxes, masks = boxes[:12], masks[:12].astype(bool)
        print(name, i, len(boxes), masks.mean() if len(masks) else 0)
        stored[f"boxes_{i}"], stored[f"masks_{i}"] = boxes, np.packbits(masks)
    np.savez_compressed(HERE / f"{name}_masks.npz", **stored)


def ultralytics_masks() -> None:
    """By ``predict`` with masks in pixels of the picture."""
    from ultralytics import YOLO

    for name in ("yolov8_seg", "yolov8_seg_nms", "yolo26_seg"):
        model, found = YOLO(HERE / f"{name}.onnx", task="segment"), []
        for picture in drawn_pictures():
            (result,) = model.predict(
                picture[..., ::-1],
                conf=CONF,
                iou=IOU,
                imgsz=160,
                classes=[0],
                verbose=False,
                retina_masks=True,
                device="cpu",
            )
            boxes = result.boxes.data.numpy()
            masks = result.masks.data.numpy() if result.masks is not None else np.zeros((0, 1, 1))
            found.append((boxes, masks))
        store(name, found)


def mask_rcnn() -> None:
    """torchvision's, on a backbone of a few convolutions."""
    from torch import nn
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))
    backbone.out_channels = 8
    model = MaskRCNN(
        backbone,
        min_size=160,
        max_size=160,
        rpn_anchor_generator=AnchorGenerator(((32, 64),), ((0.5, 1.0),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 3, 2),
        mask_roi_pool=MultiScaleRoIAlign(["0"], 4, 2),
        box_head=nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.ReLU()),
        box_predictor=Predictor(),
        mask_head=nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
        mask_predictor=Masks(),
        rpn_post_nms_top_n_test=30,
        box_detections_per_img=10,
        box_score_thresh=0.2,
    ).eval()
    picture = torch.rand(3, 160, 160)
    torch.onnx.export(
        model,
        ([picture],),
        str(HERE / "mask_rcnn.onnx"),
        input_names=["image"],
        output_names=["boxes", "labels", "scores", "masks"],
        dynamic_axes={name: {0: "n"} for name in ("boxes", "labels", "scores", "masks")},
        opset_version=17,
        dynamo=False,
    )
    found = []
    for picture in drawn_pictures()[:1]:
        with torch.no_grad():
            (out,) = model([torch.tensor(picture / 255, dtype=torch.float32).permute(2, 0, 1)])
        mine = out["labels"] == 1
        boxes = torch.cat([out["boxes"], out["scores"][:, None], out["labels"][:, None]], 1)[mine]
        found.append((boxes.numpy(), (out["masks"][mine, 0] > 0.5).numpy()))
    store("mask_rcnn", found)


class Predictor(torch.nn.Module):
    """Classes of which the person is the commonest, and boxes near the proposals."""

    def __init__(self):
        super().__init__()
        self.classes, self.boxes = torch.nn.Linear(8, 91), torch.nn.Linear(8, 364)
        with torch.no_grad():
            self.classes.bias[:] = -6
            self.classes.bias[:2] = 1.0

    def forward(self, x):
        """Scores and offsets."""
        return self.classes(x), self.boxes(x)


class Masks(torch.nn.Module):
    """Masks of twice as many pixels as the features, spread about 0."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.ConvTranspose2d(8, 91, 2, 2)
        with torch.no_grad():
            self.layer.weight[:] = torch.randn(8, 91, 1, 1) * 20

    def forward(self, x):
        """Logits by class."""
        x = self.layer(x)
        return x - x.mean((2, 3), keepdim=True)


def deeplab() -> None:
    """torchvision's DeepLabV3 on a narrow MobileNet, and the class map of its own use."""
    from torch import nn
    from torchvision.models.segmentation import DeepLabV3
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead

    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1)
            )

        def forward(self, x):
            return {"out": self.layers(x)}

    class Out(nn.Module):
        def __init__(self, model, classes):
            super().__init__()
            self.model, self.classes = model, classes

        def forward(self, x):
            out = self.model(x)["out"]
            return out.argmax(1) if self.classes else out

    for seed in range(100):
        torch.manual_seed(seed)
        head = nn.Sequential(*[m for m in DeepLabHead(8, 21)][-1:])
        head = nn.Sequential(nn.Conv2d(8, 21, 1))
        model = DeepLabV3(Features(), head).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=2 / parameter[0].numel() ** 0.5)
        shares = [(label(model, picture) == 15).mean() for picture in drawn_pictures()]
        if min(shares) > 0.1 and max(shares) < 0.9:
            break
    for name, classes in (("deeplab", False), ("deeplab_numbers", True)):
        torch.onnx.export(
            Out(model, classes),
            (torch.rand(1, 3, 160, 160),),
            str(HERE / f"{name}.onnx"),
            input_names=["input"],
            output_names=["out"],
            opset_version=17,
            dynamo=False,
        )
    masks = {
        f"masks_{i}": np.packbits(label(model, p) == 15) for i, p in enumerate(drawn_pictures())
    }
    np.savez_compressed(HERE / "deeplab.npz", **masks)
    print("deeplab", seed, shares)


def label(model, picture: np.ndarray) -> np.ndarray:
    """Classes of the pixels of a picture that is scaled to 160 x 160, as torchvision's presets."""
    from torch.nn import functional

    tensor = torch.tensor(picture).permute(2, 0, 1)[None]
    tensor = functional.interpolate(tensor.float(), (160, 160), mode="bilinear") / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    tensor = (tensor - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        out = model(tensor)["out"]
        out = functional.interpolate(out, picture.shape[:2], mode="bilinear")
    return out.argmax(1)[0].numpy()


if __name__ == "__main__":
    import sys

    for part in sys.argv[1:] or ["ultralytics_masks", "mask_rcnn", "deeplab"]:
        globals()[part]()
