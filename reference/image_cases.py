"""Writes hard images and what Pillow makes of them.

Usage: python -I reference/image_cases.py task/image/testdata

Each image lies there as a file, with NAME.rgb.png and NAME.l.png for Image.convert after ImageOps.exif_transpose (lossless; an empty file where
Pillow refuses it). resize.json has the sums and first pixels of one image resized by every filter to several sizes. tensors.json has what the
image processors of transformers, those in NumPy and Pillow, make of some images: the sums of the tensors and some of their numbers.
"""

import hashlib
import io
import json
import pathlib
import sys
import warnings

import numpy as np
import transformers
from PIL import Image, ImageOps

warnings.simplefilter("ignore")
rng = np.random.default_rng(7)


def smooth(width, height, channels=3):
    """A picture with edges, gradients and some noise."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 90 * np.sin(x / (3 + 4 * c)) * np.cos(y / (5 + 2 * c)) + 30 * ((x // 9 + y // 7 + c) % 2) for c in range(channels)]
    a = np.stack(planes, -1) + rng.normal(0, 4, (height, width, channels))
    return np.clip(a, 0, 255).astype(np.uint8)


def exif(orientation):
    e = Image.Exif()
    e[0x0112] = orientation
    return e


def images():
    rgb = Image.fromarray(smooth(37, 53))
    wide = Image.fromarray(smooth(64, 48))
    for name, subsampling in {"444": 0, "422": 1, "420": 2}.items():
        yield f"jpeg-{name}.jpg", wide, {"quality": 90, "subsampling": subsampling}
        yield f"jpeg-odd-{name}.jpg", rgb, {"quality": 85, "subsampling": subsampling}
    yield "jpeg-411.jpg", wide, {"quality": 90, "subsampling": "4:1:1"}
    yield "jpeg-progressive.jpg", rgb, {"quality": 80, "progressive": True}
    yield "jpeg-grey.jpg", rgb.convert("L"), {"quality": 90}
    yield "jpeg-cmyk.jpg", rgb.convert("CMYK"), {"quality": 90}
    yield "jpeg-1x1.jpg", Image.fromarray(smooth(1, 1)), {}
    yield "jpeg-3x100.jpg", Image.fromarray(smooth(3, 100)), {}
    for o in range(1, 9):
        yield f"jpeg-exif-{o}.jpg", Image.fromarray(smooth(24, 16)), {"exif": exif(o), "quality": 90}
    yield "png-rgb.png", rgb, {}
    yield "png-exif-6.png", rgb, {"exif": exif(6)}
    yield "png-grey.png", rgb.convert("L"), {}
    yield "png-1bit.png", rgb.convert("1"), {}
    yield "png-la.png", Image.merge("LA", [rgb.convert("L"), Image.fromarray(smooth(37, 53, 1)[..., 0])]), {}
    yield "png-rgba.png", Image.fromarray(smooth(37, 53, 4)), {}
    yield "png-palette.png", rgb.quantize(17), {}
    yield "png-palette-transparent.png", rgb.quantize(16), {"transparency": 3}
    yield "png-grey16.png", Image.fromarray((smooth(20, 20, 1)[..., 0].astype(np.uint16) * 3)), {}
    yield "gif.gif", rgb.quantize(64), {}
    yield "gif-transparent.gif", rgb.quantize(32), {"transparency": 5}
    yield "gif-animated.gif", rgb.quantize(16), {"save_all": True, "append_images": [Image.fromarray(smooth(37, 53)).quantize(16)]}
    yield "bmp-24.bmp", rgb, {}
    yield "bmp-32.bmp", Image.fromarray(smooth(37, 53, 4)), {}
    yield "bmp-8.bmp", rgb.quantize(200), {}
    yield "bmp-1.bmp", rgb.convert("1"), {}
    yield "webp-lossless.webp", rgb, {"lossless": True}
    yield "webp-alpha.webp", Image.fromarray(smooth(37, 53, 4)), {"lossless": True, "exact": True}
    yield "webp-lossy.webp", wide, {"quality": 90}
    yield "webp-lossy-odd.webp", rgb, {"quality": 80}


def settings():
    """Settings of processors. Those with no more than a type have the type's own."""
    types = "ViT Pvt Segformer Siglip Blip DeiT Beit EfficientNet CLIP Bit ViTHybrid MobileNetV1 MobileNetV2 MobileViT ConvNext PoolFormer Levit"
    small = {"shortest_edge": 30}
    for kind in types.split():
        name = kind + "ImageProcessor"
        square = kind in "ViT Pvt Segformer Siglip Blip DeiT Beit EfficientNet".split()
        yield {"image_processor_type": name}
        yield {"image_processor_type": name, "size": {"height": 21, "width": 34} if square else small, "crop_size": {"height": 24, "width": 25}}
        yield {"image_processor_type": name, "size": 31 if kind != "Siglip" else {"height": 31, "width": 31}, "crop_size": 40}
    yield {"image_processor_type": "ViTImageProcessor", "size": [20, 30], "resample": 0, "image_mean": 0.25, "image_std": [0.2, 0.3, 0.4]}
    yield {"image_processor_type": "ViTImageProcessor", "size": 16, "do_normalize": False}
    yield {"image_processor_type": "ViTImageProcessor", "size": 16, "do_rescale": False, "resample": 4}
    yield {"image_processor_type": "ViTImageProcessor", "size": 16, "rescale_factor": 0.01, "resample": 5}
    yield {"image_processor_type": "ViTImageProcessor", "do_resize": False}
    yield {"image_processor_type": "CLIPImageProcessor", "size": {"height": 40, "width": 30}, "do_center_crop": False, "resample": 1}
    yield {"image_processor_type": "CLIPImageProcessor", "size": small, "do_center_crop": False}
    yield {"image_processor_type": "CLIPImageProcessor", "do_resize": False, "crop_size": 17}
    yield {"image_processor_type": "ConvNextImageProcessor", "size": small, "crop_pct": 0.95}
    yield {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "crop_pct": 0.9}
    yield {"image_processor_type": "ConvNextImageProcessor", "size": small, "do_resize": False}
    yield {"image_processor_type": "PoolFormerImageProcessor", "size": {"height": 30, "width": 30}, "crop_pct": 0.8, "crop_size": 31}
    yield {"image_processor_type": "PoolFormerImageProcessor", "size": {"height": 20, "width": 30}, "crop_size": 30}
    yield {"image_processor_type": "LevitImageProcessor", "size": {"height": 20, "width": 30}, "crop_size": 17}
    yield {"image_processor_type": "MobileViTImageProcessor", "size": small, "do_flip_channel_order": False, "crop_size": 32}
    yield {"image_processor_type": "EfficientNetImageProcessor", "size": 30, "rescale_offset": True, "rescale_factor": 1 / 127.5, "do_center_crop": True, "crop_size": 25}
    yield {"image_processor_type": "EfficientNetImageProcessor", "size": 30, "include_top": False, "resample": 3}
    yield {"image_processor_type": "EfficientNetImageProcessor", "size": 30, "do_normalize": False}


