package tokenizer

import "errors"

func newPrecompiled(charsmap []byte) (normalizer, error) {
	return nil, errors.New("Precompiled: not yet")
}
