package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// kind is a type of image processor of transformers: what holds where a file says nothing, and rules of its own.
type kind struct {
	edge    int  // that images are resized to
	square  bool // edge, and a number in a file, are the width and the height; otherwise the shortest edge
	crop    int  // the width and the height that are cut out; 0: the kind does not crop
	whole   bool // it crops only if the file says so
	filter  Filter
	shades  shades
	part    float64                          // of the resized image that is left by cropping
	edges   func(p *Processor, part float64) // changes the edges that were read
	reverse bool                             // blue comes first
	twice   bool                             // may move shades by 1, and divide them by the deviation once more
}

// shades are the mean and the standard deviation by which channels are normalised.
type shades struct{ mean, std []float64 }

var (
	halves   = shades{[]float64{0.5, 0.5, 0.5}, []float64{0.5, 0.5, 0.5}}
	imageNet = shades{[]float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}}
	openAI   = shades{[]float64{0.48145466, 0.4578275, 0.40821073}, []float64{0.26862954, 0.26130258, 0.27577711}}
)

// kinds are the types that are known, by the beginnings of their names. ResNet, RegNet, CvT and VAN use ConvNext; DINOv2, FocalNet and
// Hiera use Bit; Swin and MAE use ViT; Data2Vec uses Beit. Without a name, settings are taken at their word.
var kinds = map[string]kind{
	"":             {edge: 224, square: true, crop: 224, whole: true, filter: Bilinear, shades: halves},
	"ViT":          {edge: 224, square: true, filter: Bilinear, shades: halves},
	"Pvt":          {edge: 224, square: true, filter: Bilinear, shades: imageNet},
	"Segformer":    {edge: 512, square: true, filter: Bilinear, shades: imageNet},
	"Siglip":       {edge: 224, square: true, filter: Bicubic, shades: halves},
	"Blip":         {edge: 384, square: true, filter: Bicubic, shades: openAI},
	"DeiT":         {edge: 256, square: true, crop: 224, filter: Bicubic, shades: halves},
	"Beit":         {edge: 256, square: true, crop: 224, filter: Bicubic, shades: halves},
	"EfficientNet": {edge: 346, square: true, crop: 289, whole: true, filter: Nearest, shades: halves, twice: true},
	"CLIP":         {edge: 224, crop: 224, filter: Bicubic, shades: openAI},
	"Bit":          {edge: 224, crop: 224, filter: Bicubic, shades: openAI},
	"ViTHybrid":    {edge: 224, crop: 224, filter: Bicubic, shades: openAI},
	"MobileNetV1":  {edge: 256, crop: 224, filter: Bilinear, shades: halves},
	"MobileNetV2":  {edge: 256, crop: 224, filter: Bilinear, shades: halves},
	"MobileViT":    {edge: 224, crop: 256, filter: Bilinear, reverse: true},
	"ConvNext":     {edge: 384, filter: Bilinear, shades: halves, part: 224.0 / 256, edges: edgesOfConvNext},
	"PoolFormer":   {edge: 224, crop: 224, filter: Bicubic, shades: imageNet, part: 0.9, edges: edgesOfPoolFormer},
	"Levit":        {edge: 224, crop: 224, filter: Bicubic, shades: imageNet, edges: edgesOfLevit},
}

// edgesOfConvNext has small images resized to more than is left, and large ones squeezed without cropping.
func edgesOfConvNext(p *Processor, part float64) {
	const large = 384
	switch edge := p.size.shortest; {
	case edge >= large:
		p.size = size{width: edge, height: edge}
	case edge > 0 && p.resize:
		p.size.shortest = int(float64(edge) / part)
		p.crop, p.cropTo = true, size{width: edge, height: edge}
	}
}

func edgesOfPoolFormer(p *Processor, part float64) {
	larger := func(n int) int { return int(float64(n) / part) }
	if p.size.width == p.size.height { // both are 0 where the shortest edge is given
		p.size = size{shortest: larger(p.size.shortest + p.size.width)}
		return
	}
	p.size = size{width: larger(p.size.width), height: larger(p.size.height)}
}

func edgesOfLevit(p *Processor, _ float64) {
	p.size.shortest = int(256.0 / 224 * float64(p.size.shortest))
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
	RescaleOffset        *bool           `json:"rescale_offset"`
	DoNormalize          *bool           `json:"do_normalize"`
	ImageMean            json.RawMessage `json:"image_mean"`
	ImageStd             json.RawMessage `json:"image_std"`
	IncludeTop           *bool           `json:"include_top"`
	DoFlipChannelOrder   *bool           `json:"do_flip_channel_order"`
	NumChannels          int             `json:"num_channels"`
	Leat                 struct {
		Channels int `json:"channels"`
	} `json:"leat"`
}

// NewProcessor reads preprocessor_config.json. What the file leaves out is as the type of processor in transformers has it. The key
// "leat": {"channels": 1}, or "num_channels": 1, asks for shades of grey.
func NewProcessor(preprocessorConfig []byte) (*Processor, error) {
	var c fileConfig
	if err := json.Unmarshal(preprocessorConfig, &c); err != nil {
		return nil, err
	}
	k, err := c.kind()
	if err != nil {
		return nil, err
	}
	p := &Processor{resize: is(c.DoResize, true), crop: k.crop > 0 && is(c.DoCenterCrop, !k.whole), filter: k.filter}
	p.reverse = k.reverse && is(c.DoFlipChannelOrder, true)
	if c.NumChannels == 1 || c.Leat.Channels == 1 {
		p.mode = Grey
	}
	if c.Resample != nil {
		if *c.Resample < 0 || *c.Resample > 5 {
			return nil, fmt.Errorf("resample: wanted a filter of Pillow's, 0 to 5, found %d", *c.Resample)
		}
		p.filter = Filter(*c.Resample)
	}
	return p, errors.Join(p.readSizes(&c, k), p.readShades(&c, k))
}

