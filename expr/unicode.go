package expr

import (
	"strings"
	"unicode"
)

func isUpperRune(r rune) bool { return unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r) }
func isLowerRune(r rune) bool { return unicode.IsLower(r) || unicode.Is(unicode.Other_Lowercase, r) }

func isCased(r rune) bool { return isUpperRune(r) || isLowerRune(r) || unicode.IsTitle(r) }

func isDigitRune(r rune) bool { return unicode.Is(unicode.Nd, r) }

func isNumeric(r rune) bool { return unicode.IsNumber(r) }

func upper(s string) string { return strings.ToUpper(s) }

func lower(s string) string { return strings.ToLower(s) }

func caseFold(s string) string { return strings.ToLower(s) }

func title(s string) string { return strings.ToTitle(s) }

func capitalize(s string) string { return s }

func swapCase(s string) string { return s }
