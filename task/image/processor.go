package image

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Processor prepares images for a model as its preprocessor_config.json says. It is immutable.
type Processor struct {
	mode     Mode
	resize   bool
	size     size
	filter   Filter
	cropPart float64 // ConvNeXt: the shortest edge is resized to its size over this, then cropped; 0: not
	enlarge  float64 // LeViT: the shortest edge is resized to its size times this; 0: 1
	crop     bool
	cropTo   size
	values   [][256]float32 // by channel: what each of the 256 shades becomes
}

// size is a width and height, or the length of the shortest edge.
type size struct{ width, height, shortest int }

// processors are the types of processor that are known, by the beginning of their names, with what is particular to them.
var processors = map[string]struct{ square, cropByPart, enlarges bool }{
	"ViT": {square: true}, "DeiT": {square: true}, "Beit": {square: true}, "ConvNext": {cropByPart: true}, "CLIP": {}, "MobileNetV1": {}, "MobileNetV2": {},
	"Bit": {}, "Levit": {enlarges: true}, "Siglip": {square: true},
}

// fileConfig is preprocessor_config.json.
type fileConfig struct {
	ImageProcessorType   string          `json:"image_processor_type"`
	FeatureExtractorType string          `json:"feature_extractor_type"`
	DoResize             *bool           `json:"do_resize"`
	Size                 json.RawMessage `json:"size"`
	Resample             *int            `json:"resample"`
	CropPct              *float64        `json:"crop_pct"`
	DoCenterCrop         *bool           `json:"do_center_crop"`
	CropSize             json.RawMessage `json:"crop_size"`
	DoRescale            *bool           `json:"do_rescale"`
	RescaleFactor        *float64        `json:"rescale_factor"`
	DoNormalize          *bool           `json:"do_normalize"`
	ImageMean            json.RawMessage `json:"image_mean"`
	ImageStd             json.RawMessage `json:"image_std"`
	NumChannels          int             `json:"num_channels"`
	Leat                 struct {
		Channels int `json:"channels"`
	} `json:"leat"`
}

// MaxSize is the longest edge that a processor may make, in pixels.
const MaxSize = 8192

// NewProcessor reads preprocessor_config.json.
func NewProcessor(preprocessorConfig []byte) (*Processor, error) {
	var c fileConfig
	if err := json.Unmarshal(preprocessorConfig, &c); err != nil {
		return nil, err
	}
	name := c.ImageProcessorType
	if name == "" {
		name = c.FeatureExtractorType
	}
	kind := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "Fast"), "ImageProcessor"), "FeatureExtractor")
	if name == "" {
		kind = "ViT" // the plainest: resize, rescale, normalise
	}
	known, ok := processors[kind]
	if !ok {
		return nil, fmt.Errorf("image_processor_type: wanted one such as ViTImageProcessor, ConvNextImageProcessor, CLIPImageProcessor or MobileNetV2ImageProcessor, found %q", name)
	}
	p := &Processor{resize: is(c.DoResize, true), filter: Bilinear, crop: is(c.DoCenterCrop, false)}
	if c.NumChannels == 1 || c.Leat.Channels == 1 {
		p.mode = Grey
	}
	if c.Resample != nil {
		if *c.Resample < 0 || *c.Resample > 5 {
			return nil, fmt.Errorf("resample: wanted a filter of Pillow's, 0 to 5, found %d", *c.Resample)
		}
		p.filter = Filter(*c.Resample)
	}
	var err error
	if p.resize {
		if p.size, err = readSize("size", c.Size, known.square); err != nil {
			return nil, err
		}
	}
	if known.cropByPart {
		p.cropPart, p.crop = 224.0/256, false
		if c.CropPct != nil && *c.CropPct > 0 {
			p.cropPart = *c.CropPct
		}
	}
	if known.enlarges {
		p.enlarge = 256.0 / 224
	}
	if p.crop {
		if p.cropTo, err = readSize("crop_size", c.CropSize, true); err != nil {
			return nil, err
		}
		if p.cropTo.shortest > 0 {
			return nil, fmt.Errorf("crop_size: wanted a height and a width, found %s", c.CropSize)
		}
	}
	return p, p.readValues(&c)
}

func is(given *bool, otherwise bool) bool {
	if given != nil {
		return *given
	}
	return otherwise
}

// readSize reads a number, {height, width} or {shortest_edge}.
func readSize(key string, text json.RawMessage, square bool) (size, error) {
	var n int
	var s struct {
		Height       int `json:"height"`
		Width        int `json:"width"`
		ShortestEdge int `json:"shortest_edge"`
		LongestEdge  int `json:"longest_edge"`
	}
	if json.Unmarshal(text, &n) == nil {
		s.ShortestEdge = n
		if square {
			s.Height, s.Width, s.ShortestEdge = n, n, 0
		}
	} else if err := json.Unmarshal(text, &s); err != nil || s.LongestEdge > 0 {
		return size{}, fmt.Errorf("%s: wanted {height, width} or {shortest_edge}, found %s", key, text)
	}
	out := size{width: s.Width, height: s.Height, shortest: s.ShortestEdge}
	ok := out.shortest > 0 && out.shortest <= MaxSize || out.width > 0 && out.width <= MaxSize && out.height > 0 && out.height <= MaxSize
	if !ok {
		return size{}, fmt.Errorf("%s: wanted edges from 1 to %d, found %s", key, MaxSize, text)
	}
	return out, nil
}

