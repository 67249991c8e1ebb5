"""Exports small promptable networks with their libraries, and the masks that these find.

Made with torch 2.14.1, onnxsim 0.8.1, segment-anything 1.0, samexporter 0.5.0, sam2 1.1.0:

    cd tests/networks && python export_promptable.py

Networks are the libraries' own classes with few and narrow layers, random weights and inputs of
256 x 256; they are exported as the named scripts do. Beside each stands ``NAME.npz`` with what the
library finds in the pictures of :mod:`pictures`: ``masks_I`` packed bits of ``[n, h, w]``,
``points_I``, ``labels_I`` and ``box_I`` (corners), which it was asked with.

EfficientSAM is in no registry of packages: the parts that its export script puts together are
written down here by what they do, with the decoder of segment-anything, which its own goes back
to.
MobileSAM is exported by the same classes as SAM, and cannot be smaller than 1024 x 1024.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxsim
import torch
from pictures import drawn_pictures
from torch import nn
from torch.nn import functional

HERE = Path(__file__).parent
SIDE, WIDTH = 256, 16


def prompts(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns points, labels and corners of a box, in pixels of a picture."""
    h, w = picture.shape[:2]
    points = np.array([[0.4 * w, 0.5 * h], [0.6 * w, 0.3 * h]]).round()
    return points, np.array([1, 1]), np.array([0.2 * w, 0.1 * h, 0.8 * w, 0.9 * h]).round()


def export(name: str, model: nn.Module, inputs: dict, outputs: list[str], free=None) -> None:
    """Writes ``name.onnx``."""
    torch.onnx.export(
        model.eval(),
        tuple(inputs.values()),
        str(HERE / f"{name}.onnx"),
        input_names=list(inputs),
        output_names=outputs,
        dynamic_axes=free,
        opset_version=17,
        dynamo=False,
    )
    # samexporter has this as an option; here it makes files small.
    smaller, same = onnxsim.simplify(onnx.load(HERE / f"{name}.onnx"))
    if not same:
        raise ValueError(f"{name}: simplified wrongly")
    for node in smaller.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        node.ClearField("name")
    del smaller.graph.value_info[:]
    onnx.save(smaller, HERE / f"{name}.onnx")


def answer(name: str, ask) -> None:
    """Writes ``name.npz`` of what ``ask(picture, points, labels, box)`` gives, bool [n, h, w]."""
    stored = {}
    for i, masks in enumerate(answers(ask)):
        points, labels, box = prompts(pictures()[i])
        print(name, i, masks.shape, masks.mean(axis=(1, 2)).round(2))
        stored |= {f"masks_{i}": np.packbits(masks), f"shape_{i}": np.array(masks.shape)}
        stored |= {f"points_{i}": points, f"labels_{i}": labels, f"box_{i}": box}
    np.savez_compressed(HERE / f"{name}.npz", **stored)


def pictures() -> list[np.ndarray]:
    """Returns pictures that are smaller than the networks' input; the last needs no scaling."""
    *small, large = drawn_pictures()
    return [*small, np.ascontiguousarray(large[:200, :SIDE])]


def answers(ask) -> list[np.ndarray]:
    """Returns the masks of the pictures."""
    return [np.asarray(ask(picture, *prompts(picture)), bool) for picture in pictures()]


def spread(model: nn.Module, ask, gain: float = 1.0, first: int = 0) -> None:
    """Gives a network random weights with which its masks are neither empty nor all."""
    for seed in range(first, first + 200):
        torch.manual_seed(seed)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=gain / max(1, parameter[0].numel()) ** 0.5)
        for layer in model.modules():
            if isinstance(layer, nn.ConvTranspose2d):  # no chequered masks
                layer.weight.data[:] = layer.weight.data[:, :, :1, :1]
        shares = np.concatenate([masks.mean(axis=(1, 2)) for masks in answers(ask)])
        if shares.min() > 0.15 and shares.max() < 0.85:
            return
    raise ValueError("no such weights")


