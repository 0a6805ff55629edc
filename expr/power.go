package expr

import "math"

// power is x**y for finite x and y, x not 0.
func power(x, y float64) float64 { return math.Pow(x, y) }
