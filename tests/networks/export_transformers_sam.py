"""Exports a small SAM with transformers as transformers.js has it, and the masks that it finds.

Made with torch 2.14.1, onnxsim 0.8.1 and transformers 5.24.0; see ``export_promptable.py``:

    cd tests/networks && python export_transformers_sam.py
"""

from __future__ import annotations

import torch
from export_promptable import SIDE, WIDTH, answer, export, spread
from torch import nn


class Vision(nn.Module):
    """The encoder as transformers.js has it."""

    def __init__(self, model, positional: bool):
        super().__init__()
        self.model, self.positional = model, positional

    def forward(self, pixel_values):
        """Embeddings, and those of the places (SAM)."""
        embeddings = self.model.get_image_embeddings(pixel_values)
        if not self.positional:
            return tuple(embeddings)
        return embeddings, self.model.get_image_wide_positional_embeddings()


class Decoder(nn.Module):
    """Prompt encoder and mask decoder as transformers.js has them."""

    def __init__(self, model, n: int):
        super().__init__()
        self.model, self.n = model, n

    def forward(self, input_points, input_labels, *inputs):
        """Quality and masks."""
        if self.n == 1:
            embeddings, places = inputs
            sparse, dense = self.model.prompt_encoder(
                input_points=input_points,
                input_labels=input_labels,
                input_boxes=None,
                input_masks=None,
            )
            masks, quality = self.model.mask_decoder(
                image_embeddings=embeddings,
                image_positional_embeddings=places,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
            )[:2]
            return quality, masks
        boxes, *embeddings = inputs
        out = self.model(
            input_points=input_points,
            input_labels=input_labels,
            input_boxes=boxes,
            image_embeddings=list(embeddings),
            multimask_output=True,
        )
        return out.iou_scores, out.pred_masks, out.object_score_logits


def export_transformers_sam() -> None:
    """SAM as transformers.js has it, which knows no boxes."""
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    model = SamModel(
        SamConfig(
            vision_config={
                "hidden_size": 16,
                "output_channels": WIDTH,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": SIDE,
                "mlp_dim": 16,
                "global_attn_indexes": [1],
                "num_pos_feats": WIDTH // 2,
            },
            prompt_encoder_config={
                "hidden_size": WIDTH,
                "image_size": SIDE,
                "mask_input_channels": 4,
            },
            mask_decoder_config={
                "hidden_size": WIDTH,
                "mlp_dim": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "iou_head_hidden_dim": 8,
            },
        )
    )
    model.eval()
    processor = SamProcessor(
        SamImageProcessor(
            size={"longest_edge": SIDE},
            pad_size={"height": SIDE, "width": SIDE},
            mask_size={"longest_edge": SIDE // 4},
        )
    )

    def ask(picture, points, labels, box):
        fed = processor(
            picture,
            input_points=[[points.tolist()]],
            input_labels=[[labels.tolist()]],
            return_tensors="pt",
        )
        with torch.no_grad():
            out = model(
                pixel_values=fed["pixel_values"].float(),
                input_points=fed["input_points"].float(),
                input_labels=fed["input_labels"],
            )
        masks = processor.image_processor.post_process_masks(
            out.pred_masks,
            fed["original_sizes"],
            fed["reshaped_input_sizes"],
            pad_size={"height": SIDE, "width": SIDE},
        )
        return masks[0][0].numpy()

    spread(model, ask, first=40)
    cells = SIDE // 16
    names = ["image_embeddings", "image_positional_embeddings"]
    export(
        "hf_sam_encoder",
        Vision(model, True),
        {"pixel_values": torch.rand(1, 3, SIDE, SIDE)},
        names,
    )
    points = {
        "input_points": torch.rand(1, 1, 3, 2) * SIDE,
        "input_labels": torch.ones(1, 1, 3, dtype=torch.int64),
    }
    export(
        "hf_sam_decoder",
        Decoder(model, 1),
        points | {name: torch.rand(1, WIDTH, cells, cells) for name in names},
        ["iou_scores", "pred_masks"],
        {name: {1: "point_batch_size", 2: "nb_points_per_image"} for name in points},
    )
    answer("hf_sam", ask)


if __name__ == "__main__":
    export_transformers_sam()
