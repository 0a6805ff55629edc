package connector

import (
	"strings"
	"testing"
)

func TestMediaType(t *testing.T) {
	ftyp := func(brand string) string { return "\x00\x00\x00\x18ftyp" + brand + "\x00\x00\x00\x00isommp42" }
	for _, c := range []struct{ path, head, want string }{
		{"a.png", "\x89PNG\r\n\x1a\n", "image/png"},
		{"a", "\xff\xd8\xff\xe0", "image/jpeg"},
		{"a", "GIF89a", "image/gif"},
		{"a", "BM\x00\x00", "image/bmp"},
		{"a", "RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"},
		{"a", "RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wave"},
		{"a", "fLaC\x00", "audio/flac"},
		{"a", "ID3\x03", "audio/mpeg"},
		{"a", "II*\x00", "image/tiff"},
		{"a", "MM\x00*", "image/tiff"},
		{"a", ftyp("avif"), "image/avif"},
		{"a", ftyp("heic"), "image/heic"},
		{"a", ftyp("mif1"), "image/heif"},
		{"a", ftyp("M4A "), "audio/mp4"},
		{"a", ftyp("mp42"), "video/mp4"},
		{"a", "\x00\x00\x00\x18ftyp", "application/octet-stream"},
		{"a.pdf", "%PDF-1.7", "application/pdf"},
		{"a.gz", "\x1f\x8b\x08", "application/x-gzip"},
		{"a", "\x00\x01\x02", "application/octet-stream"},
		{"a", "", "application/octet-stream"},
		{"a", strings.Repeat("x", sniffBytes) + "\x00", "text/plain"},

		{"a.txt", "hello", "text/plain"},
		{"a.CSV", "a,b\n", "text/csv"},
		{"d.json/a", "{}", "text/plain"},
		{"a.json", "{}", "application/json"},
		{"a.svg", "<?xml version=\"1.0\"?><svg>", "image/svg+xml"},
		{"a.svg", "<svg>", "image/svg+xml"},
		{"a.rss", "<?xml version=\"1.0\"?>", "text/xml"},
		{"a.csv", "", "text/csv"},
		{"a.docx", "PK\x03\x04", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
		{"a.zip", "PK\x03\x04", "application/zip"},
		{"a.ogg", "OggS\x00", "audio/ogg"},
		{"a.spx", "OggS\x00", "application/ogg"},
		{"a.mp3", "\xff\xfb\x90\x00", "audio/mpeg"},

		{"photo.jpg", "not found", "text/plain"},
		{"photo.jpg", "\x89PNG\r\n\x1a\n", "image/png"},
		{"a.csv", "\x00\x01", "application/octet-stream"},
		{"a.docx", "\x00\x01", "application/octet-stream"},
	} {
		if got := mediaType(c.path, []byte(c.head)); got != c.want {
			t.Errorf("mediaType(%q, %.40q) = %s, want %s", c.path, c.head, got, c.want)
		}
	}
}
