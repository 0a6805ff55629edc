package parquet

import "github.com/leat-project/leat/column"

// assembler makes columns of the runs of leaves.
type assembler struct {
	leaves []*leafReader
	faults map[int32]error // of rows
}

// vector makes the column of a node, for the rows whose levels the leaves have taken.
func (a *assembler) vector(n *node) *column.Vector {
	switch {
	case n.leaf != nil:
		return a.leaf(n)
	case n.typ.Kind == column.Row:
		v := &column.Vector{Type: n.typ}
		a.present(n, v)
		for _, c := range n.children {
			v.Children = append(v.Children, a.vector(c))
		}
		return v
	}
	return a.list(n)
}

// each calls f for each entry of a node with its definition.
func (a *assembler) each(n *node, f func(level int, def byte)) {
	r := &a.leaves[n.first].run
	for i := range r.n {
		def := byte(0)
		if len(r.def) > 0 {
			def = r.def[i]
		}
		if int(def) >= n.exists && (len(r.rep) == 0 || int(r.rep[i]) <= n.rep) {
			f(i, def)
		}
	}
}

// present sets the rows of a node and which of them are null.
func (a *assembler) present(n *node, v *column.Vector) {
	nulls := false
	a.each(n, func(_ int, def byte) {
		if v.N&7 == 0 {
			v.Valid = append(v.Valid, 0xff)
		}
		if int(def) < n.def {
			nulls = true
			v.SetNull(v.N)
		}
		v.N++
	})
	if !nulls || !n.typ.Nullable {
		v.Valid = nil
	}
}

// list makes a list or map: an element begins at each level that is an entry of the elements.
func (a *assembler) list(n *node) *column.Vector {
	v := &column.Vector{Type: n.typ, Offsets: []int32{0}}
	a.present(n, v)
	r := &a.leaves[n.first].run
	elements, rows := int32(0), 0
	for i := range r.n {
		rep, def := int(r.rep[i]), int(r.def[i])
		if rep <= n.rep && def >= n.exists {
			if rows > 0 {
				v.Offsets = append(v.Offsets, elements)
			}
			rows++
		}
		if rep <= n.rep+1 && def >= n.elements {
			elements++
		}
	}
	if rows > 0 {
		v.Offsets = append(v.Offsets, elements)
	}
	for _, c := range n.children {
		v.Children = append(v.Children, a.vector(c))
	}
	return v
}

// leaf makes the column of a leaf.
func (a *assembler) leaf(n *node) *column.Vector {
	r := &a.leaves[n.first].run
	a.report(n, r)
	v := &column.Vector{Type: n.typ}
	if r.values == r.n { // no level is less than the greatest: the values are the rows
		v.N, v.Ints, v.Floats, v.Bools = r.n, r.ints, r.floats, r.bools
		if k := n.typ.Kind; k == column.String || k == column.Bytes {
			v.Offsets, v.Data = r.offsets, r.data
		}
		return v
	}
	a.present(n, v)
	next := 0
	switch n.typ.Kind {
	case column.Bool:
		a.each(n, func(_ int, def byte) { v.Bools = append(v.Bools, spread(r.bools, &next, int(def) == n.def)) })
	case column.Int, column.Time:
		a.each(n, func(_ int, def byte) { v.Ints = append(v.Ints, spread(r.ints, &next, int(def) == n.def)) })
	case column.Float:
		a.each(n, func(_ int, def byte) { v.Floats = append(v.Floats, spread(r.floats, &next, int(def) == n.def)) })
	case column.String, column.Bytes:
		v.Offsets, v.Data = append(v.Offsets, 0), r.data
		a.each(n, func(_ int, def byte) {
			if int(def) == n.def {
				next++
			}
			v.Offsets = append(v.Offsets, r.offsets[next])
		})
	}
	return v
}

// spread returns the next value where there is one.
func spread[T any](values []T, next *int, there bool) (v T) {
	if there {
		v = values[*next]
		*next++
	}
	return v
}

// report notes the rows in which values cannot be kept.
func (a *assembler) report(n *node, r *run) {
	if len(r.faults) == 0 {
		return
	}
	row, value := int32(-1), 0
	for i := range r.n {
		if len(r.rep) == 0 || r.rep[i] == 0 {
			row++
		}
		if len(r.def) > 0 && int(r.def[i]) != n.def {
			continue
		}
		if err := r.faults[value]; err != nil && a.faults[row] == nil {
			if a.faults == nil {
				a.faults = map[int32]error{}
			}
			a.faults[row] = err
		}
		value++
	}
}
