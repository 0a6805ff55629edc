// Package kernel holds what a stage of a plan does to a batch of rows: expressions, aggregates, windows, and the
// state that spills to disk. Engines call it; it knows neither engines nor connectors nor the YAML.
//
// # Expressions
//
// Compile turns a checked expr.Expr into a Program, which computes one column from a batch. A Program is a tree of
// steps. A step works on whole columns in plain loops and is optimistic: it computes every physical row, whether it
// is selected or not, and marks as bad the rows that its loop cannot decide: a null where Python raises, an integer
// overflow, a division by zero, text beyond ASCII where case folding needs tables. At the end the rows that are both
// bad and selected are evaluated one at a time by expr's interpreter, whose value or exception stands. So expr is
// the one definition of meaning, and this package only makes it fast.
//
// # Aggregates
//
// NewAggregation makes the tables that workers add rows to, by window and key, and merges them by key group.
//
// # Invariants
//
//   - Program.Run gives for every selected row what expr.Expr.Eval gives, value or exception, bit for bit.
//   - No loop fuses a product and a sum: products of floats stand in an explicit float64() conversion, so results do
//     not depend on the processor.
//   - Results depend neither on the size of batches nor on the number of workers.
//   - Nothing here writes to a batch that it was given.
package kernel
