package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	files "github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/task"
)

// rowSource is where rows come from: an argument, or several texts.
type rowSource interface {
	// read passes the rows on in lots of at most size.
	read(ctx context.Context, size int, pass func(*lot) error) error
	// progress tells how much of the source is read, in a unit of its own; total is -1 where it is not known.
	progress() (name string, done, total int64)
}

// Limits on what predict reads.
const (
	maxWholeFile = 1 << 30  // bytes of a file that is one row
	maxLotBytes  = 16 << 20 // of files that are predicted together
	maxFolder    = 1 << 20  // files of a folder
)

// tables are the connectors that read a file of that extension.
var tables = map[string]string{".csv": "ReadFromCsv", ".tsv": "ReadFromCsv", ".json": "ReadFromJson", ".ndjson": "ReadFromJson", ".jsonl": "ReadFromJson",
	".parquet": "ReadFromParquet", ".avro": "ReadFromAvro"}

// extension returns the extension of a file's name in lower case, without that of a compression.
func extension(path string) string {
	path = strings.ToLower(path)
	switch ext := filepath.Ext(path); ext {
	case ".gz", ".zst", ".bz2":
		return filepath.Ext(strings.TrimSuffix(path, ext))
	default:
		return ext
	}
}

// what a task takes, as far as it decides how arguments are read.
type taking int

const (
	takesRows  taking = iota // several inputs, or numbers
	takesText                // one text
	takesFiles               // one file's bytes
)

// takes tells what the task takes.
func takes(p *task.Predictor) taking {
	inputs := p.Inputs()
	for i := range inputs {
		if i > 0 && !inputs[i].Optional {
			return takesRows
		}
	}
	if len(inputs) == 0 {
		return takesRows
	}
	switch kinds := inputs[0].Kinds; {
	case slices.Contains(kinds, column.Bytes) && !slices.Contains(kinds, column.String):
		return takesFiles
	case len(kinds) == 1 && kinds[0] == column.String && inputs[0].Name == "text":
		return takesText
	}
	return takesRows
}

// sources finds out what the arguments are, and opens what has a schema.
func (r *predictRun) sources(ctx context.Context, args []string) ([]rowSource, error) {
	var out []rowSource
	for _, arg := range args {
		s, err := r.source(ctx, arg)
		if err != nil {
			return nil, err
		}
		texts, ok := s.(*textSource)
		if last, isTexts := lastOf(out).(*textSource); ok && isTexts {
			last.texts = append(last.texts, texts.texts...) // they are predicted together
			continue
		}
		out = append(out, s)
	}
	return out, nil
}

func lastOf(list []rowSource) rowSource {
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

func (r *predictRun) source(ctx context.Context, arg string) (rowSource, error) {
	what := takes(r.predictor)
	if r.flags.as == "text" && what != takesText {
		return nil, &usageError{fmt.Sprintf("--as text is for tasks that take one text, and %s does not", r.predictor.Task.Name)}
	}
	if r.flags.as == "file" && what != takesFiles {
		return nil, &usageError{fmt.Sprintf("--as file is for tasks that take a file, and %s does not", r.predictor.Task.Name)}
	}
	if arg == "-" {
		return r.standardInput(ctx, what), nil
	}
	if r.flags.as == "text" {
		return &textSource{texts: []string{arg}, run: r}, nil
	}
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return r.folderSource(ctx, arg, what)
	case err == nil:
		return r.fileSource(ctx, arg, what)
	case what == takesText && r.flags.as != "rows" && (tables[extension(arg)] == "" || strings.ContainsAny(arg, " \n")):
		return &textSource{texts: []string{arg}, run: r}, nil
	case (what != takesFiles || r.flags.as == "rows") && strings.HasPrefix(strings.TrimSpace(arg), "{"):
		return &rowStream{run: r, in: strings.NewReader(arg), whole: true}, nil
	}
	p := &diag.Problem{Code: diag.NoSuchFile, Text: fmt.Sprintf("cannot read %q: %v", arg, cause(err))}
	switch what {
	case takesRows:
		p.Hint = fmt.Sprintf(`The task %s takes rows: name a CSV, JSON or Parquet file, or write a row as '{"%s": …}'.`, r.predictor.Task.Name, r.predictor.Inputs()[0].Name)
	case takesFiles:
		p.Hint = fmt.Sprintf("The task %s takes files: name one, or a folder of them.", r.predictor.Task.Name)
	case takesText:
		p.Hint = "If it is a text: say --as text."
	}
	return nil, p
}