def sam():
    """Returns Segment Anything."""
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    encoder = ImageEncoderViT(
        img_size=SIDE,
        embed_dim=16,
        depth=2,
        num_heads=2,
        mlp_ratio=1,
        out_chans=WIDTH,
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=[1],
    )
    cells = (SIDE // 16,) * 2
    model = Sam(
        encoder,
        PromptEncoder(WIDTH, cells, (SIDE, SIDE), mask_in_chans=4),
        MaskDecoder(
            transformer_dim=WIDTH,
            transformer=TwoWayTransformer(1, WIDTH, 2, 16),
            num_multimask_outputs=3,
            iou_head_hidden_dim=8,
        ),
    )
    return model.eval()


def decoder_inputs(size=True) -> dict[str, torch.Tensor]:
    """Returns examples of what the decoder of segment-anything takes."""
    cells = SIDE // 16
    inputs = {
        "image_embeddings": torch.randn(1, WIDTH, cells, cells),
        "point_coords": torch.rand(1, 5, 2) * SIDE,
        "point_labels": torch.tensor([[1.0, 1, 2, 3, -1]]),
        "mask_input": torch.zeros(1, 1, 4 * cells, 4 * cells),
        "has_mask_input": torch.zeros(1),
    }
    return inputs | ({"orig_im_size": torch.tensor([150.0, 225.0])} if size else {})


def export_sam() -> None:
    """The encoder with and without its preprocessing (samexporter), the decoder (official)."""
    from samexporter.onnx_utils import ImageEncoderOnnxModel
    from segment_anything import SamPredictor
    from segment_anything.utils.onnx import SamOnnxModel

    model = sam()
    predictor = SamPredictor(model)

    def ask(picture, points, labels, box):
        predictor.set_image(picture)
        return predictor.predict(points, labels, box=box, multimask_output=True)[0]

    spread(model, ask, first=30)
    picture = {"input_image": torch.rand(1, 3, SIDE, SIDE)}
    export("sam_encoder", ImageEncoderOnnxModel(model, False), picture, ["image_embeddings"])
    export(
        "sam_encoder_whole",
        ImageEncoderOnnxModel(model, True),
        {"input_image": torch.rand(SIDE, SIDE, 3) * 255},
        ["image_embeddings"],
        {"input_image": {0: "image_height", 1: "image_width"}},
    )
    export(
        "sam_decoder",
        SamOnnxModel(model, return_single_mask=False),
        decoder_inputs(),
        ["masks", "iou_predictions", "low_res_masks"],
        {"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}},
    )
    answer("sam", ask)


class EfficientSam(nn.Module):
    """What EfficientSAM's export puts together; ``part`` is all, encoder or decoder."""

    def __init__(self, model, part: str):
        super().__init__()
        self.model, self.part = model, part
        self.mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
        self.std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)

    def encode(self, pictures):
        """Pictures of 0 to 1 of any size, stretched to the input's."""
        pictures = functional.interpolate(pictures, (SIDE, SIDE), mode="bilinear")
        return self.model.image_encoder((pictures - self.mean) / self.std)

    def decode(self, embeddings, points, labels, h, w):
        """Points in pixels of the picture; -1, 1, 2 and 3 are the labels that are known."""
        encoder = self.model.prompt_encoder
        x, y = points[..., 0] * SIDE / w, points[..., 1] * SIDE / h
        places = torch.stack([x, y], dim=-1)[0]
        labels = labels[0]
        known = encoder.pe_layer._pe_encoding((places + 0.5) / SIDE)
        for label, weight in (
            (-1, encoder.not_a_point_embed.weight),
            (1, encoder.point_embeddings[1].weight),
            (2, encoder.point_embeddings[2].weight),
            (3, encoder.point_embeddings[3].weight),
        ):
            known = known + weight * (labels == label)[..., None]
        nothing = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        masks, quality = self.model.mask_decoder.predict_masks(
            embeddings, encoder.get_dense_pe(), known, nothing.expand_as(embeddings)
        )
        masks, quality = masks[:, 1:], quality[:, 1:]
        large = functional.interpolate(masks, (h, w), mode="bilinear")
        return large[None], quality[None], masks

    def forward(self, *inputs):
        """The part."""
        if self.part == "encoder":
            return self.encode(*inputs)
        if self.part == "decoder":
            embeddings, points, labels, size = inputs
            return self.decode(embeddings, points, labels, size[0], size[1])
        pictures, points, labels = inputs
        h, w = pictures.shape[2:]
        return self.decode(self.encode(pictures), points, labels, h, w)


def export_efficient_sam() -> None:
    """In one file and in two, as ``export_to_onnx.py`` of EfficientSAM."""
    model = sam()
    whole = EfficientSam(model, "all").eval()

    def ask(picture, points, labels, box):
        points = np.concatenate([box.reshape(2, 2), points])
        labels = np.concatenate([[2, 3], labels])
        tensor = torch.tensor(picture.transpose(2, 0, 1)[None] / 255, dtype=torch.float32)
        with torch.no_grad():
            masks, *_ = whole(
                tensor,
                torch.tensor(points, dtype=torch.float32)[None, None],
                torch.tensor(labels, dtype=torch.float32)[None, None],
            )
        return masks[0, 0].numpy() > 0

    spread(model, ask)
    cells = SIDE // 16
    picture = {"batched_images": torch.rand(1, 3, 150, 225)}
    points = {
        "batched_point_coords": torch.rand(1, 1, 5, 2) * 150,
        "batched_point_labels": torch.tensor([[[1.0, 1, 2, 3, -1]]]),
    }
    free = {"batched_images": {2: "height", 3: "width"}}
    free_points = {name: {2: "num_points"} for name in points}
    outputs = ["output_masks", "iou_predictions", "low_res_masks"]
    export(
        "efficient_sam_encoder",
        EfficientSam(model, "encoder"),
        picture,
        ["image_embeddings"],
        free,
    )
    export(
        "efficient_sam_decoder",
        EfficientSam(model, "decoder"),
        {
            "image_embeddings": torch.rand(1, WIDTH, cells, cells),
            **points,
            "orig_im_size": torch.tensor([150, 225]),
        },
        outputs,
        free_points,
    )
    answer("efficient_sam", ask)


def export_sam2() -> None:
    """SAM 2.1 as samexporter's ``export_sam2.py``."""
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam.transformer import TwoWayTransformer
    from sam2.modeling.sam2_base import SAM2Base
    from sam2.modeling.sam2_utils import MLP
    from sam2.sam2_image_predictor import SAM2ImagePredictor
    from samexporter.export_sam2 import SAM2ImageDecoder, SAM2ImageEncoder

    trunk = Hiera(
        embed_dim=4,
        num_heads=1,
        stages=(1, 1, 2, 1),
        global_att_blocks=(3,),
        window_pos_embed_bkg_spatial_size=(7, 7),
        window_spec=(8, 4, 14, 7),
    )
    neck = FpnNeck(PositionEmbeddingSine(WIDTH), WIDTH, [32, 16, 8, 4], fpn_top_down_levels=[2, 3])
    model = SAM2Base(
        ImageEncoder(trunk, neck, scalp=1),
        nn.Identity(),
        nn.Identity(),
        image_size=SIDE,
        use_high_res_features_in_sam=True,
        multimask_output_in_sam=True,
        iou_prediction_use_sigmoid=True,
        directly_add_no_mem_embed=True,
    )
    model.sam_mask_decoder.iou_prediction_head = MLP(WIDTH, 8, 4, 3, sigmoid_output=True)
    model.sam_mask_decoder.transformer = TwoWayTransformer(1, WIDTH, 2, 16)
    model.eval()
    predictor = SAM2ImagePredictor(model)
    predictor._bb_feat_sizes = [(SIDE // n, SIDE // n) for n in (4, 8, 16)]

    def ask(picture, points, labels, box):
        predictor.set_image(picture)
        return predictor.predict(points, labels, box=box, multimask_output=True)[0]

    spread(model, ask)
    encoder = SAM2ImageEncoder(model)
    picture = torch.rand(1, 3, SIDE, SIDE)
    export(
        "sam2_encoder",
        encoder,
        {"image": picture},
        ["high_res_feats_0", "high_res_feats_1", "image_embed"],
    )
    with torch.no_grad():
        fine, middle, coarse = encoder(picture)
    inputs = {"image_embed": coarse, "high_res_feats_0": fine, "high_res_feats_1": middle}
    rest = decoder_inputs(size=False)
    del rest["image_embeddings"]
    free = {name: {0: "num_labels", 1: "num_points"} for name in ("point_coords", "point_labels")}
    free |= {name: {0: "num_labels"} for name in ("mask_input", "has_mask_input")}
    export(
        "sam2_decoder",
        SAM2ImageDecoder(model, multimask_output=True),
        inputs | rest,
        ["masks", "iou_predictions"],
        free,
    )
    answer("sam2", ask)


if __name__ == "__main__":
    import sys

    for part in sys.argv[1:] or [n for n in list(globals()) if n.startswith("export_")]:
        globals()[part]()
