package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
	"github.com/leat-project/leat/task/tokenizer"
)

// textModel is an encoder over tokens: what the tasks on texts share.
type textModel struct {
	tok       *tokenizer.Tokenizer
	graph     *model.GraphFile
	inputs    []tokenInput
	maxLength int // tokens of an item, special ones among them; 0: no limit
	long      string
	stride    int
	padID     int64
	padLeft   bool
	buffers   sync.Pool
}

// tokenInput is an input of the graph, by what it holds.
type tokenInput struct {
	what  string // ids, mask, types, positions
	dtype model.DType
}

// tokenInputs are the names that exporters give to the inputs of an encoder.
var tokenInputs = map[string]string{"input_ids": "ids", "attention_mask": "mask", "token_type_ids": "types", "position_ids": "positions"}

// textFields are the settings of the tasks on texts.
var textFields = []catalog.Field{
	{Name: "long_texts", Type: catalog.Text, Default: "truncate", Enum: []string{"truncate", "window", "error"},
		Doc: "What is done with a text longer than the model takes: its beginning alone, all of it in windows that are joined, or an error of its row."},
	{Name: "stride", Type: catalog.Integer, Doc: "By how many tokens windows overlap; by default an eighth of a window."},
	{Name: "max_length", Type: catalog.Integer, Doc: "How many tokens the model is given at the most, special ones among them; by default what the package says."},
}

// textInput is what the tasks on texts take.
func textInput() []Input {
	return []Input{{Name: "text", Kinds: []column.Kind{column.String}, Doc: "The text."}}
}

// newTextModel reads the tokenizer, and what the graph takes.
func newTextModel(s *Setup) (*textModel, error) {
	m := &textModel{long: "truncate"}
	var err error
	if m.graph, err = s.Package.Graph(model.ModelRole); err != nil {
		return nil, err
	}
	for _, in := range m.graph.Inputs {
		what, known := tokenInputs[in.Name]
		if !known || in.DType != model.Int64 && in.DType != model.Int32 {
			return nil, fmt.Errorf("the task takes an encoder of tokens, with the inputs input_ids, attention_mask and perhaps token_type_ids; the graph %s has the input %q, %s",
				m.graph.Name, in.Name, &in)
		}
		m.inputs = append(m.inputs, tokenInput{what, in.DType})
	}
	if m.tok, err = readTokenizer(s.Package, lowerCases(s.Package)); err != nil {
		return nil, err
	}
	if err := m.limits(s); err != nil {
		return nil, err
	}
	m.padding(s.Package)
	return m, nil
}

// lowerCases reports whether sentence-transformers lower-cases the package's texts.
func lowerCases(p *model.Package) bool {
	var settings struct {
		LowerCase bool `json:"do_lower_case"`
	}
	text, err := p.ReadFile("sentence_bert_config.json")
	return err == nil && json.Unmarshal(text, &settings) == nil && settings.LowerCase
}

// lowered puts lower-casing before the normalizer of a tokenizer.json that has none, as sentence-transformers does.
func lowered(text []byte) ([]byte, error) {
	var file map[string]json.RawMessage
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	steps := []json.RawMessage{json.RawMessage(`{"type": "Lowercase"}`)}
	if n, ok := file["normalizer"]; ok && string(n) != "null" {
		steps = append(steps, n)
	}
	sequence, err := json.Marshal(map[string]any{"type": "Sequence", "normalizers": steps})
	if err != nil {
		return nil, err
	}
	file["normalizer"] = sequence
	return json.Marshal(file)
}

