"""Writes hard images and what Pillow makes of them.

Usage: python -I reference/image_cases.py task/image/testdata

Each image lies there as a file, with NAME.rgb.png and NAME.l.png for Image.convert after ImageOps.exif_transpose.
resize.json has the sums and first pixels of one image resized by every filter to several sizes. tensors.json has what the image processors
of transformers, those in NumPy and Pillow, make of some images: the sums of the tensors and some of their numbers.
"""

import hashlib
import io
import json
import pathlib
import struct
import sys
import warnings
import zlib

import numpy as np
import transformers
from PIL import Image, ImageOps

warnings.simplefilter("ignore")
rng = np.random.default_rng(7)
bytes_of = np.random.default_rng(8)


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
    yield "jpeg-restart.jpg", wide, {"quality": 80, "restart_marker_blocks": 3}
    yield "jpeg-restart-progressive.jpg", wide, {"quality": 80, "restart_marker_blocks": 5, "progressive": True, "subsampling": 1}
    yield "jpeg-rgb.jpg", wide, {"quality": 80, "keep_rgb": True}
    yield "jpeg-noise.jpg", Image.fromarray(bytes_of.integers(0, 256, (24, 24, 3)).astype(np.uint8)), {"quality": 100}
    yield "jpeg-coarse.jpg", Image.fromarray(bytes_of.integers(0, 256, (24, 24, 3)).astype(np.uint8)), {"quality": 2}
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


def png(depth, kind, channels, width=13, height=11, interlaced=False, palette=b"", transparent=b""):
    """A PNG as Pillow writes none. kind is 0 for grey, 2 for colours, 3 for a palette, 4 and 6 for grey and colours with alpha."""
    pixels = bytes_of.integers(0, 1 << depth, (height, width, channels))

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) if body else b""

    def rows(a):
        for row in a.reshape(a.shape[0], -1) if a.size else ():
            bits = "".join(format(v, f"0{depth}b") for v in row)
            bits += "0" * (-len(bits) % 8)
            yield b"\0" + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))

    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)] if interlaced else [(0, 0, 1, 1)]
    data = b"".join(row for x, y, dx, dy in passes for row in rows(pixels[y::dy, x::dx]))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    body = chunk(b"PLTE", palette) + chunk(b"tRNS", transparent) + chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + end


