package kernel

import (
	"errors"
	"fmt"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// Program computes an expression over batches. It holds its own scratch memory, so each worker compiles its own;
// a numeric program that has seen a batch of full size allocates nothing more.
type Program struct {
	e     *expr.Expr
	in    column.Schema
	root  step // nil: the interpreter does it all
	used  []int
	frame frame
	iota  []int32

	conjuncts []*Program // of an "and" at the root, for Select; nil: there is none, or Select has not been called
	test      step       // truth of the expression, for Select
	narrow    column.Batch
	selBuf    [2][]int32
	prepared  bool

	rows  writer
	typed column.Vector
	fail  []Failure
}

// Failure is a row for which an expression raised an exception.
type Failure struct {
	Row int32 // physical row of the batch
	Err error // *expr.Exception
}

// Compile makes the program of an expression that expr.Check has typed, over rows of that schema. It never fails: what
// has no vector step is left to the interpreter.
func Compile(e *expr.Expr, in column.Schema) *Program {
	p := &Program{e: e, in: in}
	p.frame.env = NewEnv(in)
	c := &compiler{schema: in}
	if n := c.compile(e); n != nil && n.t.SameKind(e.Type) {
		p.root = n.step
	}
	p.note(e)
	return p
}

// note remembers the fields that e reads, whose columns Run checks against the schema.
func (p *Program) note(e *expr.Expr) {
	names, _ := e.Fields()
	for _, name := range names {
		if i := p.in.Index(name); i >= 0 {
			p.used = append(p.used, i)
		}
	}
}

// Vectorised reports whether the program is made of vector steps at all; false: the interpreter computes each row.
func (p *Program) Vectorised() bool { return p.root != nil }

// Run computes the expression for the selected rows of b. The port says how the rows are windowed (nil: global).
//
// The vector has length b.N and the type of the expression; rows outside b.Sel and rows that failed hold anything valid.
// It is the batch's own column where the expression is a field. Failures are those of selected rows, rising. Both are
// valid until the next Run.
func (p *Program) Run(b *column.Batch, port *plan.Port) (*column.Vector, []Failure) {
	p.begin(b, port)
	x := &p.frame
	if p.root == nil || len(x.rows) == 0 || !p.fits(b) {
		return p.interpret(), p.fail
	}
	v, bad := p.root.eval(x)
	if !p.e.Type.MayBeNull() && v.HasNulls() {
		bad = union(&p.frame.bad2, bad, nulls(&p.frame.bad, v, x.n))
	}
	if bad = p.selected(bad); bad != nil {
		v = p.patch(v, bad)
	}
	return p.asTyped(v), p.fail
}

// begin points the frame at a batch.
func (p *Program) begin(b *column.Batch, port *plan.Port) {
	x := &p.frame
	x.b, x.port, x.n, x.rows = b, port, b.N, b.Sel
	x.batch++
	p.fail = p.fail[:0]
	if b.Sel == nil {
		for i := len(p.iota); i < b.N; i++ {
			p.iota = append(p.iota, int32(i))
		}
		x.rows = p.iota[:b.N]
	}
}

// fits reports whether the columns are of the kinds that the program was compiled for.
func (p *Program) fits(b *column.Batch) bool {
	for _, i := range p.used {
		if i >= len(b.Cols) || !fitsType(b.Cols[i], p.in[i].Type, b.N) {
			return false
		}
	}
	return true
}

func fitsType(v *column.Vector, t column.Type, n int) bool {
	if v == nil || v.N < n || v.Type.Kind != t.Kind {
		return false
	}
	if t.Kind != column.Row {
		return true
	}
	if len(v.Children) != len(t.Fields) {
		return false
	}
	for i, c := range v.Children {
		if !fitsType(c, t.Fields[i].Type, n) {
			return false
		}
	}
	return true
}

// selected returns the bad rows that are selected too, nil where there are none.
func (p *Program) selected(bad bitset) bitset {
	if bad == nil {
		return nil
	}
	x := &p.frame
	if x.b.Sel == nil {
		for _, b := range bad {
			if b != 0 {
				return bad
			}
		}
		return nil
	}
	var out bitset
	for _, i := range x.rows {
		if bad.has(int(i)) {
			if out == nil {
				out = zeros(&x.sel, x.n)
			}
			out.set(int(i))
		}
	}
	return out
}

// asTyped gives v the very type of the expression; a shared column is not touched.
func (p *Program) asTyped(v *column.Vector) *column.Vector {
	if v.Type.Nullable == p.e.Type.Nullable {
		return v
	}
	p.typed = *v
	p.typed.Type = p.e.Type
	return &p.typed
}

// interpret computes every selected row by the interpreter.
func (p *Program) interpret() *column.Vector {
	x := &p.frame
	p.rows.reset(p.e.Type, x.n)
	for _, i := range x.rows {
		if v, err := p.at(int(i)); err != nil {
			p.fail = append(p.fail, Failure{Row: i, Err: err})
		} else if err := p.rows.put(int(i), v); err != nil {
			p.fail = append(p.fail, Failure{Row: i, Err: err})
		}
	}
	return p.rows.finish()
}

// at evaluates the expression for one row by the interpreter.
func (p *Program) at(i int) (column.Value, error) {
	x := &p.frame
	x.env.At(x.b, x.port, i)
	v, err := p.e.Eval(x.env)
	if err != nil {
		return nil, asException(err)
	}
	return v, nil
}

// asException keeps the promise that failures hold exceptions.
func asException(err error) error {
	var ex *expr.Exception
	if errors.As(err, &ex) {
		return ex
	}
	return &expr.Exception{Class: "RuntimeError", Msg: err.Error()}
}

// patch returns v with the values of bad rows from the interpreter.
func (p *Program) patch(v *column.Vector, bad bitset) *column.Vector {
	x := &p.frame
	w := &p.rows
	w.reset(p.e.Type, x.n)
	if w.fixed() {
		return p.patchFixed(v, bad)
	}
	for _, r := range x.rows {
		i := int(r)
		var err error
		if bad.has(i) {
			var value column.Value
			if value, err = p.at(i); err == nil {
				err = w.put(i, value)
			}
		} else {
			err = w.copy(v, i)
		}
		if err != nil {
			p.fail = append(p.fail, Failure{Row: r, Err: err})
		}
	}
	return w.finish()
}

// patchFixed is patch for types whose values have one size: v is copied whole, then the bad rows are set.
func (p *Program) patchFixed(v *column.Vector, bad bitset) *column.Vector {
	w := &p.rows
	w.fill(v)
	bad.each(func(i int) {
		value, err := p.at(i)
		if err == nil {
			err = w.put(i, value)
		}
		if err != nil {
			p.fail = append(p.fail, Failure{Row: int32(i), Err: err})
		}
	})
	return w.finish()
}

// misfit is the error of a value that is not of the type that the checker inferred.
func misfit(v column.Value, t column.Type) error {
	return &expr.Exception{Class: "TypeError", Msg: fmt.Sprintf("expected %s, found %s", t, column.TypeOf(v))}
}