func readTokenizer(p *model.Package, lower bool) (*tokenizer.Tokenizer, error) {
	text, err := p.ReadFile("tokenizer.json")
	if err == nil && lower {
		if text, err = lowered(text); err != nil {
			return nil, fmt.Errorf("tokenizer.json: %w", err)
		}
	}
	if err == nil {
		return tokenizer.New(text) // its errors name the file
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	vocab, err := p.ReadFile("vocab.txt")
	if err != nil {
		return nil, fmt.Errorf("the package has no tokenizer: wanted tokenizer.json or vocab.txt")
	}
	config, err := p.ReadFile("tokenizer_config.json")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return tokenizer.FromVocab(vocab, config)
}

// limits finds how long items may be and what is done with longer texts.
func (m *textModel) limits(s *Setup) error {
	var err error
	if m.maxLength, err = s.packageLength(); err != nil {
		return err
	}
	if n, ok := s.Config["max_length"].(int64); ok {
		if n < 3 || m.maxLength > 0 && n > int64(m.maxLength) {
			return &catalog.Problem{Key: "max_length", Code: diag.BadValue, Text: fmt.Sprintf("wanted a number from 3 to what the model takes, %d, found %d", m.maxLength, n)}
		}
		m.maxLength = int(n)
	}
	if long, ok := s.Config["long_texts"].(string); ok {
		m.long = long
	}
	m.stride = m.maxLength / 8
	if n, ok := s.Config["stride"].(int64); ok {
		if n < 0 || m.maxLength > 0 && int(n) >= m.maxLength-2 {
			return &catalog.Problem{Key: "stride", Code: diag.BadValue, Text: fmt.Sprintf("wanted a number from 0 to %d, so that a window of %d tokens, two special ones among them, goes on, found %d", m.maxLength-3, m.maxLength, n)}
		}
		m.stride = int(n)
	}
	return nil
}

// packageLength is how many tokens the model takes by its package: the least that one of the files says.
func (s *Setup) packageLength() (int, error) {
	least := 0
	lower := func(v any) {
		// Hugging Face writes "no limit" as a huge number.
		if n, ok := v.(float64); ok && n >= 1 && n < 1e6 && (least == 0 || int(n) < least) {
			least = int(n)
		}
	}
	raw := s.Package.Config.Raw
	switch s.Package.Config.ModelType {
	case "roberta", "xlm-roberta", "camembert", "longformer", "mpnet": // their positions begin behind the padding's
		if n, ok := raw["max_position_embeddings"].(float64); ok {
			lower(n - 2)
		}
	default:
		lower(raw["max_position_embeddings"])
	}
	for file, key := range map[string]string{"tokenizer_config.json": "model_max_length", "sentence_bert_config.json": "max_seq_length"} {
		var settings map[string]any
		text, err := s.Package.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &settings)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		lower(settings[key])
	}
	if least == 1 || least == 2 {
		return 0, fmt.Errorf("the package says that its model takes %d tokens, which leaves none for the text between the special ones", least)
	}
	return least, nil
}

// padding finds what shorter items of a batch are filled up with.
func (m *textModel) padding(p *model.Package) {
	if id, ok := p.Config.Raw["pad_token_id"].(float64); ok {
		m.padID = int64(id)
	}
	var settings struct {
		PadToken    any    `json:"pad_token"`
		PaddingSide string `json:"padding_side"`
	}
	if text, err := p.ReadFile("tokenizer_config.json"); err == nil && json.Unmarshal(text, &settings) == nil {
		token := ""
		switch t := settings.PadToken.(type) {
		case string:
			token = t
		case map[string]any:
			token, _ = t["content"].(string)
		}
		if id, ok := m.tok.ID(token); ok {
			m.padID = id
		}
		m.padLeft = settings.PaddingSide == "left"
	}
}

// textWork is texts as tokens.
type textWork struct {
	m     *textModel
	rows  []int32
	items []tokens
}

// tokens is one item: a text, or a window of one.
type tokens struct{ ids, types []int64 }

func (w *textWork) Rows() []int32       { return w.rows }
func (w *textWork) Length(item int) int { return len(w.items[item].ids) }

// split tokenizes the texts of a column.
func (m *textModel) split(texts *column.Vector) (*textWork, []Failure) {
	w := &textWork{m: m, rows: make([]int32, 0, texts.N), items: make([]tokens, 0, texts.N)}
	var failures []Failure
	var arena []int64
	for i := range texts.N {
		text, err := textOf(texts, i)
		if err == nil {
			arena, err = m.add(w, int32(i), text, arena)
		}
		if err != nil {
			failures = append(failures, Failure{Row: int32(i), Err: err})
		}
	}
	return w, failures
}

func textOf(texts *column.Vector, i int) (string, error) {
	if texts.Type.Kind == column.String && !texts.IsNull(i) {
		return string(texts.Bin(i)), nil
	}
	if s, ok := texts.Value(i).(string); ok {
		return s, nil
	}
	return "", wrongType("text", "a string", texts.Value(i))
}

// wrongType is the exception for an input that is something else than wanted.
func wrongType(input, wanted string, found column.Value) error {
	return &expr.Exception{Class: "TypeError", Msg: fmt.Sprintf("%s: wanted %s, found %s", input, wanted, expr.TypeName(found))}
}

// MaxWindowTokens is how many tokens the windows of one text may have together: a wide overlap makes hundreds of each.
const MaxWindowTokens = 1 << 24

