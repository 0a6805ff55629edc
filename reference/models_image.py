"""Makes small models of images and records what Hugging Face's pipeline answers.

Usage: python reference/models_image.py task/testdata

Writes image/images, pictures of every kind that is read, with images.json that says which of them are lossy; and for each model a
folder in Hugging Face layout (seeded random weights) with cases.json: some numbers of what the image processor makes of each picture,
and runs of the pipeline, each with its settings and an answer for every picture. Processors are those over Pillow (use_fast=False),
answers those of PyTorch, and ONNX Runtime has to agree within 1e-5 on the same pixels.
"""

import collections
import importlib.util
import json
import pathlib
import shutil
import sys
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import PIL
import torch
import transformers
from PIL import Image, ImageDraw
from transformers import pipeline
from transformers.image_utils import load_image

SEED = 4
WITHIN = 1e-5
SAMPLES = 24  # of the numbers of a picture, written down
RUNS = [{}, {"top_k": 1}, {"top_k": 100}, {"top_k": 100, "function_to_apply": "sigmoid"}, {"top_k": 100, "function_to_apply": "none"}]
VERSIONS = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "pillow": PIL.__version__, "onnxruntime": ort.__version__}


# Pictures.


def picture(width, height, seed, mode="RGB"):
    """A smooth seeded background with some shapes."""
    rng = np.random.default_rng([SEED, seed])
    channels = len(mode) if mode in ("RGB", "RGBA", "CMYK", "LA") else 1
    small = rng.integers(0, 256, (4, 5, channels), dtype=np.uint8)
    bands = [Image.fromarray(small[:, :, c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(channels)]
    image = bands[0] if channels == 1 else Image.merge(mode, bands)
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x, y = rng.integers(0, width), rng.integers(0, height)
        color = tuple(int(v) for v in rng.integers(0, 256, channels))
        draw.rectangle([int(x), int(y), int(x + rng.integers(1, 2 + width // 2)), int(y + rng.integers(1, 2 + height // 2))], fill=color if channels > 1 else color[0])
    return image


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def pictures(folder):
    """Saves the pictures; returns their names and whether they are lossy."""
    seen = {}

    def save(name, image, lossy=False, **options):
        image.save(folder / name, **options)
        seen[name] = lossy

    # Not 1 or 3 pixels high: transformers takes the height for the number of channels then.
    for k, (w, h) in enumerate([(64, 64), (32, 32), (97, 61), (61, 97), (2, 2), (1, 90), (120, 2), (7, 5), (33, 31), (224, 150), (300, 40), (17, 250)]):
        save(f"rgb-{w}x{h}.png", picture(w, h, k))
    save("black.png", Image.new("RGB", (40, 40)))
    save("white.png", Image.new("RGB", (40, 40), "white"))
    save("grey.png", picture(70, 50, 20, "L"))
    save("grey-alpha.png", picture(50, 70, 21, "LA"))
    save("grey-16.png", Image.fromarray((np.asarray(picture(50, 50, 22, "L")).astype(np.uint16) * 257)))
    save("one-bit.png", picture(65, 43, 23, "L").convert("1"))
    save("rgba.png", picture(80, 60, 24, "RGBA"))
    palette = picture(75, 55, 25).quantize(32)
    save("palette.png", palette)
    save("palette-4.png", picture(75, 55, 26).quantize(4), bits=2)
    save("palette-transparent.png", palette, transparency=3)
    save("palette-alpha.png", palette, transparency=bytes(range(0, 256, 8)))
    save("rgb-transparent.png", picture(44, 66, 27), transparency=(0, 0, 0))
    for k in (3, 6, 8):
        save(f"rotated-{k}.png", picture(66, 44, 30), exif=exif(k))
    save("still.gif", picture(62, 48, 40).quantize(64))
    save("transparent.gif", palette, transparency=5)
    save("animated.gif", picture(60, 40, 41).quantize(16), save_all=True, append_images=[picture(60, 40, 42).quantize(16)], duration=100)
    save("rgb.bmp", picture(53, 37, 43))
    save("palette.bmp", palette)
    save("grey.bmp", picture(54, 36, 44, "L"))
    save("one-bit.bmp", picture(51, 35, 45, "L").convert("1"))
    save("lossless.webp", picture(71, 47, 46), lossless=True)
    save("lossless-alpha.webp", picture(71, 47, 47, "RGBA"), lossless=True, exact=True)

    photo = picture(130, 95, 50)
    save("photo.jpg", photo, True, quality=85)
    save("photo-444.jpg", photo, True, quality=92, subsampling=0)
    save("photo-422.jpg", photo, True, quality=80, subsampling=1)
    save("progressive.jpg", photo, True, quality=85, progressive=True)
    save("low-quality.jpg", photo, True, quality=20)
    save("odd-size.jpg", picture(37, 53, 51), True, quality=85)
    save("grey.jpg", picture(90, 60, 52, "L"), True, quality=85)
    save("cmyk.jpg", picture(90, 60, 53, "CMYK"), True, quality=90)
    save("large.jpg", picture(640, 480, 54), True, quality=80)
    for k in range(1, 9):
        save(f"rotated-{k}.jpg", picture(84, 52, 55), True, quality=85, exif=exif(k))
    save("lossy.webp", photo, True, quality=80)
    save("lossy-alpha.webp", picture(80, 60, 56, "RGBA"), True, quality=80)
    return seen


# Models.


def processor(kind, **settings):
    """A processor over Pillow. Their classes have the slow ones' names."""
    return getattr(transformers, kind)(**settings)


def architectures():
    """Name, model, its processor, and whether the graph takes pictures of any size."""
    def names(*labels):
        return {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}

    t = transformers
    config = t.ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32, patch_size=8,
                         **names("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"))
    yield "vit", t.ViTForImageClassification, config, t.ViTImageProcessor(size={"height": 32, "width": 32}), False
    config = t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic", **names("healthy", "early blight", "late blight"))
    yield "resnet", t.ResNetForImageClassification, config, t.ConvNextImageProcessor(size={"shortest_edge": 48}, crop_pct=0.875, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]), True
    config = t.MobileNetV2Config(depth_multiplier=0.1, finegrained_output=False, image_size=64, **names("background", "tench", "goldfish", "white shark", "tiger shark", "hammerhead", "electric ray"))
    yield "mobilenet", t.MobileNetV2ForImageClassification, config, t.MobileNetV2ImageProcessor(size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}), True
    config = t.DeiTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=40, patch_size=8, **names("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"))
    yield "deit", t.DeiTForImageClassification, config, t.DeiTImageProcessor(size={"height": 46, "width": 46}, crop_size={"height": 40, "width": 40}), False
    config = t.ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32, patch_size=16, problem_type="multi_label_classification",
                         **names("indoor", "person", "food", "text", "animal", "vehicle"))
    yield "multi-label", t.ViTForImageClassification, config, t.ViTImageProcessor(size={"height": 32, "width": 32}, resample=1, image_mean=[0, 0, 0], image_std=[1, 1, 1]), False


def weights(m, pixels):
    """Seeded weights, spread so that every class is the best one for some pictures."""
    rng = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, p in m.named_parameters():
            if p.dim() == 4:
                p.copy_(torch.randn(p.shape, generator=rng) * (2 / p[0].numel()) ** 0.5)
            elif "norm" not in name.lower():
                p.copy_(torch.randn(p.shape, generator=rng) * (1.0 if "embeddings" in name else 0.2))
        for b in m.modules():
            if isinstance(b, torch.nn.BatchNorm2d):
                b.momentum = None  # an average over all that it sees
        m.train()
        m(pixels)
        m.eval()
        for b in m.modules():
            if isinstance(b, torch.nn.BatchNorm2d):
                b.running_var.clamp_(min=0.5)  # what hardly varies is not to be blown up, and rounding with it
        last = m.classifier[-1] if isinstance(m.classifier, torch.nn.Sequential) else m.classifier
        logits = m(pixels).logits
        scale = {"mobilenet_v2": 0.015, "resnet": 0.3}.get(m.config.model_type, 0.7) / logits.std(0)  # with random weights, rounding grows with depth
        last.weight.mul_(scale[:, None])
        last.bias.sub_(logits.mean(0)).mul_(scale)


class Graph(torch.nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, pixels):
        return self.m(pixels, return_dict=True).logits


def export(m, pixels, path, any_size):
    axes = {0: "batch_size"} | ({2: "height", 3: "width"} if any_size else {})
    path.parent.mkdir(parents=True)
    torch.onnx.export(Graph(m).eval(), (pixels[:2],), str(path), input_names=["pixel_values"], output_names=["logits"],
                      dynamic_axes={"pixel_values": axes, "logits": {0: "batch_size"}}, opset_version=17, dynamo=False)
    onnx.checker.check_model(str(path))


# Records.


def number(x):
    return float(f"{x:.7g}")


def lines(answers, indent):
    return "[\n" + ",\n".join(indent + json.dumps(a, ensure_ascii=False, separators=(",", ":")) for a in answers) + "\n" + indent[1:] + "]"


def write(path, head, pixels, runs):
    """Writes cases.json, one answer a line."""
    at = np.linspace(0, pixels[0].size - 1, SAMPLES).astype(int)
    out = json.dumps(head)[:-1] + f',\n "pixels": {{"shape": {list(pixels[0].shape)}, "at": {at.tolist()}, "values": '
    out += lines([[number(p.flat[i]) for i in at] for p in pixels], "  ") + '},\n "runs": ['
    for i, (config, answers) in enumerate(runs):
        rows = [[[a["label"], number(a["score"])] for a in answer] for answer in answers]
        out += (",\n" if i else "\n") + '  {"config": ' + json.dumps(config) + ', "answers": ' + lines(rows, "   ") + "}"
    path.write_text(out + "\n ]}\n")
    json.loads(path.read_text())


def make(folder, files, kind, config, processor, any_size):
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(SEED)
    m = kind._from_config(config, **({"attn_implementation": "eager"} if "ViT" in kind.__name__ or "DeiT" in kind.__name__ else {})).eval()
    pixels = [processor(load_image(str(f)), return_tensors="np")["pixel_values"][0] for f in files]
    batch = torch.from_numpy(np.stack(pixels))
    weights(m, batch)
    folder.mkdir(parents=True)
    m.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    export(m, batch, folder / "onnx/model.onnx", any_size)

    p = pipeline("image-classification", model=m, image_processor=processor, device="cpu", use_fast=False)
    runs = [(settings, [p(str(f), **settings) for f in files]) for settings in RUNS]
    session = ort.InferenceSession(str(folder / "onnx/model.onnx"))
    ours = np.concatenate([session.run(None, {"pixel_values": x[None]})[0] for x in pixels])
    worst = max(abs(ours[i][config.label2id[a["label"]]] - a["score"]) for i, answer in enumerate(runs[-1][1]) for a in answer)
    assert worst < WITHIN, f"{folder.name}: ONNX Runtime is {worst} from PyTorch"
    write(folder / "cases.json", {"task": "image-classification", "images": "../images", "versions": VERSIONS, "files": [f.name for f in files]}, pixels, runs)

    best = collections.Counter(a[0]["label"] for a in runs[0][1])
    close = sum(a[0]["score"] - a[1]["score"] < 1e-3 for a in runs[0][1])
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"{folder.name}: {dict(best)}, {close} with a margin below 1e-3; ONNX within {worst:.1e}; {size} bytes; input {session.get_inputs()[0].shape}", flush=True)


def main(folder):
    assert importlib.util.find_spec("torchvision") is None, "the processors have to be those over Pillow"
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    root = pathlib.Path(folder) / "image"
    shutil.rmtree(root / "images", ignore_errors=True)
    (root / "images").mkdir(parents=True)
    seen = pictures(root / "images")
    facts = [{"file": name, "lossy": lossy, "size": list(load_image(str(root / "images" / name)).size)} for name, lossy in seen.items()]
    (root / "images.json").write_text("[\n" + ",\n".join(json.dumps(f) for f in facts) + "\n]\n")
    for name, kind, config, processor, any_size in architectures():
        make(root / name, [root / "images" / n for n in seen], kind, config, processor, any_size)


if __name__ == "__main__":
    main(sys.argv[1])
