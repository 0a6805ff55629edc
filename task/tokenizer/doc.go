// Package tokenizer turns texts into the numbers that a language model reads, from the files that Hugging Face's fast
// tokenizers store: tokenizer.json, or the vocab.txt of BERT. Its ids are those of the library tokenizers 0.22, token
// for token: the tests compare with its answers.
//
// A text passes five steps, each named by a part of the file. Added tokens, such as [MASK], are taken out of it. What
// is between them is normalised (lower case, without accents), then split into words by the pre-tokenizer. The model
// breaks a word into pieces of the vocabulary. The post-processor puts special tokens around the whole.
//
// It differs from the library in this: a piece that is unknown where the model has no token for unknown ones is left
// out, where the library fails; and BPE's dropout, which is for training, is ignored.
package tokenizer
