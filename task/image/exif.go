package image

import (
	"bytes"
	"encoding/binary"
)

// orientation returns the orientation in an EXIF block (a TIFF file), 1 to 8, or 0 where it says none.
func orientation(tiff []byte) int {
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	at := int64(order.Uint32(tiff[4:]))
	if at < 8 || at+2 > int64(len(tiff)) {
		return 0
	}
	entries := tiff[at+2:]
	const entry, tag = 12, 0x0112
	for range order.Uint16(tiff[at:]) {
		if len(entries) < entry {
			return 0
		}
		if order.Uint16(entries) == tag {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 0
		}
		entries = entries[entry:]
	}
	return 0
}

var exifPrefix = []byte("Exif\x00\x00")

// exifOfJPEG returns the EXIF block of a JPEG's APP1 segment.
func exifOfJPEG(data []byte) []byte {
	for pos := 2; pos+4 <= len(data) && data[pos] == 0xff; {
		marker, size := data[pos+1], int(binary.BigEndian.Uint16(data[pos+2:]))
		end := pos + 2 + size
		if marker == 0xff { // filling
			pos++
			continue
		}
		if marker == 0xda || size < 2 || end > len(data) { // the picture begins
			return nil
		}
		if body := data[pos+4 : end]; marker == 0xe1 && bytes.HasPrefix(body, exifPrefix) {
			return body[len(exifPrefix):]
		}
		pos = end
	}
	return nil
}

// exifOfPNG returns the eXIf chunk of a PNG.
func exifOfPNG(data []byte) []byte {
	for pos := 8; pos+8 <= len(data); {
		size := int64(binary.BigEndian.Uint32(data[pos:]))
		end := int64(pos) + 8 + size
		if end > int64(len(data)) {
			return nil
		}
		if string(data[pos+4:pos+8]) == "eXIf" {
			return data[pos+8 : end]
		}
		pos = int(end) + 4
	}
	return nil
}

// exifOfWebP returns the EXIF chunk of a WebP.
func exifOfWebP(data []byte) []byte {
	for pos := 12; pos+8 <= len(data); {
		size := int64(binary.LittleEndian.Uint32(data[pos+4:]))
		end := int64(pos) + 8 + size
		if end > int64(len(data)) {
			return nil
		}
		if string(data[pos:pos+4]) == "EXIF" {
			return bytes.TrimPrefix(data[pos+8:end], exifPrefix)
		}
		pos = int(end + size&1)
	}
	return nil
}
