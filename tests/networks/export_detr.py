"""Exports small DETR-like detectors with the libraries that people export them with.

Made with torch 2.14.1, transformers 5.24.0 and rfdetr 1.11.2:

    cd tests/networks && python export_detr.py

Weights are random; the heads are scaled so that scores and boxes spread. Beside each ``NAME.onnx``
stands ``NAME.npz`` with what the library's own pre- and post-processing make of pictures of
:mod:`pictures`: ``size_I`` (h, w), ``pixels_I`` (every eighth that the network sees),
``scores_I``, ``labels_I``, ``boxes_I`` (corners in pixels).

``*_deploy`` is the form of the official repositories (tools/deployment/export_onnx.py of RT-DETR,
D-FINE and DEIM), which are no packages: their post-processor is written down here as it stands
there, around the network of transformers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
import transformers as tf
from pictures import SIDE, squares_and_ramps
from torch import nn
from transformers.models.rf_detr.modeling_rf_detr import RfDetrDinov2Embeddings

HERE = Path(__file__).parent


def spread(model, logits=("class",), boxes=("bbox", "box"), gain=0.8, shift=-4.0, size=1.0):
    """Draws weights anew, so that queries, their scores and boxes differ as in a trained one."""
    for name, weight in model.named_parameters():
        if weight.ndim >= 2:
            fan = weight[0].numel() if "embed" not in name or "class" in name else 1
            nn.init.normal_(weight, std=1 / fan**0.5)
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear):
            continue
        if any(part in name for part in logits) and layer.out_features > 4:
            nn.init.normal_(layer.weight, std=gain / layer.in_features**0.5)
            nn.init.normal_(layer.bias, std=0.5, mean=shift)
        elif any(part in name for part in boxes) and layer.out_features == 4:
            nn.init.normal_(layer.weight, std=size / layer.in_features**0.5)
    return model


def backbone(sizes=(4, 4, 8, 8)):
    """A residual network of a few channels."""
    return tf.RTDetrResNetConfig(
        embedding_size=4,
        hidden_sizes=list(sizes),
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )


SMALL = {
    "d_model": 8,
    "encoder_hidden_dim": 8,
    "encoder_in_channels": [4, 8, 8],
    "decoder_in_channels": [8, 8, 8],
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "decoder_layers": 1,
    "decoder_n_points": 1,
    "num_queries": 20,
    "num_denoising": 0,
    "num_labels": 80,
    "hidden_expansion": 0.5,
}


def rtdetr():
    """RT-DETR of transformers."""
    return spread(
        tf.RTDetrForObjectDetection(
            tf.RTDetrConfig(backbone_config=backbone(), encoder_layers=0, **SMALL)
        )
    )


def dfine():
    """D-FINE of transformers."""
    more = SMALL | {"decoder_n_points": [1, 1, 1], "decoder_layers": 2, "eval_idx": -1}
    return spread(
        tf.DFineForObjectDetection(
            tf.DFineConfig(
                backbone_config=backbone(), encoder_layers=0, encode_proj_layers=[], **more
            )
        )
    )


def detr_like(kind, config, **more):
    """DETR, Conditional DETR, Deformable DETR."""
    body = tf.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 8, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    settings = {
        "backbone_config": body,
        "use_timm_backbone": False,
        "use_pretrained_backbone": False,
        "backbone": None,
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_ffn_dim": 16,
        "decoder_ffn_dim": 16,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "num_queries": 20,
        "num_labels": 91,
    }
    model = kind(config(**settings | more))
    return model


def rfdetr(kind=tf.RfDetrForObjectDetection):
    """RF-DETR as transformers has it."""
    body = tf.RfDetrDinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=1, image_size=SIDE,
        patch_size=16, num_windows=2, out_features=["stage1", "stage2"],
    )  # fmt: skip
    return kind(
        tf.RfDetrConfig(
            backbone_config=body, d_model=8, decoder_layers=1, num_queries=20, group_detr=1,
            decoder_self_attention_heads=2, decoder_cross_attention_heads=2, decoder_ffn_dim=16,
            hidden_expansion=0.25, c2f_num_blocks=1, num_labels=91, num_feature_levels=1,
        )
    )  # fmt: skip


class RfDetr(nn.Module):
    """The outputs of rfdetr's own export."""

    def __init__(self, model, masks=False):
        super().__init__()
        self.model, self.masks = model, masks

    def forward(self, image):
        out = self.model(image)
        found = out.pred_boxes, out.logits
        return (*found, out.pred_masks) if self.masks else found


