// Package image turns the bytes of an image into the tensor that a model takes, as Hugging Face's image processors do with Pillow: the
// pixels of every format, the resized ones and the tensors are the same to the last bit.
//
// It knows pictures, not models. Images are 8 bits a channel, as Pillow has them, until the last step.
package image