// standardInput reads standard input: whole as a file, else line by line.
func (r *predictRun) standardInput(ctx context.Context, what taking) rowSource {
	in := newInterruptedReader(ctx, r.g.in)
	switch {
	case what == takesFiles && r.flags.as != "rows":
		return &filesSource{run: r, stdin: in}
	case r.flags.as == "text":
		return &lineSource{run: r, in: in, name: "-"}
	}
	return &rowStream{run: r, in: in, name: "-", texts: what == takesText && r.flags.as != "rows"}
}

// fileSource reads a file by its extension.
func (r *predictRun) fileSource(ctx context.Context, path string, what taking) (rowSource, error) {
	connector := tables[extension(path)]
	switch {
	case r.flags.as == "rows" && connector == "":
		connector = "ReadFromJson"
	case r.flags.as == "file" || connector == "" && what == takesFiles:
		return &filesSource{run: r, paths: []string{path}}, nil
	case connector == "" && what == takesText:
		return openStream(path, func(in io.Reader) rowSource { return &lineSource{run: r, in: in, name: path} })
	case connector == "":
		return nil, &diag.Problem{Code: diag.BadFile, Text: fmt.Sprintf("%s: wanted a file of rows (.csv, .tsv, .json, .ndjson, .jsonl, .parquet, .avro)", path),
			Hint: "If its lines are JSON objects: say --as rows."}
	}
	if connector == "ReadFromJson" && isDocument(path) {
		return openStream(path, func(in io.Reader) rowSource { return &rowStream{run: r, in: in, name: path, whole: true} })
	}
	return r.newTable(ctx, connector, path)
}

// folderSource reads the files of a folder: all of them where the task takes files, else those that hold rows or texts.
func (r *predictRun) folderSource(ctx context.Context, dir string, what taking) (rowSource, error) {
	paths, err := filesIn(dir)
	if err != nil {
		return nil, &diag.Problem{Code: diag.BadFile, Text: fmt.Sprintf("cannot read the folder %s: %v", dir, cause(err))}
	}
	if what == takesFiles && r.flags.as != "rows" {
		if len(paths) == 0 {
			return nil, &diag.Problem{Code: diag.NoSuchFile, Text: fmt.Sprintf("the folder %s holds no files", dir)}
		}
		return &filesSource{run: r, paths: paths, folder: dir}, nil
	}
	all := &manySources{name: dir}
	for _, path := range paths {
		if ext := extension(path); tables[ext] == "" && (what != takesText || ext != ".txt") {
			continue
		}
		s, err := r.fileSource(ctx, path, what)
		if err != nil {
			return nil, err
		}
		all.list = append(all.list, s)
	}
	if len(all.list) == 0 {
		p := &diag.Problem{Code: diag.NoSuchFile, Text: fmt.Sprintf("%q is a folder, and holds no file of rows", dir), Hint: "Rows are in .csv, .tsv, .json, .ndjson, .jsonl, .parquet and .avro files."}
		if what == takesText {
			p.Hint = "If it is a text: say --as text."
		}
		return nil, p
	}
	return all, nil
}

// filesIn returns the files of a folder and below, in the order of their names, without hidden ones.
func filesIn(dir string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path != dir:
			paths = append(paths, path) // its row tells why it cannot be read
			return nil
		case err != nil:
			return err
		case path != dir && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case !d.IsDir():
			if paths = append(paths, path); len(paths) > maxFolder {
				return fmt.Errorf("it has more than %d files", maxFolder)
			}
		}
		return nil
	})
	return paths, err
}

// isDocument reports whether a JSON file is not one object a line: a list, or an object over several lines.
func isDocument(path string) bool {
	s, err := files.OpenStream(path, files.Auto, nil)
	if err != nil {
		return false
	}
	defer s.Close()
	head := make([]byte, sniffBytes)
	n, _ := io.ReadFull(s, head) // a file that cannot be read says so when it is read
	return isDocumentText(head[:n])
}

// sniffBytes is how much of a JSON text tells whether it has one object a line.
const sniffBytes = 64 << 10

func isDocumentText(head []byte) bool {
	head = bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))
	if len(head) > 0 && head[0] == '[' {
		return true
	}
	line, _, more := bytes.Cut(head, []byte("\n"))
	return more && len(line) > 0 && line[0] == '{' && incomplete(line)
}