def rfdetr_answer(name, model):
    """Writes what rfdetr's own preprocessing and decoding find in the pictures."""
    from PIL import Image
    from rfdetr.export._runtime.decode import decode_detections
    from rfdetr.export._runtime.preprocess import preprocess_to_nchw

    kept = {}
    for i, picture in enumerate(squares_and_ramps()):
        image = Image.fromarray(picture)
        pixels = preprocess_to_nchw(image, SIDE, SIDE)
        with torch.no_grad():
            out = model(torch.from_numpy(pixels))
        found = decode_detections(
            out.pred_boxes[0].numpy(), out.logits[0].numpy(), image.size,
            threshold=0.0, num_select=20 * 91, background_class_id=None,
        )  # fmt: skip
        kept |= {
            f"size_{i}": picture.shape[:2],
            f"pixels_{i}": pixels[0, :, ::8, ::8],
            f"scores_{i}": found.confidence,
            f"labels_{i}": found.class_id,
            f"boxes_{i}": found.xyxy,
        }
    np.savez_compressed(HERE / f"{name}.npz", **kept)


class Named(nn.Module):
    """The two outputs that optimum exports."""

    def __init__(self, model, mask=False):
        super().__init__()
        self.model, self.mask = model, mask

    def forward(self, pixel_values, pixel_mask=None):
        more = {"pixel_mask": pixel_mask} if self.mask else {}
        out = self.model(pixel_values, **more)
        return out.logits, out.pred_boxes


class Deployed(nn.Module):
    """Model and post-processor as official deploy exports have them."""

    def __init__(self, model, top=20):
        super().__init__()
        self.model, self.top = model, top

    def forward(self, images, orig_target_sizes):
        out = self.model(images)
        logits, boxes = out.logits, out.pred_boxes
        cx, cy, w, h = boxes.unbind(-1)
        corners = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], dim=-1)
        corners = corners * orig_target_sizes.repeat(1, 2).unsqueeze(1)
        n = logits.shape[2]
        scores, index = torch.topk(logits.sigmoid().flatten(1), self.top, dim=-1)
        labels = index - index // n * n
        index = index // n
        boxes = corners.gather(dim=1, index=index.unsqueeze(-1).repeat(1, 1, 4))
        return labels, boxes, scores


def write(name, model, inputs, outputs, dynamic, arguments):
    """Exports ``model`` to ``name.onnx``."""
    path = HERE / f"{name}.onnx"
    torch.onnx.export(
        model.eval(),
        arguments,
        str(path),
        input_names=inputs,
        output_names=outputs,
        dynamic_axes=dynamic,
        opset_version=17,
        dynamo=False,
    )
    slim(path)
    print(path.name, path.stat().st_size)


def slim(path: Path) -> None:
    """Shortens names of nodes and inner values; the exporters' long ones are most of the file."""
    model = onnx.load(str(path))
    graph = model.graph
    keep = {port.name for port in [*graph.input, *graph.output]}
    short: dict[str, str] = {}

    def of(name: str) -> str:
        if not name or name in keep:
            return name
        return short.setdefault(name, f"_{len(short):x}")

    def walk(graph):
        for tensor in graph.initializer:
            tensor.name = of(tensor.name)
        del graph.value_info[:]
        for node in graph.node:
            node.name, node.doc_string = "", ""
            del node.metadata_props[:]
            node.input[:] = map(of, node.input)
            node.output[:] = map(of, node.output)
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    inner = attribute.g
                    for port in [*inner.input, *inner.output]:
                        port.name = of(port.name)
                    walk(inner)

    walk(graph)
    onnx.save(model, str(path))