func (c *fileConfig) kind() (*kind, error) {
	name := c.ImageProcessorType
	if name == "" {
		name = c.FeatureExtractorType
	}
	k, ok := kinds[strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "Fast"), "ImageProcessor"), "FeatureExtractor")]
	if !ok {
		return nil, fmt.Errorf("image_processor_type: wanted one such as ViTImageProcessor, ConvNextImageProcessor, CLIPImageProcessor or MobileNetV2ImageProcessor, found %q", name)
	}
	return &k, nil
}

func is(given *bool, otherwise bool) bool {
	if given != nil {
		return *given
	}
	return otherwise
}

// given says whether a file has a value for a key.
func given(text json.RawMessage) bool { return len(text) > 0 && string(text) != "null" }

func (p *Processor) readSizes(c *fileConfig, k *kind) (err error) {
	if p.crop {
		p.cropTo = size{width: k.crop, height: k.crop}
		if given(c.CropSize) {
			p.cropTo, err = readSize("crop_size", c.CropSize, true)
		}
		if err == nil && p.cropTo.shortest > 0 {
			err = fmt.Errorf("crop_size: wanted a height and a width, found %s", c.CropSize)
		}
		if err != nil {
			return err
		}
	}
	if !p.resize {
		return nil
	}
	p.size = size{shortest: k.edge}
	if k.square {
		p.size = size{width: k.edge, height: k.edge}
	}
	if given(c.Size) {
		if p.size, err = readSize("size", c.Size, k.square); err != nil {
			return err
		}
	}
	if k.edges == nil {
		return nil
	}
	part := k.part
	if c.CropPct != nil {
		part = *c.CropPct
	}
	const least = 1.0 / 16 // smaller parts make no sense, and would make vast images
	if k.part > 0 && part < least {
		return fmt.Errorf("crop_pct: wanted a part of the image, from %v to 1, found %v", least, part)
	}
	k.edges(p, part)
	return nil
}

// readSize reads a number, [height, width], {height, width} or {shortest_edge}.
func readSize(key string, text json.RawMessage, square bool) (size, error) {
	var s struct {
		Height       int `json:"height"`
		Width        int `json:"width"`
		ShortestEdge int `json:"shortest_edge"`
		LongestEdge  int `json:"longest_edge"`
	}
	var n int
	var pair []int
	switch {
	case json.Unmarshal(text, &n) == nil && square:
		s.Height, s.Width = n, n
	case json.Unmarshal(text, &n) == nil:
		s.ShortestEdge = n
	case json.Unmarshal(text, &pair) == nil && len(pair) == 2:
		s.Height, s.Width = pair[0], pair[1]
	case json.Unmarshal(text, &s) != nil || s.LongestEdge != 0:
		return size{}, fmt.Errorf("%s: wanted {height, width} or {shortest_edge}, found %s", key, text)
	}
	out := size{width: s.Width, height: s.Height, shortest: s.ShortestEdge}
	if out.shortest > 0 { // counts alone, as there
		out.width, out.height = 0, 0
	}
	fits := func(n int) bool { return n > 0 && n <= MaxSize }
	if !fits(out.shortest) && (!fits(out.width) || !fits(out.height)) {
		return size{}, fmt.Errorf("%s: wanted edges from 1 to %d, found %s", key, MaxSize, text)
	}
	return out, nil
}

// readShades computes what each shade becomes, step by step in the precision of transformers: scaled in double precision, rounded to
// single, normalised in single.
func (p *Processor) readShades(c *fileConfig, k *kind) error {
	factor := 1.0 / 255
	if c.RescaleFactor != nil {
		factor = *c.RescaleFactor
	}
	rescale := is(c.DoRescale, true)
	normalize := is(c.DoNormalize, true) && k.shades.mean != nil
	mean, err := numbers("image_mean", c.ImageMean, k.shades.mean, p.Channels())
	if err != nil {
		return err
	}
	std, err := numbers("image_std", c.ImageStd, k.shades.std, p.Channels())
	if err != nil {
		return err
	}
	if (normalize || k.twice) && slices.Contains(std, 0) {
		return errors.New("image_std: wanted numbers other than 0")
	}
	p.values = make([][256]float32, p.Channels())
	for i := range p.values {
		for shade := range p.values[i] {
			v := float32(shade)
			if rescale {
				v = float32(float64(shade) * factor)
				if k.twice && is(c.RescaleOffset, false) {
					v--
				}
			}
			if normalize {
				v = (v - mean[i]) / std[i]
			}
			if k.twice && is(c.IncludeTop, true) {
				v /= std[i]
			}
			p.values[i][shade] = v
		}
	}
	return nil
}

// numbers reads a number, or one for each channel.
func numbers(key string, text json.RawMessage, otherwise []float64, n int) ([]float32, error) {
	var list []float64
	var one float64
	switch {
	case !given(text):
		list = otherwise[:min(n, len(otherwise))]
	case json.Unmarshal(text, &one) == nil:
		list = slices.Repeat([]float64{one}, n)
	case json.Unmarshal(text, &list) != nil || len(list) != n:
		return nil, fmt.Errorf("%s: wanted %d numbers, found %s", key, n, text)
	}
	out := make([]float32, len(list))
	for i, v := range list {
		out[i] = float32(v)
	}
	return out, nil
}
