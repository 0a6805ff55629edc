package task

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
	"github.com/leat-project/leat/task/image"
)

// ImageClassification tells what an image shows.
var ImageClassification = add(Task{
	Name:    "image-classification",
	Summary: "Tells what an image shows.",
	Doc: `
Takes "image", the bytes of a JPEG, PNG, GIF (its first picture), BMP or still WebP, as ReadFromFiles reads them. An image is turned upright by its EXIF orientation and prepared as preprocessor_config.json says,
as Hugging Face's image processors with Pillow do.

A prediction is a list of rows of "label" and "score", best first: five, unless "top_k" says otherwise. An image that cannot be read, or has more pixels than "max_pixels", fails its row.
`,
	Source: "https://huggingface.co/docs/transformers/main_classes/pipelines#transformers.ImageClassificationPipeline",
	Fields: append(scoreFields("5", "How many classes a prediction lists, best first; null for all."),
		catalog.Field{Name: "max_pixels", Type: catalog.Integer, Default: fmt.Sprint(image.MaxPixels), Doc: "The most pixels that an image may have, checked before it is decoded."}),
	Batch: 8,
	Bind:  bindImageClassification,
})

type imageClassifier struct {
	*scorer
	graph     *model.GraphFile
	processor *image.Processor
	logits    int
	maxPixels int
}

func bindImageClassification(s *Setup) (Bound, error) {
	g, err := s.Package.Graph(model.ModelRole)
	if err != nil {
		return nil, err
	}
	if len(g.Inputs) != 1 || g.Inputs[0].DType != model.Float32 && g.Inputs[0].DType != model.Float16 || g.Inputs[0].Shape != nil && len(g.Inputs[0].Shape) != 4 {
		return nil, fmt.Errorf("wanted a graph over images, pixel_values: float[batch,channels,height,width], found the inputs %v", describe(g.Inputs))
	}
	c := &imageClassifier{graph: g, maxPixels: image.MaxPixels}
	text, err := s.Package.ReadFile("preprocessor_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the package has no preprocessor_config.json, which says how images are prepared")
	}
	if err == nil {
		c.processor, err = image.NewProcessor(text)
	}
	if err != nil {
		return nil, fmt.Errorf("preprocessor_config.json: %w", err)
	}
	if n, ok := s.Config["max_pixels"].(int64); ok {
		if n < 1 || n > 1<<31 {
			return nil, &catalog.Problem{Key: "max_pixels", Code: diag.BadValue, Text: fmt.Sprintf("wanted a number from 1 to %d, found %d", int64(1)<<31, n)}
		}
		c.maxPixels = int(n)
	}
	if c.scorer, err = newScorer(s, 5); err != nil {
		return nil, err
	}
	if len(g.Outputs) == 0 {
		return nil, fmt.Errorf("the graph %s has no outputs", g.Name)
	}
	for i := range g.Outputs {
		if g.Outputs[i].Name == "logits" {
			c.logits = i
		}
	}
	return c, errors.Join(c.checkSize(), c.classCheck(&g.Outputs[c.logits]))
}

// checkSize refuses a graph whose input is not what the processor makes.
func (c *imageClassifier) checkSize() error {
	shape := c.graph.Inputs[0].Shape
	if shape == nil {
		return nil
	}
	width, height := c.processor.Size()
	for i, made := range []int{c.processor.Channels(), height, width} {
		if want := shape[i+1]; want > 0 && made > 0 && want != int64(made) {
			return fmt.Errorf("preprocessor_config.json makes images of %d channels, %d×%d pixels, and the graph takes %s", c.processor.Channels(), width, height, &c.graph.Inputs[0])
		}
	}
	return nil
}

func (c *imageClassifier) Inputs() []Input {
	return []Input{{Name: "image", Kinds: []column.Kind{column.Bytes}, Doc: "The bytes of an image."}}
}
func (c *imageClassifier) Output() column.Type { return c.output() }
func (c *imageClassifier) Roles() []string     { return []string{model.ModelRole} }
func (c *imageClassifier) MaxBatch() int       { return fixedBatch(c.graph.Graph) }

// Split decodes and prepares images: it is most of the work beside the model.
func (c *imageClassifier) Split(rows *Rows) (Work, []Failure) {
	w := &imageWork{c: c}
	var failures []Failure
	for i := range rows.N {
		pixels, size, err := c.pixels(rows.Cols[0], i)
		if err != nil {
			failures = append(failures, Failure{Row: int32(i), Err: err})
			continue
		}
		w.rows, w.pixels, w.sizes = append(w.rows, int32(i)), append(w.pixels, pixels), append(w.sizes, size)
	}
	w.logits = make([][]float32, len(w.rows))
	return w, failures
}

func (c *imageClassifier) pixels(v *column.Vector, i int) ([]float32, [2]int, error) {
	data, ok := v.Value(i).([]byte)
	if !ok {
		return nil, [2]int{}, wrongType("image", "the bytes of an image", v.Value(i))
	}
	m, err := image.Decode(data, c.processor.Mode(), c.maxPixels)
	if err != nil {
		return nil, [2]int{}, &expr.Exception{Class: "ValueError", Msg: "image: " + err.Error()}
	}
	pixels, width, height, err := c.processor.Prepare(m)
	if err != nil {
		return nil, [2]int{}, &expr.Exception{Class: "ValueError", Msg: "image: " + err.Error()}
	}
	return pixels, [2]int{width, height}, nil
}

// imageWork is images as tensors.
type imageWork struct {
	c      *imageClassifier
	rows   []int32
	pixels [][]float32 // by item, planar
	sizes  [][2]int    // by item: width and height
	logits [][]float32
}

func (w *imageWork) Rows() []int32 { return w.rows }

// Length puts images of one size together, where the processor leaves that to the image.
func (w *imageWork) Length(item int) int { return w.sizes[item][0]<<16 | w.sizes[item][1] }

// Predict runs the images of each size together.
func (w *imageWork) Predict(ctx context.Context, sessions []infer.Session, items []int32) error {
	return eachAlike(items, func(a, b int32) bool { return w.sizes[a] == w.sizes[b] }, func(items []int32) error { return w.run(ctx, sessions[0], items) })
}

func (w *imageWork) run(ctx context.Context, session infer.Session, items []int32) error {
	var e elements
	e.reset(w.c.graph.Inputs[0].DType)
	e.f32 = make([]float32, 0, len(items)*len(w.pixels[items[0]]))
	for _, item := range items {
		e.f32 = append(e.f32, w.pixels[item]...)
	}
	size := w.sizes[items[0]]
	in := e.tensor([]int64{int64(len(items)), int64(w.c.processor.Channels()), int64(size[1]), int64(size[0])})
	r, err := session.Run(ctx, []infer.Value{in}, []int{w.c.logits})
	if err != nil {
		return err
	}
	defer r.Close()
	return eachItem(r, items, func(item int32, x []float32) error {
		w.logits[item] = append([]float32(nil), x...)
		return w.c.check(x)
	})
}

func (w *imageWork) Join(rows []int32) (*column.Vector, error) {
	return joinScores(w.c.scorer, w.rows, rows, func(item int) []float32 { return w.logits[item] })
}