// add appends the items of a text. Token ids are put into the arena, so that a text costs no allocation of its own.
func (m *textModel) add(w *textWork, row int32, text string, arena []int64) ([]int64, error) {
	if len(text) > tokenizer.MaxText {
		return arena, &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("the text has %d bytes, at most %d are taken", len(text), tokenizer.MaxText)}
	}
	if cap(arena)-len(arena) < len(text)/2+8 {
		arena = make([]int64, 0, max(1<<14, len(text)+8))
	}
	from := len(arena)
	out := m.tok.AppendIDs(arena, text)
	ids := out[from:len(out):len(out)]
	if m.maxLength == 0 || len(ids) <= m.maxLength {
		w.rows, w.items = append(w.rows, row), append(w.items, tokens{ids: ids})
		return out, nil
	}
	switch m.long {
	case "error":
		return arena, &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("the text has %d tokens, and the model takes at most %d", len(ids), m.maxLength)}
	case "window":
		// A window brings at least this many tokens of its own: two of it are special ones.
		if n := len(ids) / max(1, m.maxLength-2-m.stride) * m.maxLength; n > MaxWindowTokens {
			return arena, &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("the text has %d tokens, and its windows, which overlap by %d, some %d; at most %d are taken: a smaller stride makes fewer",
				len(ids), m.stride, n, MaxWindowTokens)}
		}
		for _, e := range m.tok.Windows(text, m.maxLength, m.stride) {
			w.rows, w.items = append(w.rows, row), append(w.items, tokens{e.IDs, e.TypeIDs})
		}
	default:
		e := m.tok.Truncate(m.tok.Encode(text), m.maxLength, false)
		w.rows, w.items = append(w.rows, row), append(w.items, tokens{e.IDs, e.TypeIDs})
	}
	return arena, nil
}

// tensors are the inputs of one run. They are used again.
type tensors struct {
	data   [][]int64
	narrow [][]int32
}

// run runs the graph on a batch of items and calls f with the outputs asked for.
func (m *textModel) run(ctx context.Context, session infer.Session, w *textWork, items []int32, outputs []int, f func(length int, r *infer.Results) error) error {
	length := 1
	for _, item := range items {
		length = max(length, len(w.items[item].ids))
	}
	buffers, _ := m.buffers.Get().(*tensors)
	if buffers == nil {
		buffers = &tensors{data: make([][]int64, len(m.inputs)), narrow: make([][]int32, len(m.inputs))}
	}
	defer m.buffers.Put(buffers)
	inputs := make([]infer.Value, len(m.inputs))
	shape := []int64{int64(len(items)), int64(length)}
	for i, in := range m.inputs {
		data := buffers.data[i][:0]
		for _, item := range items {
			data = m.appendItem(data, in.what, w.items[item], length)
		}
		buffers.data[i] = data
		if in.dtype == model.Int64 {
			inputs[i] = infer.NewTensor(data, shape...)
			continue
		}
		narrow := buffers.narrow[i][:0]
		for _, v := range data {
			narrow = append(narrow, int32(v))
		}
		buffers.narrow[i] = narrow
		inputs[i] = infer.NewTensor(narrow, shape...)
	}
	r, err := session.Run(ctx, inputs, outputs)
	if err != nil {
		return err
	}
	defer r.Close()
	return f(length, r)
}

// appendItem appends what one input holds of an item, padded to length.
func (m *textModel) appendItem(data []int64, what string, item tokens, length int) []int64 {
	pad := length - len(item.ids)
	fill := func() {
		for range pad {
			switch what {
			case "ids":
				data = append(data, m.padID)
			default:
				data = append(data, 0)
			}
		}
	}
	if m.padLeft {
		fill()
	}
	for i := range item.ids {
		switch what {
		case "ids":
			data = append(data, item.ids[i])
		case "mask":
			data = append(data, 1)
		case "positions":
			data = append(data, int64(i))
		case "types":
			if item.types != nil {
				data = append(data, item.types[i])
			} else {
				data = append(data, 0)
			}
		}
	}
	if !m.padLeft {
		fill()
	}
	return data
}

// first returns where an item's tokens begin within its padded length.
func (m *textModel) first(item tokens, length int) int {
	if m.padLeft {
		return length - len(item.ids)
	}
	return 0
}

// floats returns the elements of an output in single precision.
func floats(t *infer.Tensor) ([]float32, error) {
	if t.DType == model.Float32 {
		return infer.View[float32](t), nil
	}
	wide, err := t.Floats(nil)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(wide))
	for i, v := range wide {
		out[i] = float32(v)
	}
	return out, nil
}

// MaxBatch returns how many items the graph takes at once: any number, unless its first dimension is fixed.
func (m *textModel) MaxBatch() int { return fixedBatch(m.graph.Graph) }

// fixedBatch returns the batch size that a graph fixes, or 0.
func fixedBatch(g *model.Graph) int {
	for _, in := range g.Inputs {
		if len(in.Shape) > 0 && in.Shape[0] > 0 {
			return int(in.Shape[0])
		}
	}
	return 0
}

// Roles returns the one role that the tasks on texts run.
func (m *textModel) Roles() []string { return []string{model.ModelRole} }

// Inputs returns the text.
func (m *textModel) Inputs() []Input { return textInput() }

// Warm returns a text of one letter.
func (m *textModel) Warm() *Rows {
	return &Rows{N: 1, Cols: []*column.Vector{{Type: column.StringType, N: 1, Offsets: []int32{0, 1}, Data: []byte("a")}}}
}
