package catalog

import "testing"

func TestRedact(t *testing.T) {
	t.Setenv("REDACT_LONG", "s3cret/word")
	t.Setenv("REDACT_LONGER", "s3cret/word-2")
	t.Setenv("REDACT_SHORT", "abc")
	if _, err := Resolve(map[string]any{"a": "x${env:REDACT_LONG}y${env:REDACT_SHORT}", "b": []any{"${env:REDACT_LONGER}"}}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"nothing":                       "nothing",
		"abc stays":                     "abc stays",
		"login s3cret/word refused":     "login ${env:REDACT_LONG} refused",
		"s3cret/word-2":                 "${env:REDACT_LONGER}",
		"postgres://u:s3cret%2Fword@h/": "postgres://u:${env:REDACT_LONG}@h/",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
