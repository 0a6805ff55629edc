package file

import "io"

// Piece is what one worker adds at once to a file of a format that has an end, such as a row group. Several workers make pieces of one file at the
// same time.
type Piece struct {
	roll *Roll
	file *rolling
}

// Begin calls begin with the writer of a window's file, which RollOptions.Whole has made. It keeps the file from being closed before End.
func (r *Roll) Begin(window int64, begin func(whole io.Closer)) (*Piece, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return nil, r.failed
	}
	f, err := r.file(window)
	if err != nil {
		return nil, err
	}
	begin(f.whole)
	f.pieces++
	return &Piece{roll: r, file: f}, nil
}

// End calls add, which alone writes to the file meanwhile. After an error of add the file is useless.
func (p *Piece) End(add func() error) error {
	r, f := p.roll, p.file
	r.mu.Lock()
	defer r.mu.Unlock()
	f.pieces--
	if r.failed != nil {
		return r.failed
	}
	if err := add(); err != nil {
		r.failed = cannotWrite(f.path, err)
		return r.failed
	}
	return r.grown(f)
}
