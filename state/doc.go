// Package state keeps what a pipeline must not lose between runs: checkpoints in a folder.
//
// A checkpoint is an epoch: the state of transforms (in files), where sources go on, and what transactional sinks have staged. It is written in
// this order, each step synced before the next:
//
//	files of state        seg-…, written once and never changed; later checkpoints may name them again
//	manifest              epoch-N.json: what belongs to the epoch, with checksums of everything; renamed into place
//	COMMITTED             the epoch whose sinks may have committed
//	sinks commit          each can do so at any later time, and more than once
//	old epochs removed
//
// Once the manifest is in place, the epoch is decided: after a crash it is committed, not undone. A manifest that is damaged, or whose files
// are, was torn before the epoch was decided, so the one before it counts; but when COMMITTED names it or a later one, its outputs are out, nothing older would agree with them, and
// Load refuses.
package state