def bmp(depth, masks=(), header=40, down=False, width=13, height=11):
    """A BMP of random bytes, with random colours where the depth is 8 bits or less."""
    size = (header, width, height, 1, depth)
    method = 3 if masks else 0
    head = struct.pack("<IHHHH", *size) if header == 12 else struct.pack("<IiiHHIIiiII", header, width, -height if down else height, 1, depth, method, 0, 0, 0, 0, 0)
    head += struct.pack(f"<{len(masks)}I", *masks)
    head += bytes(max(0, header - len(head)))
    if depth <= 8:
        head += bytes_of.bytes((3 if header == 12 else 4) << depth)
    offset = 14 + len(head)
    rows = bytes_of.bytes((width * depth + 31) // 32 * 4 * height)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + head + rows


def gif(place=(0, 0, 20, 15), shared=True, own=False, transparent=None, background=0, interlaced=False):
    """A GIF with a screen of 20 × 15 pixels and 8 colours, not compressed."""
    left, top, width, height = place
    out = b"GIF89a" + struct.pack("<HHBBB", 20, 15, 0x82 if shared else 0, background, 0)
    out += bytes_of.bytes(24) if shared else b""
    if transparent is not None:
        out += b"!\xf9\x04\x01\0\0" + bytes([transparent, 0])
    out += b"," + struct.pack("<HHHHB", left, top, width, height, (0x82 if own else 0) | (0x40 if interlaced else 0))
    out += bytes_of.bytes(24) if own else b""
    number, size, clear = 0, 0, 8
    for i, code in enumerate(bytes_of.integers(0, 8, width * height)):
        for c in [clear, code] if i % 6 == 0 else [code]:  # codes never grow beyond 4 bits
            number, size = number | int(c) << size, size + 4
    number, size = number | 9 << size, size + 4
    data = number.to_bytes((size + 7) // 8, "little")
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
    return out + b"\x03" + blocks + b"\0;"


def jpeg(sampling=None, transform=None, size=(32, 32), mode="RGB", **options):
    """A JPEG with another sampling or Adobe's transform than it was written for: Pillow writes few of them. The picture is scrambled."""
    out = io.BytesIO()
    Image.fromarray(smooth(*size)).convert(mode).save(out, "JPEG", quality=90, **options)
    data = bytearray(out.getvalue())
    if sampling:
        data[data.index(b"\xff\xc0") + 11] = sampling
    if transform is not None:
        data[data.index(b"Adobe\0") + 11] = transform
    return bytes(data)


def three_scans():
    """A JPEG of three scans, each of a whole plane."""
    out = []
    for plane in range(3):
        whole = jpeg(size=(21, 13), mode="L")
        header, table, scan = whole.index(b"\xff\xc0"), whole.index(b"\xff\xc4"), whole.index(b"\xff\xda")
        if plane == 0:
            frame = b"\xff\xc0\0\x11\x08" + struct.pack(">HH", 13, 21) + b"\3\1\x11\0\2\x11\0\3\x11\0"
            out += [whole[:header], frame, whole[table:scan]]
        body = bytearray(whole[scan:-2])
        body[5] = plane + 1
        out.append(bytes(body))
    return b"".join(out) + b"\xff\xd9"


def files():
    """Files as Pillow writes none, byte by byte."""
    yield "jpeg-440.jpg", jpeg(0x12, subsampling=1)
    yield "jpeg-441.jpg", jpeg(0x14, subsampling=2)
    yield "jpeg-41.jpg", jpeg(0x41, subsampling=2)
    yield "jpeg-ycck.jpg", jpeg(transform=2, mode="CMYK")
    yield "jpeg-ycck-420.jpg", jpeg(transform=2, mode="CMYK", subsampling=2, size=(37, 21))
    yield "jpeg-three-scans.jpg", three_scans()
    for depth, kind, channels in [(2, 0, 1), (4, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3), (8, 4, 2), (16, 4, 2), (8, 6, 4), (16, 6, 4)]:
        yield f"png-raw-{depth}-{kind}.png", png(depth, kind, channels)
        yield f"png-interlaced-{depth}-{kind}.png", png(depth, kind, channels, interlaced=True)
    yield "png-clear-8-0.png", png(8, 0, 1, transparent=b"\0\x07")
    yield "png-clear-16-0.png", png(16, 0, 1, transparent=b"\x01\x07")
    yield "png-clear-8-2.png", png(8, 2, 3, transparent=b"\0\1\0\2\0\3")
    yield "png-clear-16-2.png", png(16, 2, 3, transparent=b"\0\1\0\2\0\3")
    for depth in (1, 2, 4):
        yield f"png-palette-{depth}.png", png(depth, 3, 1, interlaced=True, palette=bytes_of.bytes(3 << depth), transparent=bytes(range(1 << depth)))
    yield "bmp-4.bmp", bmp(4)
    yield "bmp-16.bmp", bmp(16)
    yield "bmp-16-555.bmp", bmp(16, (0x7C00, 0x3E0, 0x1F))
    yield "bmp-16-565.bmp", bmp(16, (0xF800, 0x7E0, 0x1F))
    yield "bmp-32-masks.bmp", bmp(32, (0xFF0000, 0xFF00, 0xFF))
    yield "bmp-32-v5.bmp", bmp(32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), header=124)
    yield "bmp-down.bmp", bmp(8, down=True)
    yield "bmp-os2-8.bmp", bmp(8, header=12)
    yield "bmp-os2-24.bmp", bmp(24, header=12)
    yield "gif-interlaced.gif", gif(interlaced=True, own=True)
    yield "gif-grey.gif", gif(shared=False)
    yield "gif-part.gif", gif((3, 4, 10, 8), background=5)
    yield "gif-part-transparent.gif", gif((3, 4, 10, 8), background=5, transparent=2)
    yield "gif-beyond.gif", gif((15, 10, 10, 8))


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
    names = []
    for name, image, options in images():
        image.save(to / name, **options)
        names.append(name)
    for name, data in files():
        (to / name).write_bytes(data)
        names.append(name)
    for name in names:
        opened = ImageOps.exif_transpose(Image.open(to / name))
        for mode in ("RGB", "L"):
            converted = opened.convert(mode)
            converted.info.clear()
            converted.save(to / f"{name}.{mode.lower()}.png", optimize=True)
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
