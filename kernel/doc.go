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
// NewAggregation prepares a grouping. Each worker adds its rows to a Table: the keys of a batch are brought to one canonical form and hashed,
// rows are assigned to windows (to slices, where windows slide), a hash table finds the group of each row, and each aggregate adds a column of
// values to its groups. What a group has gathered so far, a partial group, is a row of words beside its key.
//
// At the end, and before that whenever memory runs out, partial groups leave their tables by key group: the first byte of the hash. A Spill
// takes them to disk. Emit merges those of one key group from all tables and the spill, puts slices and sessions together, and passes the
// results on, sorted by hash, key and window.
//
// Merging is exact: integers add up in 128 bits, floats in as many as it takes (see exactSum). So a result does not depend on which rows met
// where.
//
// # Invariants
//
//   - Program.Run gives for every selected row what expr.Expr.Eval gives, value or exception, bit for bit.
//   - No loop fuses a product and a sum: products of floats stand in an explicit float64() conversion, so results do
//     not depend on the processor.
//   - Results and their order depend neither on the size of batches, nor on the number of workers, nor on what was spilled.
//   - Nothing here writes to a batch that it was given.
package kernel
