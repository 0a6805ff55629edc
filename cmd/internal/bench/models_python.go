package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// texts measures the classification of texts by a model of MiniLM's size, which the peer makes.
func texts(ctx context.Context, o *options) error {
	const name = "text MiniLM"
	sentences := filepath.Join(shared(), "data/text/sst2/train.csv.gz")
	folder := filepath.Join(o.dir, "minilm")
	switch {
	case !wanted(name, o.only):
		return nil
	case o.transformers == "":
		skipped(name, "no Python was named: -transformers PYTHON, with bench/requirements-transformers.txt")
		return nil
	case !exists(sentences):
		skipped(name, "there is no "+sentences)
		return nil
	}
	c := &modelCase{name: name, pipeline: "text", model: filepath.Join(folder, "onnx"), input: filepath.Join(o.dir, "sentences.csv"),
		rows: max(int(2000*o.scale), 20)}
	if err := firstRows(sentences, c.input, c.rows); err != nil {
		return err
	}
	const peer = "bench/peers/transformers_peer.py"
	if !exists(filepath.Join(c.model, "model.onnx")) {
		if err := command(ctx, o.transformers, peer, "make", folder); err != nil {
			return err
		}
	}
	c.peer = []string{o.transformers, peer, "run", folder, c.input}
	return c.run(ctx, o)
}

// firstRows copies the first column of the first rows of a CSV file.
func firstRows(from, to string, rows int) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	r, w := csv.NewReader(unzipped), csv.NewWriter(out)
	for i := 0; i <= rows; i++ { // the first one is the header
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: wanted %d rows, found %d", from, rows, i-1)
		}
		if err == nil {
			err = w.Write(record[:1])
		}
		if err != nil {
			return err
		}
	}
	w.Flush()
	return errors.Join(w.Error(), out.Close())
}

// tables measures trees over readings of machines: the model that comes with leat, and one that the peer makes.
func tables(ctx context.Context, o *options) error {
	const own, boosted = "tabular machine-failure", "tabular XGBoost, 100 trees"
	if !wanted(own, o.only) && !wanted(boosted, o.only) {
		return nil
	}
	s := shape{name: "machines", rows: max(int(200_000*o.scale), 100), form: machines}
	input, err := s.generate(o.dir)
	if err != nil {
		return err
	}
	folder := filepath.Join(o.dir, "trees")
	cases := []modelCase{
		{name: own, pipeline: "tabular", model: "machine-failure", input: input, rows: s.rows},
		{name: boosted, pipeline: "tabular", model: filepath.Join(folder, "xgboost"), input: input, rows: s.rows},
	}
	if o.trees == "" {
		skipped("tabular", "the peers: no Python was named: -trees PYTHON, with bench/requirements-trees.txt")
		cases = cases[:1]
	} else if err := withTrees(ctx, o, folder, input, cases); err != nil {
		return err
	}
	for i := range cases {
		if wanted(cases[i].name, o.only) {
			if err := cases[i].run(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// withTrees makes the models of the peer, and has it do the work of the cases.
func withTrees(ctx context.Context, o *options, folder, input string, cases []modelCase) error {
	const peer = "bench/peers/trees_peer.py"
	if !exists(filepath.Join(folder, "xgboost/config.json")) {
		if err := command(ctx, o.trees, peer, "make", folder, input); err != nil {
			return err
		}
	}
	for i, work := range []string{"sklearn", "xgboost"} {
		cases[i].peer = []string{o.trees, peer, "run", folder, input, filepath.Join(o.dir, "out-trees"), work}
	}
	return nil
}

// machines writes readings of milling machines: the columns of the model machine-failure.
func (s shape) machines(w *bufio.Writer) error {
	r := rand.New(rand.NewPCG(42, uint64(s.form)))
	fmt.Fprintln(w, "Type,Air temperature [K],Process temperature [K],Rotational speed [rpm],Torque [Nm],Tool wear [min]")
	for range s.rows {
		air := 300 + 2*r.NormFloat64()
		if _, err := fmt.Fprintf(w, "%s,%.1f,%.1f,%.0f,%.1f,%d\n", []string{"L", "L", "L", "M", "M", "H"}[r.IntN(6)], air, air+10+r.NormFloat64(),
			1540+180*r.NormFloat64(), max(4, 40+10*r.NormFloat64()), r.IntN(250)); err != nil {
			return err
		}
	}
	return nil
}