// incomplete reports whether JSON only lacks its end.
func incomplete(text []byte) bool {
	err := json.NewDecoder(bytes.NewReader(text)).Decode(new(json.RawMessage))
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// manySources are the files of a folder.
type manySources struct {
	name string
	list []rowSource
	at   atomic.Int64
}

func (m *manySources) read(ctx context.Context, size int, pass func(*lot) error) error {
	for _, s := range m.list {
		if err := s.read(ctx, size, pass); err != nil {
			return err
		}
		m.at.Add(1)
	}
	return nil
}

func (m *manySources) progress() (string, int64, int64) {
	return m.name, m.at.Load(), int64(len(m.list))
}

// textSource is texts that are arguments.
type textSource struct {
	run   *predictRun
	texts []string
}

func (s *textSource) progress() (string, int64, int64) { return "", 0, -1 }

func (s *textSource) read(_ context.Context, size int, pass func(*lot) error) error {
	for texts := range slices.Chunk(s.texts, size) {
		if err := pass(s.run.textLot(texts, func(i int) label { return label{input: texts[i]} })); err != nil {
			return err
		}
	}
	return nil
}

// textLot makes rows of texts.
func (r *predictRun) textLot(texts []string, l func(i int) label) *lot {
	b := column.NewBuilder(column.StringType.OrNull())
	failed := map[int32]error{}
	for i, t := range texts {
		if !utf8.ValidString(t) {
			failed[int32(i)] = errors.New("wanted a text, found bytes that are not UTF-8")
			b.AppendNull()
			continue
		}
		b.AppendBin([]byte(t))
	}
	out := r.oneInput(b.Finish(), l)
	out.failed = failed
	return out
}

// oneInput feeds the first input, the others being optional.
func (r *predictRun) oneInput(v *column.Vector, l func(i int) label) *lot {
	cols := make([]*column.Vector, len(r.predictor.Inputs()))
	cols[0] = v
	return &lot{n: v.N, cols: cols, label: l}
}

// lineSource is a text on each line.
type lineSource struct {
	run  *predictRun
	in   io.Reader
	name string
}

func (s *lineSource) progress() (string, int64, int64) { return progressOf(s.name, s.in) }

func (s *lineSource) read(ctx context.Context, size int, pass func(*lot) error) error {
	return s.lines(ctx, bufio.NewReaderSize(s.in, sniffBytes), size, pass)
}

func (s *lineSource) lines(_ context.Context, in *bufio.Reader, size int, pass func(*lot) error) error {
	defer closeReader(s.in)
	return eachLot(in, s.name, size, pass, func(lines []textLine) *lot {
		texts := make([]string, len(lines))
		for i := range lines {
			texts[i] = lines[i].text
		}
		return s.run.textLot(texts, func(i int) label { return label{input: texts[i], file: s.fileName(), line: lines[i].line} })
	})
}

func (s *lineSource) fileName() string {
	if s.name == "-" {
		return ""
	}
	return s.name
}

// textLine is a line that is not blank.
type textLine struct {
	text string
	line int64
}

// eachLot reads lines and passes them on in lots of those that have come, at most size. A line over the limit ends the input.
func eachLot(in *bufio.Reader, name string, size int, pass func(*lot) error, make func([]textLine) *lot) error {
	var lines []textLine
	flush := func() error {
		if len(lines) == 0 {
			return nil
		}
		l := make(lines)
		lines = nil
		return pass(l)
	}
	for number := int64(1); ; number++ {
		line, err := readLine(in)
		if text := strings.TrimRight(string(line), "\r\n"); err == nil && strings.TrimSpace(text) != "" || len(line) > 0 && err == io.EOF {
			lines = append(lines, textLine{text, number})
		}
		if err != nil || len(lines) >= size || !hasLine(in) {
			if err := flush(); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && errors.Is(err, context.Canceled):
			return err
		case err != nil:
			return pass(failedLot(label{file: name, line: number}, cause(err)))
		}
	}
}

// hasLine reports whether a whole line has come already.
func hasLine(in *bufio.Reader) bool {
	head, _ := in.Peek(in.Buffered()) // what is buffered can be peeked at
	return bytes.IndexByte(head, '\n') >= 0
}

func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if line = append(line, part...); len(line) > files.MaxRecordBytes {
			return nil, fmt.Errorf("the line has more than %d bytes", files.MaxRecordBytes)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// filesSource is files that are a row each.
type filesSource struct {
	run    *predictRun
	folder string
	paths  []string
	stdin  io.Reader // instead of paths
	at     atomic.Int64
}

func (s *filesSource) progress() (string, int64, int64) {
	if s.stdin != nil || len(s.paths) == 1 {
		return "", 0, -1
	}
	return s.folder, s.at.Load(), int64(len(s.paths))
}

func (s *filesSource) read(ctx context.Context, size int, pass func(*lot) error) error {
	if s.stdin != nil {
		content, err := readWhole(s.stdin)
		if err != nil {
			return pass(failedLot(label{file: "-"}, err))
		}
		return pass(s.lot([]string{"-"}, [][]byte{content}, nil))
	}
	var names []string
	var contents [][]byte
	failed, bytes := map[int32]error{}, 0
	for i, path := range s.paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		content, err := readFile(path)
		if err != nil {
			failed[int32(len(names))] = err
		}
		names, contents, bytes = append(names, path), append(contents, content), bytes+len(content)
		if len(names) < size && bytes < maxLotBytes && i+1 < len(s.paths) {
			continue
		}
		if err := pass(s.lot(names, contents, failed)); err != nil {
			return err
		}
		s.at.Add(int64(len(names)))
		names, contents, failed, bytes = nil, nil, map[int32]error{}, 0
	}
	return nil
}

func (s *filesSource) lot(names []string, contents [][]byte, failed map[int32]error) *lot {
	b := column.NewBuilder(column.BytesType)
	for i := range contents {
		if failed[int32(i)] != nil {
			b.AppendNull()
		} else {
			b.AppendBin(contents[i])
		}
	}
	l := s.run.oneInput(b.Finish(), func(i int) label { return label{file: names[i]} })
	l.failed = failed
	return l
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	return readWhole(f)
}

func readWhole(in io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(in, maxWholeFile+1))
	switch {
	case err != nil:
		return nil, cause(err)
	case len(b) > maxWholeFile:
		return nil, fmt.Errorf("it has more than %d bytes", maxWholeFile)
	case len(b) == 0:
		return nil, errors.New("it is empty")
	}
	return b, nil
}

