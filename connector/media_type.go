package connector

import (
	"bytes"
	"net/http"
	"path/filepath"
	"strings"
)

// sniffBytes is how much of a file tells its media type, as the MIME Sniffing Standard has it.
const sniffBytes = 512

// What sniffing says of files whose extension can tell more.
const (
	binaryMedia = "application/octet-stream"
	plainMedia  = "text/plain"
	xmlMedia    = "text/xml"
	zipMedia    = "application/zip"
	oggMedia    = "application/ogg"
)

// mediaType returns the media type of a file, without parameters, by its first bytes. The extension decides only what
// these leave open, and only among types that such bytes can be: a text called photo.jpg is a text.
func mediaType(path string, head []byte) string {
	content := sniff(head[:min(len(head), sniffBytes)])
	known, ok := extensions[strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))]
	switch {
	case !ok:
		return content
	case len(head) == 0, known.content == content, known.content == plainMedia && content == xmlMedia:
		return known.media
	}
	return content
}

// sniff returns the media type of bytes by themselves.
func sniff(head []byte) string {
	switch {
	case len(head) == 0:
		return binaryMedia
	case bytes.HasPrefix(head, []byte("fLaC")):
		return "audio/flac"
	case bytes.HasPrefix(head, []byte("II*\x00")), bytes.HasPrefix(head, []byte("MM\x00*")):
		return "image/tiff"
	case len(head) >= 12 && string(head[4:8]) == "ftyp":
		switch string(head[8:12]) { // the brand of an ISO media file
		case "avif", "avis":
			return "image/avif"
		case "heic", "heix":
			return "image/heic"
		case "mif1":
			return "image/heif"
		case "M4A ":
			return "audio/mp4"
		}
	}
	media, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return media
}

// extensions are those that tell more than the bytes that such files begin with; content is what sniff says of these.
var extensions = map[string]struct{ media, content string }{
	"aac": {"audio/aac", binaryMedia}, "mp3": {"audio/mpeg", binaryMedia}, "mov": {"video/quicktime", binaryMedia},
	"mp4": {"video/mp4", binaryMedia}, "mkv": {"video/x-matroska", binaryMedia}, "mpg": {"video/mpeg", binaryMedia},
	"heic": {"image/heic", binaryMedia}, "jp2": {"image/jp2", binaryMedia}, "jxl": {"image/jxl", binaryMedia},
	"tar": {"application/x-tar", binaryMedia}, "zst": {"application/zstd", binaryMedia}, "bz2": {"application/x-bzip2", binaryMedia},
	"parquet": {"application/vnd.apache.parquet", binaryMedia}, "avro": {"application/vnd.apache.avro", binaryMedia},

	"csv": {"text/csv", plainMedia}, "tsv": {"text/tab-separated-values", plainMedia}, "md": {"text/markdown", plainMedia},
	"html": {"text/html", plainMedia}, "htm": {"text/html", plainMedia}, "css": {"text/css", plainMedia}, "js": {"text/javascript", plainMedia},
	"json": {"application/json", plainMedia}, "ndjson": {"application/x-ndjson", plainMedia}, "jsonl": {"application/x-ndjson", plainMedia},
	"yaml": {"application/yaml", plainMedia}, "yml": {"application/yaml", plainMedia}, "rtf": {"application/rtf", plainMedia},
	"eml": {"message/rfc822", plainMedia}, "svg": {"image/svg+xml", plainMedia}, "xml": {"text/xml", plainMedia},

	"docx": {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", zipMedia},
	"xlsx": {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", zipMedia},
	"pptx": {"application/vnd.openxmlformats-officedocument.presentationml.presentation", zipMedia},
	"epub": {"application/epub+zip", zipMedia},

	"ogg": {"audio/ogg", oggMedia}, "oga": {"audio/ogg", oggMedia}, "opus": {"audio/ogg", oggMedia}, "ogv": {"video/ogg", oggMedia},
}