def answer(name, model, processor, *sizes, threshold=0.0):
    """Writes what the library itself finds in the pictures, and a few of the pixels it sees."""
    kept = {}
    for i, picture in enumerate(squares_and_ramps(*sizes)):
        given = processor(images=picture, return_tensors="pt")
        with torch.no_grad():
            out = model(**given)
        (found,) = processor.post_process_object_detection(
            out, threshold=threshold, target_sizes=[picture.shape[:2]]
        )
        kept[f"size_{i}"] = picture.shape[:2]
        kept[f"pixels_{i}"] = given["pixel_values"][0, :, ::8, ::8].numpy()
        kept |= {f"{key}_{i}": found[key].numpy() for key in ("scores", "labels", "boxes")}
    np.savez_compressed(HERE / f"{name}.npz", **kept)


def main() -> None:
    """Writes all of them."""
    torch.manual_seed(5)
    free = {"pixel_values": {0: "batch_size", 2: "height", 3: "width"}}
    picture = torch.rand(1, 3, SIDE, SIDE)
    stretched = {"size": {"height": SIDE, "width": SIDE}}
    for name, make in (("rtdetr", rtdetr), ("dfine", dfine)):
        model = make().eval()
        processor = tf.RTDetrImageProcessor(**stretched)
        write(
            f"{name}_hf", Named(model), ["pixel_values"], ["logits", "pred_boxes"],
            {"pixel_values": {0: "batch_size"}}, (picture,),
        )  # fmt: skip
        answer(f"{name}_hf", model, processor)
        write(
            f"{name}_deploy", Deployed(model), ["images", "orig_target_sizes"],
            ["labels", "boxes", "scores"], {"images": {0: "N"}, "orig_target_sizes": {0: "N"}},
            (picture, torch.tensor([[SIDE, SIDE]])),
        )  # fmt: skip
        answer(f"{name}_deploy", model, processor)
    size = (96, 128)
    fitted = {
        "size": {"shortest_edge": 96, "longest_edge": 128},
        "pad_size": {"height": 96, "width": 128},
    }
    # DETR: softmax with a last class for "nothing", and a mask of what is picture.
    model = spread(
        detr_like(tf.DetrForObjectDetection, tf.DetrConfig), ("class_labels",), gain=1.0, shift=0.0
    ).eval()
    with torch.no_grad():
        model.class_labels_classifier.bias[-1] += 5
    answer("detr_hf", model, tf.DetrImageProcessor(**fitted), size, (64, 128))
    write(
        "detr_hf", Named(model, mask=True), ["pixel_values", "pixel_mask"],
        ["logits", "pred_boxes"],
        free | {"pixel_mask": {0: "batch_size", 1: "height", 2: "width"}},
        (torch.rand(1, 3, *size), torch.ones(1, *size, dtype=torch.int64)),
    )  # fmt: skip
    model = spread(
        detr_like(tf.ConditionalDetrForObjectDetection, tf.ConditionalDetrConfig),
        ("class_labels",),
    ).eval()
    stretched = {"size": {"height": 96, "width": 128}, "do_pad": False}
    answer("conditional_hf", model, tf.ConditionalDetrImageProcessor(**stretched), size)
    write(
        "conditional_hf", Named(model), ["pixel_values"], ["logits", "pred_boxes"],
        {"pixel_values": {0: "batch_size"}}, (torch.rand(1, 3, *size),),
    )  # fmt: skip
    # RF-DETR: as its own export names the outputs, with its own post-processing.
    # The encoding of positions is for this input alone, as rfdetr's export has it.
    RfDetrDinov2Embeddings.interpolate_pos_encoding = lambda self, *size: self.position_embeddings
    model = spread(rfdetr(), ("class_embed",), ("bbox_embed",), 0.8, size=0.1).eval()
    rfdetr_answer("rfdetr", model)
    write(
        "rfdetr", RfDetr(model), ["input"], ["dets", "labels"], {"input": {0: "batch"}},
        (picture,),
    )  # fmt: skip
    model = rfdetr(tf.RfDetrForInstanceSegmentation)
    model = spread(model, ("class_embed",), ("bbox_embed",), 0.8, size=0.1)
    write(
        "rfdetr_seg", RfDetr(model.eval(), True), ["input"], ["dets", "labels", "masks"],
        None, (picture,),
    )  # fmt: skip
    rfdetr_answer("rfdetr_seg", model)


if __name__ == "__main__":
    main()