// openedStream is a file that is read from its beginning to its end.
type openedStream struct {
	*files.Stream
	done  atomic.Int64
	total int64
}

// openStream opens a file, decompressed by its extension.
func openStream(path string, source func(in io.Reader) rowSource) (rowSource, error) {
	s := &openedStream{total: -1}
	var err error
	if s.Stream, err = files.OpenStream(path, files.Auto, &s.done); err != nil {
		return nil, problemIn(path, err)
	}
	if info, err := os.Stat(path); err == nil {
		s.total = info.Size()
	}
	return source(s), nil
}

func progressOf(name string, in io.Reader) (string, int64, int64) {
	if s, ok := in.(*openedStream); ok {
		return name, s.done.Load(), s.total
	}
	return name, 0, -1
}

func closeReader(in io.Reader) {
	if c, ok := in.(io.Closer); ok {
		c.Close() // it was only read
	}
}

// problemIn is a problem of a file that is an argument.
func problemIn(path string, err error) error {
	var found *catalog.Problem
	if errors.As(err, &found) {
		return &diag.Problem{Place: diag.Place{File: path}, Code: found.Code, Text: found.Text, Hint: found.Hint}
	}
	return &diag.Problem{Place: diag.Place{File: path}, Code: diag.BadFile, Text: cause(err).Error()}
}

// interruptedReader is a reader whose Read ends with its context, as that of standard input does not.
type interruptedReader struct {
	ctx  context.Context
	in   io.Reader
	come chan piece // nil until the first Read
	rest []byte
	err  error
}

// piece is what one Read gave.
type piece struct {
	data []byte
	err  error
}

func newInterruptedReader(ctx context.Context, in io.Reader) *interruptedReader {
	return &interruptedReader{ctx: ctx, in: in}
}

// Read returns what has come. After the context's end a goroutine may stay behind, waiting for input.
func (r *interruptedReader) Read(p []byte) (int, error) {
	if r.come == nil {
		r.come = make(chan piece)
		go r.pump()
	}
	if len(r.rest) == 0 && r.err == nil {
		select {
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		case piece := <-r.come:
			r.rest, r.err = piece.data, piece.err
		}
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; n == 0 && len(p) > 0 {
		return 0, r.err
	}
	return n, nil
}

func (r *interruptedReader) pump() {
	for {
		buf := make([]byte, sniffBytes)
		n, err := r.in.Read(buf)
		select {
		case r.come <- piece{buf[:n], err}:
		case <-r.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}