def tensors(to):
    """What processors make of a high and a wide image."""
    Image.fromarray(smooth(91, 40)).save(to / "png-wide.png", optimize=True)
    for config in settings():
        processor = getattr(transformers, config["image_processor_type"])(**{k: v for k, v in config.items() if k != "image_processor_type"})
        for name in ("png-rgb.png", "png-wide.png"):
            pixels = np.asarray(Image.open(to / name).convert("RGB"))
            a = processor(pixels, return_tensors="np", input_data_format="channels_last")["pixel_values"][0]
            assert a.dtype == np.float32 or not processor.do_normalize
            a = np.ascontiguousarray(a, dtype="<f4")
            at = [int(i) for i in np.linspace(0, a.size - 1, 7)]
            yield {
                "config": config,
                "image": name,
                "shape": a.shape,
                "sha256": hashlib.sha256(a.tobytes()).hexdigest(),
                "at": at,
                "values": [float(a.flat[i]) for i in at],
            }


def write(file, records):
    file.write_text(json.dumps(records, separators=(",", ":")).replace("},{", "},\n{") + "\n")


def main(to):
    to.mkdir(parents=True, exist_ok=True)
    for name, image, options in images():
        file = to / name
        image.save(file, **options)
        opened = ImageOps.exif_transpose(Image.open(file))
        for mode in ("RGB", "L"):
            opened.convert(mode).save(to / f"{name}.{mode.lower()}.png", optimize=True)
    source = Image.open(to / "png-rgb.png").convert("RGB")
    records = []
    for f in range(6):
        for size in [(1, 1), (5, 200), (224, 224), (36, 54), (37, 20), (18, 53), (100, 3)]:
            for mode in ("RGB", "L"):
                out = source.convert(mode).resize(size, resample=f)
                data = out.tobytes()
                records.append({"filter": f, "size": size, "mode": mode, "sha256": hashlib.sha256(data).hexdigest(), "first": list(data[:6])})
    write(to / "resize.json", records)
    write(to / "tensors.json", list(tensors(to)))


main(pathlib.Path(sys.argv[1]))
