"""Writes hard images and what Pillow makes of them.

Usage: python -I reference/image_cases.py task/image/testdata

Each image lies there as a file, with NAME.rgb.png and NAME.l.png for Image.convert after ImageOps.exif_transpose (lossless; an empty file where
Pillow refuses it). resize.json has the sums and first pixels of one image resized by every filter to several sizes.
"""

import hashlib
import io
import json
import pathlib
import sys
import warnings

import numpy as np
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
    (to / "resize.json").write_text(json.dumps(records, separators=(",", ":")).replace("},{", "},\n{") + "\n")


main(pathlib.Path(sys.argv[1]))