// readValues computes what each shade becomes, step by step in the precision of the reference: rescaled in double precision, rounded to
// single, normalised in single.
func (p *Processor) readValues(c *fileConfig) error {
	channels := p.mode.Channels()
	factor := 1.0 / 255
	if c.RescaleFactor != nil {
		factor = *c.RescaleFactor
	}
	if !is(c.DoRescale, true) {
		factor = 1
	}
	mean, std := make([]float32, channels), make([]float32, channels)
	for i := range std {
		std[i] = 1
	}
	if is(c.DoNormalize, true) && c.ImageMean != nil {
		var err error
		if mean, err = numbers("image_mean", c.ImageMean, channels); err != nil {
			return err
		}
		if std, err = numbers("image_std", c.ImageStd, channels); err != nil {
			return err
		}
	}
	for i := range channels {
		if std[i] == 0 {
			return fmt.Errorf("image_std: wanted numbers other than 0")
		}
		var values [256]float32
		for shade := range values {
			v := float32(float64(shade) * factor)
			values[shade] = float32(v-mean[i]) / std[i]
		}
		p.values = append(p.values, values)
	}
	return nil
}

// numbers reads a number, or one for each channel.
func numbers(key string, text json.RawMessage, n int) ([]float32, error) {
	var list []float64
	var one float64
	if json.Unmarshal(text, &one) == nil {
		list = slices.Repeat([]float64{one}, n)
	} else if err := json.Unmarshal(text, &list); err != nil || len(list) != n {
		return nil, fmt.Errorf("%s: wanted %d numbers, found %s", key, n, text)
	}
	out := make([]float32, n)
	for i, v := range list {
		out[i] = float32(v)
	}
	return out, nil
}

// Mode returns what images have to be decoded to.
func (p *Processor) Mode() Mode { return p.mode }

// Channels returns how many planes a tensor has.
func (p *Processor) Channels() int { return p.mode.Channels() }

// Size returns the size of every tensor, or 0, 0 where it depends on the image.
func (p *Processor) Size() (width, height int) {
	switch {
	case p.crop:
		return p.cropTo.width, p.cropTo.height
	case !p.resize:
		return 0, 0
	case p.cropPart > 0 && p.size.shortest > 0:
		return p.size.shortest, p.size.shortest
	}
	return p.size.width, p.size.height // 0, 0 for a shortest edge alone
}

// Prepare returns an image as planes of numbers, one after another, and their size.
func (p *Processor) Prepare(m *Image) (pixels []float32, width, height int, err error) {
	if p.mode == Grey {
		m = m.grey()
	} else {
		m = m.rgb()
	}
	if p.resize {
		if m, err = p.resized(m); err != nil {
			return nil, 0, 0, err
		}
	}
	if p.crop {
		m = center(m, p.cropTo.width, p.cropTo.height)
	}
	n := m.Width * m.Height
	out := make([]float32, n*m.Channels)
	for c := range m.Channels {
		values, plane := &p.values[c], out[c*n:(c+1)*n]
		pix := m.Pix[c:]
		for i := range plane {
			plane[i] = values[pix[i*m.Channels]]
		}
	}
	return out, m.Width, m.Height, nil
}

func (p *Processor) resized(m *Image) (*Image, error) {
	if p.size.shortest == 0 {
		return m.Resize(p.size.width, p.size.height, p.filter), nil
	}
	edge := p.size.shortest
	const whole = 384 // from this edge on ConvNeXt's processor crops nothing
	switch {
	case p.cropPart > 0 && edge >= whole:
		return m.Resize(edge, edge, p.filter), nil
	case p.cropPart > 0:
		edge = int(float64(edge) / p.cropPart)
	case p.enlarge > 0:
		edge = int(p.enlarge * float64(edge))
	}
	w, h := edge, edge
	if m.Width <= m.Height {
		h = edge * m.Height / m.Width
	} else {
		w = edge * m.Width / m.Height
	}
	if w*h > MaxPixels {
		return nil, fmt.Errorf("the image of %d×%d pixels would become one of %d×%d, which is more than %d pixels", m.Width, m.Height, w, h, MaxPixels)
	}
	m = m.Resize(w, h, p.filter)
	if p.cropPart > 0 {
		m = center(m, p.size.shortest, p.size.shortest)
	}
	return m, nil
}

// center cuts the middle out, or puts a smaller image into the middle of black.
func center(m *Image, width, height int) *Image {
	return m.Crop(floorHalf(m.Width-width), floorHalf(m.Height-height), width, height)
}

func floorHalf(n int) int { return n >> 1 }
