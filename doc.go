// Package leat is the root of one Go program for machine learning on data streams. Pipelines are Beam YAML files; leat's
// own columnar engine runs them. The program is in [github.com/leat-project/leat/cmd/leat].
//
// The rooms, from the ground up; docs/ARCHITECTURE.md has the picture and says who may import whom:
//
//   - [github.com/leat-project/leat/diag]: places and problems: what is wrong, where, and what to do about it
//   - [github.com/leat-project/leat/column]: types, vectors and batches: rows as columns
//   - [github.com/leat-project/leat/expr]: the expression tree, its languages, and what an expression means
//   - [github.com/leat-project/leat/plan]: the waist: nodes that are pure data
//   - [github.com/leat-project/leat/kernel]: what a node does to a batch: expressions, aggregates, windows, spilling
//   - [github.com/leat-project/leat/state]: what streams keep between runs: checkpoints in a folder
//   - [github.com/leat-project/leat/catalog]: what a pipeline may name, and the interfaces of those things
//   - [github.com/leat-project/leat/models]: the models that come with leat
//   - [github.com/leat-project/leat/model]: model packages on disk
//   - [github.com/leat-project/leat/infer]: tensors, sessions, and the runtime that makes sessions
//   - [github.com/leat-project/leat/task]: what a model means: rows to items, items to predictions
//   - [github.com/leat-project/leat/transform]: the transforms, one file each
//   - [github.com/leat-project/leat/connector]: sources and sinks
//   - [github.com/leat-project/leat/pipeline]: from a Beam YAML file to a checked plan
//   - [github.com/leat-project/leat/engine]: runs a plan on this machine
//   - [github.com/leat-project/leat/spec]: the executable specification
package leat
